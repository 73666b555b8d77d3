"""Schema of the records, step by step (Alembic)."""
