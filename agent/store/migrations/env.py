"""Run by Alembic. The connection, with its open transaction, is handed in by `agent.store.migrate`."""

from alembic import context

from agent.store.migrate import VERSION_TABLE
from agent.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
