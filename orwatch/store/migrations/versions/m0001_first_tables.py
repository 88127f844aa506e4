"""The first tables: keys and accounts, the ledger and its totals, runs, the request log."""

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    _create_keys()
    _create_ledger()
    _create_totals()
    _create_accounts()
    _create_runs()
    is_postgres = op.get_bind().dialect.name == "postgresql"
    op.execute(sa.text(_USAGE_DAILY.format(**(_POSTGRES_WORDS if is_postgres else _SQLITE_WORDS))))


def _create_keys() -> None:
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
        sa.Column("byok_usage_daily_nano", sa.BigInteger),
        sa.Column("source_setting", sa.Text),
        sa.Column("source_checked_at", sa.BigInteger),
        sa.Column("byok_usage_monthly_nano", sa.BigInteger),
        sa.Column("account_key_id", sa.Integer),
        sa.Column("listed_name", sa.Text),
        sa.Column("workspace", sa.Text),
        sa.Column("is_listed_disabled", sa.Boolean),
        sa.Column("listed_created_at", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("activity_read_at", sa.BigInteger),
        sa.Column("activity_before_nano", sa.BigInteger),
        sa.Column("activity_byok_before_nano", sa.BigInteger),
    )
    op.create_index(
        "ix_api_keys_name",
        "api_keys",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )


def _create_ledger() -> None:
    for table in ("models", "providers"):
        op.create_table(
            table, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text, unique=True)
        )
        # The row that stands for a model or provider that a source does not report.
        op.execute(sa.text(f"INSERT INTO {table} (id, name) VALUES (0, NULL)"))
    op.create_table(
        "model_names",
        sa.Column("dated_name", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
    )
    op.create_table(
        "usage_stats",
        *_key("date", "api_key_id", "model_id", "provider_id"),
        sa.Column("requests", sa.BigInteger),
        sa.Column("tokens_input", sa.BigInteger),
        sa.Column("tokens_output", sa.BigInteger),
        sa.Column("tokens_reasoning", sa.BigInteger),
        sa.Column("tokens_cached", sa.BigInteger),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("byok_cost_nano", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_days",
        *_key("date", "api_key_id"),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("is_settled", sa.Boolean, nullable=False, server_default=sa.false()),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_counters",
        *_key("date", "api_key_id"),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("usage_nano", sa.BigInteger, nullable=False),
        sa.Column("usage_daily_nano", sa.BigInteger, nullable=False),
        sa.Column("byok_usage_nano", sa.BigInteger),
        sa.Column("byok_usage_daily_nano", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_spans",
        *_key("first_day", "api_key_id"),
        sa.Column("last_day", sa.Integer, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("byok_cost_nano", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "ledger_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("kept_from", sa.Integer),
    )


def _create_totals() -> None:
    daily = ("requests", "tokens_input", "tokens_output", "byok_cost_nano")
    monthly = (*daily[:3], "tokens_reasoning", "tokens_cached", "byok_cost_nano")
    for table, key, counts in (
        ("usage_by_model", ("date", "model_id", "provider_id"), daily),
        ("usage_by_key", ("date", "api_key_id"), daily),
        ("usage_months", ("month", "api_key_id", "model_id", "provider_id"), monthly),
    ):
        op.create_table(
            table,
            *_key(*key),
            sa.Column("row_count", sa.BigInteger, nullable=False),
            sa.Column("cost_nano", sa.BigInteger, nullable=False),
            sa.Column("counted_nano", sa.BigInteger, nullable=False),
            *(sa.Column(count, sa.BigInteger) for count in counts),
            *(sa.Column(f"{count}_reported", sa.BigInteger, nullable=False) for count in counts),
            sqlite_with_rowid=False,
        )


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        *_key("api_key_id"),
        sa.Column("account_id", sa.Text),
        sa.Column("backfill_from", sa.Integer),
        sa.Column("backfilled_from", sa.Integer),
        sa.Column("activity_missing_at", sa.BigInteger),
        sa.Column("analytics_missing_at", sa.BigInteger),
        sa.Column("model_names_read_at", sa.BigInteger),
    )
    op.create_table(
        "account_credits",
        *_key("date", "api_key_id"),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sa.Column("bought_nano", sa.BigInteger, nullable=False),
        sa.Column("spent_nano", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_runs() -> None:
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
        sa.Column("slot", sa.BigInteger),
    )
    op.create_index("ix_job_runs_job_started_at", "job_runs", ["job", "started_at"])
    op.create_table(
        "request_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_request_log_started_at_ms", "request_log", ["started_at_ms"])


def _key(*names: str) -> list[sa.Column[int]]:
    """The columns of a primary key; those that name a row of another table refer to it."""
    targets = {"api_key_id": "api_keys.id", "model_id": "models.id", "provider_id": "providers.id"}
    return [
        sa.Column(
            name,
            sa.Integer,
            *([sa.ForeignKey(targets[name])] if name in targets else []),
            primary_key=True,
            autoincrement=False,
        )
        for name in names
    ]


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
