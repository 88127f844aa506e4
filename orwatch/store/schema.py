"""The tables, as the newest migration leaves them (a test holds the two together).

Days are days since 1970-01-01, times are seconds since then, money is nano-dollars: integers all, so
that sums are exact and rows are small. ``usage_daily`` shows them with names, dates and dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    false,
    text,
)

from orwatch.domain.money import from_nano, to_nano

# The revisions in migrations/versions, oldest first.
KNOWN_REVISIONS = ("1", "2", "3")
SCHEMA_REVISION = KNOWN_REVISIONS[-1]

UNKNOWN_NAME_ID = 0  # the row of `models` and `providers` that stands for "not reported"

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def to_day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH_ORDINAL


def from_day_number(number: int) -> date:
    """The day that is so many days after 1970-01-01."""
    return date.fromordinal(number + _EPOCH_ORDINAL)


def to_seconds(moment: datetime) -> int:
    """Whole seconds since 1970-01-01T00:00:00Z."""
    return int(moment.timestamp())


class Day(TypeDecorator[date]):
    """A UTC day as days since 1970-01-01."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: date | None, dialect: Dialect) -> int | None:
        return None if value is None else to_day_number(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> date | None:
        return None if value is None else from_day_number(value)


class Moment(TypeDecorator[datetime]):
    """An aware UTC time as whole seconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else to_seconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromtimestamp(value, UTC)


class Usd(TypeDecorator[Decimal]):
    """Dollars as nano-dollars."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else to_nano(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else from_nano(value)


metadata = MetaData()

_HAS_ITS_NAME = "removed_at IS NULL AND replaced_by IS NULL"

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("secret_encrypted", Text),
    Column("is_active", Boolean, nullable=False),
    Column("inactive_reason", Text),
    Column("inactive_since", Moment),
    Column("source", Text),
    Column("created_at", Moment, nullable=False),
    Column("removed_at", Moment),
    Column("synced_through", Day),
    Column("last_synced_at", Moment),
    Column("last_sync_error", Text),
    Column("last_validated_at", Moment),
    # What GET /key last reported, and when.
    Column("facts_read_at", Moment),
    Column("kind", Text, nullable=False),
    Column("label", Text),
    Column("usage_nano", Usd),
    Column("usage_daily_nano", Usd),
    Column("usage_weekly_nano", Usd),
    Column("usage_monthly_nano", Usd),
    Column("byok_usage_nano", Usd),
    Column("limit_nano", Usd),
    Column("limit_remaining_nano", Usd),
    Column("limit_reset", Text),
    Column("is_free_tier", Boolean),
    Column("expires_at", Moment),
    Column("byok_usage_daily_nano", Usd),
    # Where the usage is to come from (NULL: from what answers best), and when that was last tried.
    Column("source_setting", Text),
    Column("source_checked_at", Moment),
    Column("byok_usage_monthly_nano", Usd),
    # What a management key last reported; NULL where none lists the key.
    Column("account_key_id", Integer),
    Column("listed_name", Text),
    Column("workspace", Text),
    Column("is_listed_disabled", Boolean),
    Column("listed_created_at", Moment),
    Column("deleted_at", Moment),
    # When GET /activity was last asked about the key, and what had been spent when that day began.
    Column("activity_read_at", Moment),
    Column("activity_before_nano", Usd),
    Column("activity_byok_before_nano", Usd),
    # The row of the secret that is in use now, where this one was replaced. All rows of a key bear its name.
    Column("replaced_by", Integer, ForeignKey("api_keys.id")),
    Column("is_byok_limited", Boolean),
    # What GET /key last reported of everything else that limits the key (JSON; NULL: nothing), and when.
    Column("layers", Text),
    Column("layers_read_at", Moment),
    # A removed key gives its name back.
    Index("ix_api_keys_name", "name", unique=True, sqlite_where=text(_HAS_ITS_NAME)),
)


@event.listens_for(api_keys, "before_create")
def _names_are_unique_among_keys_in_use(table: Table, *_: object, **__: object) -> None:
    """On PostgreSQL, too: said above, it would make every command load SQLAlchemy's module for it."""
    (index,) = table.indexes
    index.dialect_options["postgresql"]["where"] = text(_HAS_ITS_NAME)


models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, unique=True),
)

providers = Table(
    "providers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, unique=True),
)


def _usage_columns() -> list[Column[int]]:
    return [
        Column("requests", BigInteger),
        Column("tokens_input", BigInteger),
        Column("tokens_output", BigInteger),
        Column("tokens_reasoning", BigInteger),
        Column("tokens_cached", BigInteger),
        Column("cost_nano", BigInteger, nullable=False),
        Column("byok_cost_nano", BigInteger),
    ]


def _usage_key(time_column: str) -> list[Column[int]]:
    return [
        Column(time_column, Integer, primary_key=True, autoincrement=False),
        Column("api_key_id", Integer, ForeignKey("api_keys.id"), primary_key=True, autoincrement=False),
        Column("model_id", Integer, ForeignKey("models.id"), primary_key=True, autoincrement=False),
        Column("provider_id", Integer, ForeignKey("providers.id"), primary_key=True, autoincrement=False),
    ]


def _total_columns(counts: Sequence[str]) -> list[Column[int]]:
    """The sums of several ledger rows, NULL where none of them has the number, and how many rows have it."""
    return [
        Column("row_count", BigInteger, nullable=False),
        Column("cost_nano", BigInteger, nullable=False),
        # The cost of the rows whose requests are known.
        Column("counted_nano", BigInteger, nullable=False),
        *(Column(name, BigInteger) for name in counts),
        *(Column(reported_column(name), BigInteger, nullable=False) for name in counts),
    ]


def reported_column(name: str) -> str:
    """The column that counts the rows in which a number is known."""
    return f"{name}_reported"


# The ledger's numbers that a source need not report; the totals by day have those that reports show.
COUNTS = ("requests", "tokens_input", "tokens_output", "tokens_reasoning", "tokens_cached", "byok_cost_nano")
DAILY_COUNTS = ("requests", "tokens_input", "tokens_output", "byok_cost_nano")

# The ledger.
usage_stats = Table("usage_stats", metadata, *_usage_key("date"), *_usage_columns(), sqlite_with_rowid=False)

# Which days of which key were read, from where and when: the difference between "no use" and "not known".
usage_days = Table(
    "usage_days",
    metadata,
    Column("date", Integer, primary_key=True, autoincrement=False),
    Column("api_key_id", Integer, ForeignKey("api_keys.id"), primary_key=True, autoincrement=False),
    Column("source", Text, nullable=False),
    Column("read_at", BigInteger, nullable=False),
    # Read two days after its end and found unchanged: not asked for again.
    Column("is_settled", Boolean, nullable=False, server_default=false()),
    sqlite_with_rowid=False,
)

# The ledger added up, day by day (rollups.py keeps it exact): what reports read.
usage_by_model = Table(
    "usage_by_model",
    metadata,
    *(column for column in _usage_key("date") if column.name != "api_key_id"),
    *_total_columns(DAILY_COUNTS),
    sqlite_with_rowid=False,
)
usage_by_key = Table(
    "usage_by_key", metadata, *_usage_key("date")[:2], *_total_columns(DAILY_COUNTS), sqlite_with_rowid=False
)

# All that was ever in the ledger, by month, the days that cleanup has removed included; `month` is the number
# of its first day.
usage_months = Table(
    "usage_months", metadata, *_usage_key("month"), *_total_columns(COUNTS), sqlite_with_rowid=False
)

# The last reading of each day of the counters that GET /key reports.
key_counters = Table(
    "key_counters",
    metadata,
    Column("date", Day, primary_key=True, autoincrement=False),
    Column("api_key_id", Integer, ForeignKey("api_keys.id"), primary_key=True, autoincrement=False),
    Column("read_at", Moment, nullable=False),
    Column("usage_nano", Usd, nullable=False),
    Column("usage_daily_nano", Usd, nullable=False),
    Column("byok_usage_nano", Usd),
    Column("byok_usage_daily_nano", Usd),
    sqlite_with_rowid=False,
)

# What was spent over several days of which only the sum is known, less the days that were reported later.
usage_spans = Table(
    "usage_spans",
    metadata,
    Column("first_day", Day, primary_key=True, autoincrement=False),
    Column("api_key_id", Integer, ForeignKey("api_keys.id"), primary_key=True, autoincrement=False),
    Column("last_day", Day, nullable=False),
    Column("cost_nano", Usd, nullable=False),
    Column("byok_cost_nano", Usd),
    sqlite_with_rowid=False,
)

# How far the account of a management key has been read.
accounts = Table(
    "accounts",
    metadata,
    Column("api_key_id", Integer, ForeignKey("api_keys.id"), primary_key=True, autoincrement=False),
    Column("account_id", Text),
    Column("backfill_from", Day),
    Column("backfilled_from", Day),
    Column("activity_missing_at", Moment),
    Column("analytics_missing_at", Moment),
    Column("model_names_read_at", Moment),
    # The budgets of its workspaces (JSON; NULL: not read), and when they were last asked for.
    Column("workspace_budgets", Text),
    Column("workspace_budgets_read_at", Moment),
)

# The last reading of each day of what an account has bought and spent.
account_credits = Table(
    "account_credits",
    metadata,
    Column("date", Day, primary_key=True, autoincrement=False),
    Column("api_key_id", Integer, ForeignKey("api_keys.id"), primary_key=True, autoincrement=False),
    Column("read_at", Moment, nullable=False),
    Column("bought_nano", Usd, nullable=False),
    Column("spent_nano", Usd, nullable=False),
    sqlite_with_rowid=False,
)

# The plain names of models by the dated names that analytics gives them.
model_names = Table(
    "model_names",
    metadata,
    Column("dated_name", Text, primary_key=True),
    Column("name", Text, nullable=False),
    # When the model is to be retired; NULL: not known of any day.
    Column("retires_on", Day),
)

# One row: what holds for the whole database. Days before `kept_from` were removed by cleanup.
ledger_state = Table(
    "ledger_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("created_at", Moment, nullable=False),
    Column("kept_from", Day),
    # Since when alerts are raised: what was so before is no news. And when the list of models was last read.
    Column("watched_since", Moment),
    Column("models_read_at", Moment),
)

job_runs = Table(
    "job_runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("status", Text, nullable=False),
    Column("counts", Text),
    Column("error", Text),
    Column("pid", Integer, nullable=False),
    # The time for which the run stands in the schedule; NULL: it did a part of the job only.
    Column("slot", Moment),
    Index("ix_job_runs_job_started_at", "job", "started_at"),
)

# Budgets of the user's own; what each covers and its thresholds as JSON.
budgets = Table(
    "budgets",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("limit_nano", Usd, nullable=False),
    Column("per", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("warn_percent", Text, nullable=False),
    Column("with_byok", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# What was worth a warning, once for each rule, subject, window and threshold.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("time_window", Text, nullable=False),
    Column("threshold", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("figures", Text, nullable=False),
    Column("raised_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("recovered_at", Moment),
    Column("recovery", Text),
    Column("recovery_sent_at", Moment),
    Column("ended_at", Moment),
    Column("acknowledged_at", Moment),
    # How often it could not be sent, when that was last tried, and why it failed.
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("tried_at", Moment),
    Column("send_error", Text),
    UniqueConstraint("rule", "subject", "time_window", "threshold"),
)

# The starts of the last requests, in milliseconds since 1970: the rate limit of all processes together.
request_log = Table(
    "request_log",
    metadata,
    # SQLite counts only its INTEGER up by itself, and takes eight bytes for it where they are needed.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Index("ix_request_log_started_at_ms", "started_at_ms"),
)
