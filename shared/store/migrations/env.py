"""What Alembic runs: revisions on the connection, and in the transaction, of `Database.migrate`."""

from alembic import context

from shared.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes a column by making the table anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
