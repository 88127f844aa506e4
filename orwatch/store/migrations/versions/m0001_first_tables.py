"""The first tables: keys, the ledger with its coverage and monthly totals, runs, the request log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_hash", sa.Text, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("secret_encrypted", sa.Text),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("inactive_reason", sa.Text),
        sa.Column("inactive_since", sa.BigInteger),
        sa.Column("source", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("removed_at", sa.BigInteger),
        sa.Column("synced_through", sa.Integer),
        sa.Column("last_synced_at", sa.BigInteger),
        sa.Column("last_sync_error", sa.Text),
        sa.Column("last_validated_at", sa.BigInteger),
        sa.Column("facts_read_at", sa.BigInteger),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("usage_nano", sa.BigInteger),
        sa.Column("usage_daily_nano", sa.BigInteger),
        sa.Column("usage_weekly_nano", sa.BigInteger),
        sa.Column("usage_monthly_nano", sa.BigInteger),
        sa.Column("byok_usage_nano", sa.BigInteger),
        sa.Column("limit_nano", sa.BigInteger),
        sa.Column("limit_remaining_nano", sa.BigInteger),
        sa.Column("limit_reset", sa.Text),
        sa.Column("is_free_tier", sa.Boolean),
        sa.Column("expires_at", sa.BigInteger),
    )
    op.create_index(
        "ix_api_keys_name",
        "api_keys",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    for table in ("models", "providers"):
        op.create_table(
            table, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, unique=True)
        )
    # The rows that stand for a model or provider that a source does not tell.
    op.execute(sa.text("INSERT INTO models (id, name) VALUES (0, NULL)"))
    op.execute(sa.text("INSERT INTO providers (id, name) VALUES (0, NULL)"))
    _create_usage_table("usage_stats", "date")
    op.create_table(
        "usage_days",
        sa.Column("date", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column(
            "api_key_id", sa.Integer, sa.ForeignKey("api_keys.id"), primary_key=True, autoincrement=False
        ),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    _create_usage_table("usage_months", "month")
    op.create_table(
        "ledger_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("kept_from", sa.Integer),
    )
    op.create_table(
        "job_runs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("counts", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("pid", sa.Integer, nullable=False),
    )
    op.create_index("ix_job_runs_job_started_at", "job_runs", ["job", "started_at"])
    op.create_table(
        "request_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_request_log_started_at_ms", "request_log", ["started_at_ms"])
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.execute(sa.text(_USAGE_DAILY.format(**(_POSTGRES_WORDS if is_postgres else _SQLITE_WORDS))))


def _create_usage_table(name: str, time_column: str) -> None:
    op.create_table(
        name,
        sa.Column(time_column, sa.Integer, primary_key=True, autoincrement=False),
        *(
            sa.Column(column, sa.Integer, sa.ForeignKey(target), primary_key=True, autoincrement=False)
            for column, target in (
                ("api_key_id", "api_keys.id"),
                ("model_id", "models.id"),
                ("provider_id", "providers.id"),
            )
        ),
        sa.Column("requests", sa.BigInteger),
        sa.Column("tokens_input", sa.BigInteger),
        sa.Column("tokens_output", sa.BigInteger),
        sa.Column("tokens_reasoning", sa.BigInteger),
        sa.Column("tokens_cached", sa.BigInteger),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("byok_cost_nano", sa.BigInteger),
        sqlite_with_rowid=False,
    )


_SQLITE_WORDS = {
    "date": "date(usage_stats.date * 86400, 'unixepoch')",
    "usd": "/ 1e9",
}
_POSTGRES_WORDS = {
    "date": "DATE '1970-01-01' + usage_stats.date",
    # A product of NUMERICs is exact, a quotient is not.
    "usd": "* 0.000000001",
}

_USAGE_DAILY = """
CREATE VIEW usage_daily AS
SELECT {date} AS date,
       api_keys.name AS key_name,
       models.name AS model,
       providers.name AS provider,
       usage_stats.requests,
       usage_stats.tokens_input,
       usage_stats.tokens_output,
       usage_stats.tokens_reasoning,
       usage_stats.tokens_cached,
       usage_stats.cost_nano {usd} AS cost_usd,
       usage_stats.byok_cost_nano {usd} AS byok_cost_usd
FROM usage_stats
JOIN api_keys ON api_keys.id = usage_stats.api_key_id
JOIN models ON models.id = usage_stats.model_id
JOIN providers ON providers.id = usage_stats.provider_id
"""
