"""One frozen month to files, with revisions, evidence and verification."""
