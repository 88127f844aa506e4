"""The ledger added up by day and model, by day and key, and by month, from what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_KEYS = {"api_key_id": "api_keys.id", "model_id": "models.id", "provider_id": "providers.id"}
_DAILY_COUNTS = ("requests", "tokens_input", "tokens_output", "byok_cost_nano")
_COUNTS = ("requests", "tokens_input", "tokens_output", "tokens_reasoning", "tokens_cached", "byok_cost_nano")
_EPOCH = date(1970, 1, 1)


def upgrade() -> None:
    """Add two tables and fill them; make the monthly totals those of all months."""
    _create("usage_by_model", ("date", "model_id", "provider_id"), _DAILY_COUNTS)
    _create("usage_by_key", ("date", "api_key_id"), _DAILY_COUNTS)
    for table, keys in (
        ("usage_by_model", "date, model_id, provider_id"),
        ("usage_by_key", "date, api_key_id"),
    ):
        op.execute(
            f"INSERT INTO {table} ({keys}, {_names(_DAILY_COUNTS)}) "
            f"SELECT {keys}, {_sums(_DAILY_COUNTS)} FROM usage_stats GROUP BY {keys}"
        )
    # A copy: on PostgreSQL a renamed table would keep the names of its constraints.
    op.execute("CREATE TABLE removed_months AS SELECT * FROM usage_months")
    op.drop_table("usage_months")
    _create("usage_months", ("month", *_KEYS), _COUNTS)
    keys = "api_key_id, model_id, provider_id"
    op.execute(
        f"INSERT INTO usage_months (month, {keys}, {_names(_COUNTS)}) "
        f"SELECT month, {keys}, {_sums(_COUNTS)} FROM removed_months GROUP BY month, {keys}"
    )
    op.drop_table("removed_months")
    for first, last in _months():
        op.execute(
            f"INSERT INTO usage_months (month, {keys}, {_names(_COUNTS)}) "
            f"SELECT {first}, {keys}, {_sums(_COUNTS)} FROM usage_stats "
            f"WHERE date BETWEEN {first} AND {last} GROUP BY {keys} "
            f"ON CONFLICT (month, {keys}) DO UPDATE SET {_additions(_COUNTS)}"
        )


def _create(name: str, keys: tuple[str, ...], counts: tuple[str, ...]) -> None:
    op.create_table(
        name,
        *(
            sa.Column(
                key,
                sa.Integer,
                *([sa.ForeignKey(_KEYS[key])] if key in _KEYS else []),
                primary_key=True,
                autoincrement=False,
            )
            for key in keys
        ),
        sa.Column("row_count", sa.BigInteger, nullable=False),
        sa.Column("cost_nano", sa.BigInteger, nullable=False),
        sa.Column("counted_nano", sa.BigInteger, nullable=False),
        *(sa.Column(count, sa.BigInteger) for count in counts),
        *(sa.Column(f"{count}_told", sa.BigInteger, nullable=False) for count in counts),
        sqlite_with_rowid=False,
    )


def _names(counts: tuple[str, ...]) -> str:
    told = (f"{count}_told" for count in counts)
    return ", ".join(("row_count", "cost_nano", "counted_nano", *counts, *told))


def _sums(counts: tuple[str, ...]) -> str:
    return ", ".join(
        (
            "COUNT(*)",
            "SUM(cost_nano)",
            "SUM(CASE WHEN requests IS NULL THEN 0 ELSE cost_nano END)",
            *(f"SUM({count})" for count in counts),
            *(f"COUNT({count})" for count in counts),
        )
    )


def _additions(counts: tuple[str, ...]) -> str:
    plain = ("row_count", "cost_nano", "counted_nano", *(f"{count}_told" for count in counts))
    return ", ".join(
        (
            *(f"{name} = usage_months.{name} + excluded.{name}" for name in plain),
            *(
                f"{count} = COALESCE(usage_months.{count} + excluded.{count}, usage_months.{count}, "
                f"excluded.{count})"
                for count in counts
            ),
        )
    )


def _months() -> Iterator[tuple[int, int]]:
    """The first and the last day of each month that the ledger touches, as days since 1970-01-01."""
    first, last = op.get_bind().execute(sa.text("SELECT MIN(date), MAX(date) FROM usage_stats")).one()
    if first is None:
        return
    month = (_EPOCH + timedelta(days=first)).replace(day=1)
    while (number := (month - _EPOCH).days) <= last:
        following = (month + timedelta(days=31)).replace(day=1)
        yield number, (following - _EPOCH).days - 1
        month = following
