"""What each key has spent lately: the ledger's sums, and whether a key without any surely has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from orwatch.domain.days import ONE_DAY, days_between, month_start
from orwatch.domain.keys import AccountState, StoredKey
from orwatch.domain.money import ZERO, sum_known_usd
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import MEASURES, Totals
from orwatch.jobs.key.result import WINDOW_DAYS
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import Grouping, UsageFilter, UsageSum
from orwatch.store.ledger.spans import list_spans

_PROMPT_SYNC = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Spending:
    """The sums of the last 30 days and of this month by key id, and what of that time was read at all."""

    now: datetime
    last_30_days: Mapping[int, Totals]
    this_month: Mapping[int, Totals]
    # The days of that time that were read, and those of the last 30 that lie in a sum of several days within.
    covered: Mapping[int, Set[date]]
    in_sums: Mapping[int, Set[date]]
    # Of keys with sums of several days that touch the last 30.
    in_spans: frozenset[int]
    accounts: Mapping[int, AccountState]
    # The rows of replaced secrets, by the id of the key that they are a part of.
    replaced: Mapping[int, Sequence[StoredKey]]

    @property
    def today(self) -> date:
        """The current UTC day."""
        return self.now.date()

    @property
    def since(self) -> date:
        """The first of the last 30 days."""
        return self.today - timedelta(days=WINDOW_DAYS - 1)

    @property
    def spent_30_days_usd(self) -> Decimal | None:
        """What was spent by all keys, removed ones included."""
        return sum_known_usd(sums.cost_usd for sums in self.last_30_days.values())

    def spent_30_days_by(self, key: StoredKey) -> Decimal | None:
        """What the key has spent, with each of its secrets; None where nothing was read."""
        return sum_known_usd(self._known(row, self.last_30_days, self.since) for row in self._rows(key))

    def spent_month_by(self, key: StoredKey) -> Decimal | None:
        """What the key has spent this month, with each of its secrets; None where nothing was read."""
        return sum_known_usd(map(self._spent_month, self._rows(key)))

    def read_days_of(self, key: StoredKey) -> Set[date]:
        """The days of the last 30 of which it was read what the key has spent."""
        ids = {row.id for row in self._rows(key)}
        days = set().union(*(self.in_sums.get(row_id, ()) for row_id in ids))
        if key.listing is not None and key.source is not UsageSource.COUNTERS:
            # Of a listed key without use no day is recorded.
            ids.add(key.listing.account_key_id)
        days.update(*(self.covered.get(row_id, ()) for row_id in ids))
        return {day for day in days if day >= self.since}

    def days_before(self, key: StoredKey) -> Set[date]:
        """Those of the last 30 on which the key was not there yet, as far as that is known."""
        if key.listing is None or key.listing.created_at is None:
            return frozenset()
        return frozenset(days_between(self.since, key.listing.created_at.date() - ONE_DAY))

    def _rows(self, key: StoredKey) -> Sequence[StoredKey]:
        return (key, *self.replaced.get(key.id, ()))

    def _spent_month(self, key: StoredKey) -> Decimal | None:
        """A key that is watched by its counters may have been added in the middle of the month.

        They have more than the ledger then.
        """
        month = month_start(self.today)
        stored = self._known(key, self.this_month, month)
        reported = key.facts.usage_monthly_usd
        # What the ledger has from elsewhere may have a part of it under the management key.
        is_counted = key.source is UsageSource.COUNTERS or (key.source is None and stored is None)
        if (
            not is_counted
            or key.is_management
            or reported is None
            or key.facts_read_at is None
            or key.facts_read_at.date() < month
        ):
            return stored
        return reported if stored is None else max(stored, reported)

    def _known(self, key: StoredKey, sums: Mapping[int, Totals], since: date) -> Decimal | None:
        if key.id in sums:
            return sums[key.id].cost_usd
        was_read = max(self.covered.get(key.id, ()), default=date.min) >= since
        # Of a listed key without use no day is recorded.
        was_listed = key.listing is not None and key.last_synced_at is not None
        if was_read or (was_listed and key.last_synced_at is not None and key.last_synced_at.date() >= since):
            return ZERO
        return None

    def is_unused(self, key: StoredKey) -> bool:
        """Whether the key is known to have had no use on any of the last 30 days."""
        return not any(map(self._has_use, self._rows(key))) and self._is_known_throughout(key)

    def _has_use(self, row: StoredKey) -> bool:
        sums = self.last_30_days.get(row.id, Totals())
        return row.id in self.in_spans or any(getattr(sums, attribute) for attribute in MEASURES.values())

    def _is_known_throughout(self, key: StoredKey) -> bool:
        if key.last_synced_at is None or self.now - key.last_synced_at > _PROMPT_SYNC:
            return False
        if min(self.covered.get(key.id, ()), default=date.max) <= self.since:
            return True
        if key.listing is None or key.source is UsageSource.COUNTERS:
            return False
        read_back_to = self.accounts.get(key.listing.account_key_id, AccountState()).backfilled_from
        return key.listing.activity_read_at is not None or (
            read_back_to is not None and read_back_to <= self.since
        )


def read_spending(connection: Connection, now: datetime) -> Spending:
    """Read what all keys have spent, in a few queries however many keys there are."""
    today = now.date()
    since, month = today - timedelta(days=WINDOW_DAYS - 1), month_start(today)
    replaced: dict[int, list[StoredKey]] = {}
    for row in stored_keys.list_rows(connection):
        if row.is_replaced:
            replaced.setdefault(row.current_id, []).append(row)
    spans = list_spans(connection, since, today)
    in_spans = {each.key_id for each in spans if each.span.cost_usd or each.span.byok_cost_usd}
    in_sums: dict[int, set[date]] = {}
    for each in spans:
        if since <= each.span.first_day and each.span.last_day <= today:
            days = days_between(each.span.first_day, each.span.last_day)
            in_sums.setdefault(each.key_id, set()).update(days)
    return Spending(
        now=now,
        last_30_days=spent_since(connection, since, today),
        # What cleanup has removed of this month included.
        this_month=spent_since(connection, month, today, is_month=True),
        covered=usage_reads.covered_days_by_key(connection, UsageFilter(min(since, month), today)),
        in_sums=in_sums,
        in_spans=frozenset(in_spans),
        accounts=accounts.account_states(connection),
        replaced=replaced,
    )


def spent_since(
    connection: Connection, since: date, today: date, *, is_month: bool = False
) -> dict[int, Totals]:
    """What each key has spent by today, by its id. ``is_month``: what cleanup has removed of it included."""
    by_key = Grouping(by_key=True)
    if is_month:
        sums = usage_reads.sum_months(connection, by_key, UsageFilter(since, since))
    else:
        sums = usage_reads.sum_usage(connection, by_key, UsageFilter(since, today))
    return _with_spans(connection, sums, since, today)


def spent_on(connection: Connection, day: date) -> Decimal | None:
    """What was spent on a day by all keys; None where nothing was read."""
    wanted = UsageFilter(day, day)
    sums = usage_reads.sum_usage(connection, Grouping(), wanted)
    if sums:
        return sums[0].totals.cost_usd
    return ZERO if usage_reads.covered_days(connection, wanted) else None


def _with_spans(
    connection: Connection, sums: Sequence[UsageSum], since: date, until: date
) -> dict[int, Totals]:
    """The sums by key, with those sums of several days that lie within."""
    found = {row.key_id: row.totals for row in sums if row.key_id is not None}
    for each in list_spans(connection, since, until):
        if since <= each.span.first_day and each.span.last_day <= until:
            spent = Totals(cost_usd=each.span.cost_usd, byok_cost_usd=each.span.byok_cost_usd)
            found[each.key_id] = found.get(each.key_id, Totals()) + spent
    return found
