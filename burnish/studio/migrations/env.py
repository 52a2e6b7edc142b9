"""What Alembic runs for every command: the migrations, on the connection that `burnish.studio.migrate` hands over.

SQLite's changes of the schema are undone with the transaction like any other, which Alembic has to be told. A table is
altered there by making it anew (`render_as_batch`).
"""

from alembic import context

from burnish.studio.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
