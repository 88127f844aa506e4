"""Doctor's comparison of what is stored with what OpenRouter's own counters report, key by key."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from orwatch.domain.contradictions import tolerance_usd
from orwatch.domain.days import days_between, month_start
from orwatch.domain.keys import KeyFacts, StoredKey
from orwatch.domain.money import ZERO, add_exactly, dollars, sum_exactly
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageSpan
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus, Comparison
from orwatch.jobs.doctor.stored import Stored, days_that_explain, in_spans
from orwatch.store.ledger.histories import NOTHING, KeyHistory

# The API's memory, today included: further back only an account's analytics reach.
REMEMBERED_DAYS = 31

_WEAK_SOURCES = frozenset({UsageSource.COUNTERS, UsageSource.ANALYTICS})
_READ_TODAY_AGAIN = (
    "`orwatch sync` reads today again; then run this again. If it is still missing, the source of its usage "
    "leaves it out."
)
_READ_AGAIN = "`orwatch sync` reads what is missing; then run this again."


@dataclass(frozen=True, slots=True)
class _Case:
    """One sum to compare. ``before_usd``: stored of the days before today.

    ``since`` None: the key's lifetime. ``reported_today_usd`` None: the API does not report it.
    ``synced_today_usd``: what the last sync could read of today; None: the counters were not read then.
    """

    key: StoredKey
    stored: Stored
    history: KeyHistory
    what: str
    since: date | None
    before_usd: Decimal
    today_usd: Decimal
    reported_usd: Decimal
    reported_today_usd: Decimal | None
    synced_today_usd: Decimal | None
    crossing: Collection[UsageSpan] = ()

    @property
    def comparison(self) -> Comparison:
        stored = add_exactly(self.before_usd, self.today_usd)
        return Comparison(self.since, self.stored.today, stored, self.reported_usd)

    @property
    def tolerance_usd(self) -> Decimal:
        return tolerance_usd(self.reported_usd)

    @property
    def missed_today_usd(self) -> Decimal:
        """What today had cost when the last sync came, and is not stored; zero where that is not known."""
        synced_usd = self.synced_today_usd or ZERO
        missed_usd = add_exactly(synced_usd, -self.today_usd)
        return missed_usd if missed_usd > tolerance_usd(synced_usd) else ZERO

    @property
    def is_synced_today(self) -> bool:
        synced_at = self.key.last_synced_at
        return synced_at is not None and synced_at.date() == self.stored.today

    @property
    def is_counted_only(self) -> bool:
        """Whether past days cannot be fetched, for the API reports nothing but counters."""
        return self.key.source is UsageSource.COUNTERS

    def known_from(self) -> date | None:
        """The first day that anything is known of."""
        history = self.history
        return min(filter(None, (history.first_day, history.first_month)), default=None)

    def begins_late(self) -> bool:
        """Whether there may have been use before the first day that is known."""
        created_at = None if self.key.listing is None else self.key.listing.created_at
        if self.since is not None:
            begin = max(self.since, created_at.date()) if created_at else self.since
            known_from = self.known_from()
            return known_from is None or known_from > begin
        # Of monthly totals it is not known on which day of its month they began.
        first_day = self.history.first_day
        return created_at is None or first_day is None or first_day > created_at.date()


def compare_keys(stored: Stored, facts: Mapping[int, KeyFacts]) -> Iterator[Check]:
    """What is stored of each key against its counters: this month, BYOK apart, and in its lifetime."""
    for key in stored.keys:
        reported = facts.get(key.id)
        if reported is None or key.is_management:
            continue
        if reported.usage_monthly_usd is None and reported.usage_usd is None:
            yield CheckArea.TOTALS.skipped(key.name, "the API does not report what it has spent")
            continue
        if key.last_synced_at is None:
            yield CheckArea.TOTALS.skipped(key.name, "no sync has read it yet")
            continue
        yield from _compare_key(key, stored, reported)


def _compare_key(key: StoredKey, stored: Stored, reported: KeyFacts) -> Iterator[Check]:
    history = stored.history(key)
    month_before = stored.month_before.get(key.id, NOTHING)
    on_today = stored.on_today.get(key.id, NOTHING)
    crossing = stored.crossing.get(key.id, ())
    at_sync = key.facts if _were_facts_synced(key, stored.today) else KeyFacts(key.facts.kind)
    whole = _Case(
        key,
        stored,
        history,
        "lifetime",
        None,
        stored.life_before.get(key.id, NOTHING).cost_usd,
        on_today.cost_usd,
        reported.usage_usd or ZERO,
        reported.usage_daily_usd,
        at_sync.usage_daily_usd,
    )
    this_month = ZERO
    if reported.usage_monthly_usd is not None:
        case = replace(
            whole,
            what="this month",
            since=month_start(stored.today),
            before_usd=month_before.cost_usd,
            reported_usd=reported.usage_monthly_usd,
            crossing=crossing,
        )
        check = _judge(case)
        this_month = case.comparison.difference_usd if check.status is CheckStatus.FINDING else ZERO
        yield check
        byok = reported.byok_usage_monthly_usd
        if byok is not None and (byok or month_before.byok_usd or on_today.byok_usd) and _tells_byok(case):
            byok_spans = [replace(span, cost_usd=span.byok_cost_usd or ZERO) for span in crossing]
            yield _judge(
                replace(
                    case,
                    what="this month, with keys of your own (BYOK)",
                    before_usd=month_before.byok_usd,
                    today_usd=on_today.byok_usd,
                    reported_usd=byok,
                    reported_today_usd=reported.byok_usage_daily_usd,
                    synced_today_usd=at_sync.byok_usage_daily_usd,
                    crossing=byok_spans,
                )
            )
    if reported.usage_usd is not None:
        rest = add_exactly(whole.comparison.difference_usd, -this_month)
        if this_month and abs(rest) <= whole.tolerance_usd:
            check = CheckArea.TOTALS.ok(key.name, f"{_sums(whole)}: the same difference as this month")
            yield replace(check, comparison=whole.comparison)
        else:
            yield _judge(whole)


def _were_facts_synced(key: StoredKey, today: date) -> bool:
    """Whether the counters that are stored were read today, and no later than today's usage."""
    read_at, synced_at = key.facts_read_at, key.last_synced_at
    if read_at is None or synced_at is None or key.synced_through != today:
        return False
    return read_at.date() == today and read_at <= synced_at


def _tells_byok(case: _Case) -> bool:
    days = case.history.days
    return not any(
        each.source is UsageSource.USAGE
        for day, each in days.items()
        if case.since is None or day >= case.since
    )


def _judge(case: _Case) -> Check:
    return replace(_verdict(case), comparison=case.comparison)


def _verdict(case: _Case) -> Check:
    """What to say about a difference between what is stored and what is reported."""
    name = case.key.name
    comparison, tolerance = case.comparison, case.tolerance_usd
    difference = comparison.difference_usd
    if abs(difference) <= tolerance:
        return CheckArea.TOTALS.ok(name, _sums(case))
    synced = f"{case.key.last_synced_at:%Y-%m-%d %H:%M} UTC"
    if case.is_synced_today and case.reported_today_usd is not None:
        running = add_exactly(case.reported_today_usd, -case.today_usd)
        difference = add_exactly(difference, -running)
        begins_this_month = case.since is not None and difference > ZERO and case.begins_late()
        if case.missed_today_usd > ZERO and (abs(difference) <= tolerance or begins_this_month):
            message = (
                f"{_sums(case)}: {dollars(case.missed_today_usd)} of today is missing. OpenRouter reported "
                f"it when the last sync was made, at {synced}"
            )
            return CheckArea.TOTALS.finding(name, message, _READ_TODAY_AGAIN)
        if abs(difference) <= tolerance and running > ZERO:
            message = f"{_sums(case)}: {dollars(running)} was spent since the last sync at {synced}"
            return CheckArea.TOTALS.ok(name, message)
        if abs(difference) <= tolerance:
            difference = running
    if difference < ZERO:
        more = f"{_sums(case)}: {dollars(-difference)} too much is stored. {_suspects(case)}"
        return CheckArea.TOTALS.finding(name, more.rstrip(), _how_to_fill(case))
    if case.begins_late():
        known_from = case.known_from()
        begin = "no completed day is stored" if known_from is None else f"history begins on {known_from}"
        return CheckArea.TOTALS.ok(name, f"{_sums(case)}: {begin}", _how_to_reach_back(case))
    if not case.is_synced_today or case.reported_today_usd is None:
        message = (
            f"{_sums(case)}: {dollars(difference)} more may have been spent since the last sync at {synced}"
        )
        return CheckArea.TOTALS.unknown(name, message, _READ_AGAIN)
    if difference <= sum_exactly(span.cost_usd for span in case.crossing) + tolerance:
        spans = ", ".join(f"{span.first_day} to {span.last_day}" for span in case.crossing)
        only_total = f"only a total is known for {spans}, and not how much of it is this month's"
        return CheckArea.TOTALS.ok(name, f"{_sums(case)}: {only_total}")
    message = f"{_sums(case)}: {dollars(difference)} is missing. {_suspects(case)}"
    return CheckArea.TOTALS.finding(name, message.rstrip(), _how_to_fill(case))


def _sums(case: _Case) -> str:
    stored, reported = case.comparison.stored_usd, case.comparison.reported_usd
    return f"{case.what}: {dollars(stored)} stored, {dollars(reported)} at OpenRouter"


def _completed_days(case: _Case) -> list[date]:
    """The completed days that are looked at for an explanation."""
    stored = case.stored
    known_from = case.known_from() or stored.today
    since = max(known_from, case.since or date.min, stored.kept_from)
    return list(days_between(since, stored.yesterday))


def _suspects(case: _Case) -> str:
    """The days that could explain a difference."""
    days = _completed_days(case)
    read = case.history.days
    sums_only = in_spans(days, case.history.spans)
    return days_that_explain(
        ("no data for", _missing(case)),
        ("only a total for", sums_only),
        ("not settled yet", [day for day in days if day in read and not read[day].is_settled]),
        (
            "from counters or analytics",
            [day for day in days if day in read and read[day].source in _WEAK_SOURCES],
        ),
    )


def _missing(case: _Case) -> list[date]:
    days = _completed_days(case)
    known = {*case.history.days, *in_spans(days, case.history.spans)}
    return [day for day in days if day not in known]


def _how_to_fill(case: _Case) -> str:
    if case.is_counted_only:
        return (
            "This server reports only counters: past days cannot be read again. "
            "A counter that was reset at OpenRouter would explain it, too."
        )
    days = _missing(case) or _completed_days(case)
    wanted = (case.stored.today - min(days, default=case.stored.today)).days + 1
    if wanted > REMEMBERED_DAYS and case.stored.is_read_by_account(case.key):
        return f"`orwatch sync --backfill {min(wanted, 365)}d` reads those days again, then run this again."
    return (
        f"`orwatch sync --days {min(wanted, REMEMBERED_DAYS)}` reads those days again, then run this again."
    )


def _how_to_reach_back(case: _Case) -> str | None:
    known_from = case.known_from()
    if known_from is not None and known_from <= case.stored.kept_from:
        return None  # what was before, cleanup has removed, and no sync reads it again
    if case.stored.is_read_by_account(case.key):
        return "`orwatch sync --backfill 365d` fetches what OpenRouter still has."
    since = case.since or case.stored.today
    if case.is_counted_only:
        return None
    oldest = case.stored.today.fromordinal(case.stored.today.toordinal() - REMEMBERED_DAYS + 1)
    if known_from is not None and known_from <= oldest:
        return None
    wanted = (case.stored.today - since).days + 1 if case.since else REMEMBERED_DAYS
    return f"`orwatch sync --days {wanted}` fetches what OpenRouter still has."
