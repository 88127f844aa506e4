"""Which columns of numbers a report has."""

from __future__ import annotations

from collections.abc import Sequence

from orwatch.domain.usage import COLUMNS
from orwatch.errors import UsageError
from orwatch.text import nearest, printable

COLUMN_SETS = {
    "tokens": ("tokens_input", "tokens_cached", "cache_rate", "tokens_output", "tokens_reasoning", "cost"),
    "prices": (
        *("tokens_input", "tokens_output", "cost", "cost_per_request", "cost_per_million_tokens"),
        "byok_cost",
    ),
    "all": tuple(COLUMNS),
}
# What only the ledger itself has, and no totals by day.
_DETAILS = {"tokens_cached", "cache_rate", "tokens_reasoning", "cost_per_million_tokens"}


def read_columns(text: str) -> tuple[str, ...]:
    """The names of columns, of a list of them and of sets, joined by commas.

    Raises ``UsageError`` for what is neither.
    """
    found: dict[str, None] = {}
    for name in (part.strip() for part in text.split(",")):
        if name not in COLUMN_SETS and name not in COLUMNS:
            near = nearest(name, (*COLUMN_SETS, *COLUMNS))
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"there is no column {printable(name)!r}.{hint} Write {', '.join(COLUMN_SETS)}, or some of "
                f"{', '.join(COLUMNS)}."
            )
        found |= dict.fromkeys(COLUMN_SETS.get(name, (name,)))
    return tuple(found)


def need_details(columns: Sequence[str] | None) -> bool:
    """Whether the ledger itself is to be read for them."""
    return not _DETAILS.isdisjoint(columns or ())
