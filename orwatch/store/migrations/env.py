"""Alembic's entry: runs the migrations on the connection that the store hands it, in its transaction."""

from alembic import context

from orwatch.store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # Named, for there may be another program's table of that name behind it.
    version_table_schema=connection.dialect.default_schema_name,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
