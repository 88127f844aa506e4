"""What a report begins with: what each day cost, and how that compares with the days before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from orwatch.domain.days import ONE_DAY, days_between
from orwatch.domain.keys import StoredKey
from orwatch.domain.money import ZERO, sum_exactly
from orwatch.jobs.report.coverage import with_accounts
from orwatch.jobs.report.daily import cover_of, read_daily_costs
from orwatch.jobs.report.result import Change, Days
from orwatch.store.engine.database import Connection
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger.read import UsageFilter
from orwatch.store.ledger.spans import KeySpan, list_spans


def read_headline(
    connection: Connection, wanted: UsageFilter, keys: Sequence[StoredKey], today: date
) -> tuple[Change | None, tuple[Decimal | None, ...]]:
    """The change, where all of both windows is known, and what each day cost; None: not known."""
    pair = _windows(wanted, today)
    since = wanted.since if pair is None else pair[1].since
    costs = read_daily_costs(connection, cover_of(wanted), since, wanted.until)
    known = costs.known
    of_days = tuple(known.get(day) for day in days_between(wanted.since, wanted.until))
    if pair is None:
        return None, of_days
    days, before = pair
    both = replace(wanted, since=before.since, until=days.until)
    spans = list_spans(connection, both.since, both.until, both.key_ids)
    has_models = both.model_ids is None or {*days_between(both.since, both.until)} <= known.keys()
    if not has_models or not _is_whole(connection, both, before.until, keys, spans):
        return None, of_days
    change = Change(days, _sum(costs.read, spans, days), before, _sum(costs.read, spans, before))
    return change, of_days


def _windows(wanted: UsageFilter, today: date) -> tuple[Days, Days] | None:
    """The whole days of the window and as many before; today is still going on."""
    days = Days(wanted.since, min(wanted.until, today - ONE_DAY))
    if days.count < 1 or (days.since - date.min).days < days.count:
        return None
    return days, Days(days.since - days.count * ONE_DAY, days.since - ONE_DAY)


def _is_whole(
    connection: Connection,
    both: UsageFilter,
    border: date,
    keys: Sequence[StoredKey],
    spans: Sequence[KeySpan],
) -> bool:
    """Whether each key that was read on any of the days was read on all of them; some key was.

    Otherwise a key that is new here would look like more spending. A sum of several days counts on its side
    of the border.
    """
    known = usage_reads.covered_days_by_key(connection, with_accounts(both, keys))
    for each in spans:
        first, last = each.span.first_day, each.span.last_day
        if first < both.since or first <= border < last or last > both.until:
            return False
        known.setdefault(each.key_id, set()).update(days_between(first, last))
    # A listed key is read with its account, a secret that was replaced is the same key's.
    owners = {key.id: key.listing.account_key_id if key.listing else key.current_id for key in keys}
    by_owner: dict[int, set[date]] = {}
    for key_id, days in known.items():
        owner = owners[key_id]
        by_owner.setdefault(owners.get(owner, owner), set()).update(days)
    wanted_days = set(days_between(both.since, both.until))
    return bool(by_owner) and all(wanted_days <= days for days in by_owner.values())


def _sum(costs: Mapping[date, Decimal], spans: Sequence[KeySpan], days: Days) -> Decimal:
    """What some of the days cost: each sum of several days is of them, or of none."""
    inside = (each.span.cost_usd for each in spans if days.since <= each.span.first_day <= days.until)
    return sum_exactly((*inside, *(costs.get(day, ZERO) for day in days_between(days.since, days.until))))
