"""Several secrets of one key: a row each, and the replaced ones refer to the one in use."""

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"

_HAS_ITS_NAME = sa.text("removed_at IS NULL AND replaced_by IS NULL")


def upgrade() -> None:
    """Add the column, and let a replaced secret's row share the name."""
    # As text: Alembic cannot add a column that refers to a table on SQLite.
    op.execute(sa.text("ALTER TABLE api_keys ADD COLUMN replaced_by INTEGER REFERENCES api_keys (id)"))
    op.drop_index("ix_api_keys_name", "api_keys")
    op.create_index(
        "ix_api_keys_name",
        "api_keys",
        ["name"],
        unique=True,
        sqlite_where=_HAS_ITS_NAME,
        postgresql_where=_HAS_ITS_NAME,
    )
