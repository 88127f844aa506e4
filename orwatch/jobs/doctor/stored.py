"""What doctor knows of the ledger: each key's sums, and which of its days were read from where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from orwatch.domain.days import ONE_DAY, month_start
from orwatch.domain.keys import StoredKey, has_own_source
from orwatch.domain.usage import UsageSpan
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import histories as reads
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.histories import NOTHING, KeyHistory, KeySum

_RANGES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """The ledger by key id, on a day: the sums of this month's days and of all days before it, and its own.

    Spans that end before today are in the sums; of ``crossing`` ones only a part is this month's, and which
    is not known: they are in no month.
    """

    today: date
    kept_from: date
    # All rows, of removed keys and replaced secrets too: an account's totals have them.
    keys: tuple[StoredKey, ...]
    month_before: Mapping[int, KeySum]
    life_before: Mapping[int, KeySum]
    on_today: Mapping[int, KeySum]
    crossing: Mapping[int, Sequence[UsageSpan]]
    histories: Mapping[int, KeyHistory]

    @property
    def yesterday(self) -> date:
        """The last completed day."""
        return self.today - ONE_DAY

    def is_read_by_account(self, key: StoredKey) -> bool:
        """Whether the key's usage comes with that of its account, whose days tell of its own."""
        owner_id = None if key.listing is None else key.listing.account_key_id
        if owner_id is None or owner_id == key.id or has_own_source(key):
            return False
        return owner_id in self.histories

    def history(self, key: StoredKey) -> KeyHistory:
        """The key's history; what was read of its account was read of it, whether it had use or not."""
        own = self.histories.get(key.id, KeyHistory())
        if key.listing is None or not self.is_read_by_account(key):
            return own
        account = self.histories[key.listing.account_key_id]
        return replace(
            own,
            first_day=min(filter(None, (own.first_day, account.first_day)), default=None),
            days={**account.days, **own.days},
        )


def read_stored(connection: Connection, today: date) -> Stored:
    """Read it all in one transaction."""
    this_month = month_start(today)
    histories = reads.histories(connection, date.min, today)
    keys = stored_keys.list_rows(connection)
    for key in keys:
        if key.is_management and key.id in histories:
            read_back_to = accounts.account_state(connection, key.id).backfilled_from
            first_day = min(filter(None, (histories[key.id].first_day, read_back_to)), default=None)
            histories[key.id] = replace(histories[key.id], first_day=first_day)
    on_today = reads.sums_by_key(connection, today, today)
    month = reads.month_sums_by_key(connection, this_month, this_month)
    life = reads.month_sums_by_key(connection, date.min, this_month)
    spans = {key_id: history.spans for key_id, history in histories.items()}
    inside = {
        key_id: [span for span in each if span.first_day >= this_month] for key_id, each in spans.items()
    }
    return Stored(
        today=today,
        kept_from=ledger.kept_from(connection) or date.min,
        keys=tuple(keys),
        month_before=_added(_less(month, on_today), _span_sums(inside)),
        life_before=_added(_less(life, on_today), _span_sums(spans)),
        on_today=on_today,
        crossing={
            key_id: [span for span in each if span.first_day < this_month <= span.last_day]
            for key_id, each in spans.items()
        },
        histories=histories,
    )


def _span_sums(spans: Mapping[int, Iterable[UsageSpan]]) -> dict[int, KeySum]:
    return {
        key_id: sum((KeySum(span.cost_usd, span.byok_cost_usd or NOTHING.byok_usd) for span in each), NOTHING)
        for key_id, each in spans.items()
    }


def _less(sums: Mapping[int, KeySum], part: Mapping[int, KeySum]) -> dict[int, KeySum]:
    return {key_id: each - part.get(key_id, NOTHING) for key_id, each in sums.items()}


def _added(*parts: Mapping[int, KeySum]) -> dict[int, KeySum]:
    total: dict[int, KeySum] = {}
    for part in parts:
        for key_id, each in part.items():
            total[key_id] = total.get(key_id, NOTHING) + each
    return total


def in_spans(days: Iterable[date], spans: Iterable[UsageSpan]) -> list[date]:
    """Those of the days of which only a sum is known."""
    spans = tuple(spans)
    return [day for day in days if any(span.first_day <= day <= span.last_day for span in spans)]


def day_ranges(days: Iterable[date]) -> str:
    """The days as ranges: ``2026-11-03 to 2026-11-05, 2026-11-09``; the latest few of many."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(days):
        if ranges and ranges[-1][1] == day - ONE_DAY:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    shown = [str(first) if first == last else f"{first} to {last}" for first, last in ranges[-_RANGES_SHOWN:]]
    more = len(ranges) - len(shown)
    return ", ".join(shown) + (f" and {more} times before" if more else "")


def days_that_explain(*groups: tuple[str, Sequence[date]]) -> str:
    """A sentence on the days that could explain a difference, by what is the matter with them."""
    named = [f"{what} {day_ranges(days)}" for what, days in groups if days]
    return f"Days that could explain it: {'; '.join(named)}." if named else ""
