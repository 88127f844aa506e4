"""Counters of keys on servers without /usage: readings, spans, and where a key's usage is to come from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add two tables and three columns."""
    op.add_column("api_keys", sa.Column("byok_usage_daily_nano", sa.BigInteger))
    op.add_column("api_keys", sa.Column("source_setting", sa.Text))
    op.add_column("api_keys", sa.Column("source_checked_at", sa.BigInteger))
    op.create_table(
        "key_counters",
        sa.Column("date", sa.Integer, primary_key=True, autoincrement=False),
        _api_key_id(),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("usage_nano", sa.BigInteger, nullable=False),
        sa.Column("usage_daily_nano", sa.BigInteger, nullable=False),
        sa.Column("byok_usage_nano", sa.BigInteger),
        sa.Column("byok_usage_daily_nano", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_spans",
        sa.Column("first_day", sa.Integer, primary_key=True, autoincrement=False),
        _api_key_id(),
        sa.Column("last_day", sa.Integer, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("byok_cost_nano", sa.BigInteger),
        sqlite_with_rowid=False,
    )


def _api_key_id() -> sa.Column[int]:
    return sa.Column(
        "api_key_id", sa.Integer, sa.ForeignKey("api_keys.id"), primary_key=True, autoincrement=False
    )
