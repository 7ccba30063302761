"""What Alembic runs for each command: the caller hands in its connection, in a transaction or committing by itself."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
