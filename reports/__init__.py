"""One frozen month to files; revisions, evidence and verification. Begins with the monthly report."""
