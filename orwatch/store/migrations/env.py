"""Alembic's entry: runs the migrations on the connection that the store hands it, in its transaction."""

from alembic import context

from orwatch.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
