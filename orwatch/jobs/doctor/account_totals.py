"""Doctor's comparison of an account's ledger with what ``GET /credits`` tells of the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

from orwatch.domain.days import days_between
from orwatch.domain.keys import Credits, StoredKey
from orwatch.domain.money import ZERO, add_exactly
from orwatch.errors import ApiError
from orwatch.jobs.doctor.key_totals import REMEMBERED_DAYS, usd
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus, Comparison
from orwatch.jobs.doctor.stored import Stored, told_days
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys.accounts import CreditsReading
from orwatch.store.ledger import histories as reads

_LEAST_TOLERANCE = Decimal("0.05")
_TOLERANCE_SHARE = Decimal("0.01")
_DAY = timedelta(days=1)


def compare_accounts(
    connection: Connection, stored: Stored, told: Mapping[int, Credits | ApiError]
) -> Iterator[Check]:
    """What each account's ledger has grown by against what its credits have."""
    for owner in stored.keys:
        if owner.id in told:
            yield _compare(connection, stored, owner, told[owner.id])


def _compare(connection: Connection, stored: Stored, owner: StoredKey, told: Credits | ApiError) -> Check:
    if isinstance(told, ApiError):
        return _check(owner, CheckStatus.UNKNOWN, f"the account's credits: {told}")
    readings = [
        reading
        for reading in accounts.list_credits(connection, owner.id)
        if stored.kept_from <= reading.read_at.date() <= stored.today
    ]
    if not readings or readings[0].read_at.date() == readings[-1].read_at.date():
        why = "the account's credits: compared when syncs have read them on two days"
        return _check(owner, CheckStatus.SKIPPED, why)
    return _judge(connection, stored, owner, readings, told)


def _judge(
    connection: Connection,
    stored: Stored,
    owner: StoredKey,
    readings: Sequence[CreditsReading],
    told: Credits,
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
    difference = add_exactly(growth, -stored_usd)
    comparison = Comparison(since, until, stored_usd, growth)
    sums = f"the account from {since} to {until}: {usd(stored_usd)} stored, {usd(growth)} told by its credits"
    since_then = add_exactly(told.spent_usd, -last.credits.spent_usd)
    if growth < ZERO or since_then < -_LEAST_TOLERANCE:
        message = f"{sums}: what the account has spent went down, so that nothing can be compared"
        return _check(owner, CheckStatus.UNKNOWN, message, comparison=comparison)
    if abs(difference) <= max(_LEAST_TOLERANCE, growth * _TOLERANCE_SHARE):
        more = f"; {usd(since_then)} more since" if since_then >= _LEAST_TOLERANCE else ""
        return _check(owner, CheckStatus.OK, sums + more, comparison=comparison)
    what = "is missing" if difference > ZERO else "too much is stored"
    wanted = min((stored.today - since).days + 1, REMEMBERED_DAYS)
    return _check(
        owner,
        CheckStatus.FINDING,
        f"{sums}: {usd(abs(difference))} {what}. {_suspects(stored, owner, since, until)}".rstrip(),
        f"`orwatch sync --days {wanted}` reads the last days again, "
        "`orwatch sync --backfill 365d` all of them; then run this again.",
        comparison,
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
        sum((each.cost_usd for key_id, each in sums.items() if key_id in ids), ZERO)
        for sums in (
            reads.sums_by_key(connection, since + _DAY, until - _DAY),
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
    groups = (
        ("no data of", [day for day in days if day not in read]),
        ("not settled yet", [day for day in days if day in read and not read[day].is_settled]),
    )
    told = [f"{what} {told_days(group)}" for what, group in groups if group]
    return f"Days that could explain it: {'; '.join(told)}." if told else ""


def _check(
    owner: StoredKey,
    status: CheckStatus,
    message: str,
    advice: str | None = None,
    comparison: Comparison | None = None,
) -> Check:
    return Check(CheckArea.TOTALS, owner.name, status, message, advice, comparison)
