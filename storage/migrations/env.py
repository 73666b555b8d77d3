"""Runs the steps inside the transaction that `storage.records.database` has begun."""

from alembic import context

from storage.records.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
)
with context.begin_transaction():
    context.run_migrations()
