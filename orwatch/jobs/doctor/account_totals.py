"""Doctor's comparison of an account's ledger with what ``GET /credits`` reports of the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from orwatch.domain.days import ONE_DAY, days_between
from orwatch.domain.keys import Credits, StoredKey
from orwatch.domain.money import ZERO, add_exactly, dollars, sum_exactly
from orwatch.errors import ApiError
from orwatch.jobs.doctor.key_totals import REMEMBERED_DAYS
from orwatch.jobs.doctor.result import Check, CheckArea, Comparison
from orwatch.jobs.doctor.stored import Stored, days_that_explain
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys.accounts import CreditsReading
from orwatch.store.ledger import histories as reads

_LEAST_TOLERANCE = Decimal("0.05")
_TOLERANCE_SHARE = Decimal("0.01")


def compare_accounts(
    connection: Connection, stored: Stored, reported: Mapping[int, Credits | ApiError]
) -> Iterator[Check]:
    """What each account's ledger has grown by against what its credits have."""
    for owner in stored.keys:
        if owner.id in reported:
            yield _compare(connection, stored, owner, reported[owner.id])


def _compare(connection: Connection, stored: Stored, owner: StoredKey, reported: Credits | ApiError) -> Check:
    if isinstance(reported, ApiError):
        return CheckArea.TOTALS.unknown(owner.name, f"the account's credits: {reported}")
    readings = [
        reading
        for reading in accounts.list_credits(connection, owner.id)
        if stored.kept_from <= reading.read_at.date() <= stored.today
    ]
    if not readings or readings[0].read_at.date() == readings[-1].read_at.date():
        why = "the account's credits: compared when syncs have read them on two days"
        return CheckArea.TOTALS.skipped(owner.name, why)
    return _judge(connection, stored, owner, readings, reported)


def _judge(
    connection: Connection,
    stored: Stored,
    owner: StoredKey,
    readings: Sequence[CreditsReading],
    reported: Credits,
) -> Check:
    """Compare from the first reading to the last.

    Both were taken some time in their days: what the account spent between them is at least what the ledger
    has of the days between, and at most that with both of theirs.
    """
    first, last = readings[0], readings[-1]
    since, until = first.read_at.date(), last.read_at.date()
    growth = add_exactly(last.credits.spent_usd, -first.credits.spent_usd)
    least, most = _ledger(connection, stored, owner, since, until)
    stored_usd = min(max(growth, least), most)
    comparison = Comparison(since, until, stored_usd, growth)
    since_then = add_exactly(reported.spent_usd, -last.credits.spent_usd)
    verdict = _verdict(stored, owner, since, comparison, since_then)
    return replace(verdict, comparison=comparison)


def _verdict(
    stored: Stored, owner: StoredKey, since: date, compared: Comparison, since_then: Decimal
) -> Check:
    """``since_then``: what was spent after the last reading."""
    until, difference = compared.until, compared.difference_usd
    sums = (
        f"the account from {since} to {until}: {dollars(compared.stored_usd)} stored, "
        f"{dollars(compared.reported_usd)} by its credits"
    )
    if compared.reported_usd < ZERO or since_then < -_LEAST_TOLERANCE:
        message = f"{sums}: what the account has spent went down, so that nothing can be compared"
        return CheckArea.TOTALS.unknown(owner.name, message)
    if abs(difference) <= max(_LEAST_TOLERANCE, compared.reported_usd * _TOLERANCE_SHARE):
        more = f"; {dollars(since_then)} more since" if since_then >= _LEAST_TOLERANCE else ""
        return CheckArea.TOTALS.ok(owner.name, sums + more)
    what = "is missing" if difference > ZERO else "too much is stored"
    wanted = min((stored.today - since).days + 1, REMEMBERED_DAYS)
    return CheckArea.TOTALS.finding(
        owner.name,
        f"{sums}: {dollars(abs(difference))} {what}. {_suspects(stored, owner, since, until)}".rstrip(),
        f"`orwatch sync --days {wanted}` reads the last days again, "
        "`orwatch sync --backfill 365d` all of them; then run this again.",
    )


def _ledger(
    connection: Connection, stored: Stored, owner: StoredKey, since: date, until: date
) -> tuple[Decimal, Decimal]:
    """What the ledger has of the days between ``since`` and ``until``, and with both of them."""
    ids = {
        key.id for key in stored.keys if key.listing is not None and key.listing.account_key_id == owner.id
    }
    ids.add(owner.id)
    inner, outer = (
        sum_exactly(each.cost_usd for key_id, each in sums.items() if key_id in ids)
        for sums in (
            reads.sums_by_key(connection, since + ONE_DAY, until - ONE_DAY),
            reads.sums_by_key(connection, since, until),
        )
    )
    for key_id in ids:
        for span in stored.histories[key_id].spans if key_id in stored.histories else ():
            if since < span.first_day and span.last_day < until:
                inner = add_exactly(inner, span.cost_usd)
            if span.first_day <= until and span.last_day >= since:
                outer = add_exactly(outer, span.cost_usd)
    return inner, outer


def _suspects(stored: Stored, owner: StoredKey, since: date, until: date) -> str:
    read = stored.histories[owner.id].days if owner.id in stored.histories else {}
    days = list(days_between(since, until))
    return days_that_explain(
        ("no data for", [day for day in days if day not in read]),
        ("not settled yet", [day for day in days if day in read and not read[day].is_settled]),
    )
