"""Management keys: what they list, how far their accounts were read, credits, and models' dated names."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add three tables and eleven columns."""
    for name, kind in (
        ("byok_usage_monthly_nano", sa.BigInteger),
        ("account_key_id", sa.Integer),
        ("listed_name", sa.Text),
        ("workspace", sa.Text),
        ("is_listed_disabled", sa.Boolean),
        ("listed_created_at", sa.BigInteger),
        ("deleted_at", sa.BigInteger),
        ("activity_read_at", sa.BigInteger),
        ("activity_before_nano", sa.BigInteger),
        ("activity_byok_before_nano", sa.BigInteger),
    ):
        op.add_column("api_keys", sa.Column(name, kind))
    op.add_column(
        "usage_days", sa.Column("is_settled", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.create_table(
        "accounts",
        _api_key_id(),
        sa.Column("account_id", sa.Text),
        sa.Column("backfill_from", sa.Integer),
        sa.Column("backfilled_from", sa.Integer),
        sa.Column("activity_missing_at", sa.BigInteger),
        sa.Column("analytics_missing_at", sa.BigInteger),
        sa.Column("slugs_read_at", sa.BigInteger),
    )
    op.create_table(
        "account_credits",
        sa.Column("date", sa.Integer, primary_key=True, autoincrement=False),
        _api_key_id(),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("bought_nano", sa.BigInteger, nullable=False),
        sa.Column("spent_nano", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "model_slugs",
        sa.Column("permaslug", sa.Text, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False),
    )


def _api_key_id() -> sa.Column[int]:
    return sa.Column(
        "api_key_id", sa.Integer, sa.ForeignKey("api_keys.id"), primary_key=True, autoincrement=False
    )
