"""Status: how the jobs, the keys and the database stand, and what needs a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from orwatch.domain import schedule
from orwatch.domain.keys import InactiveReason, StoredKey
from orwatch.domain.money import ZERO, add_exactly
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.jobs.cron.result import CronShowResult
from orwatch.jobs.cron.summary import overdue, summarise, why_ahead
from orwatch.jobs.key.spending import Spending, read_spending, spent_on, total_usd
from orwatch.jobs.status.result import AccountBalance, Allowance, JobStatus, KeyStatus, Purchase, StatusResult
from orwatch.store import runs
from orwatch.store.engine import locks
from orwatch.store.engine.database import Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.keys.accounts import CreditsReading
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger import write as ledger


def run(
    store: Store,
    now: datetime,
    shown: CronShowResult | None = None,
    *,
    has_encryption_key: bool = True,
) -> StatusResult:
    """Read everything in one transaction. ``shown``: what is installed; None: not looked up.

    Raises ``StoreUnusableError``, ``StoreUnavailableError``.
    """
    with store.read() as connection:
        created_at = ledger.created_at(connection)
        last_runs = {job: runs.last_run(connection, job) for job in Job}
        slots = {job: runs.recent_slots(connection, job, schedule.SLOTS_OF_A_RHYTHM, now) for job in Job}
        all_keys = stored_keys.list_keys(connection, with_removed=True)
        extent = usage_reads.ledger_extent(connection)
        spending = read_spending(connection, now)
        spent_today = spent_on(connection, now.date())
        owners = _account_owners(all_keys, spending)
        lacks_encryption_key = not has_encryption_key and stored_keys.has_secrets(connection)
        readings = {owner.id: accounts.list_credits(connection, owner.id) for owner in owners}
    keys = [key for key in all_keys if not key.is_removed and not key.is_deleted]
    active_owners = {key.id for key in keys if key.is_management and key.is_active}
    watched = {key.id: key.created_at for key in keys if _is_watched(key, active_owners)}
    # With no key to watch there is nothing to miss.
    watched_since = max(created_at, min(watched.values())) if watched else None
    balances = {owner.id: _balance(owner, readings[owner.id]) for owner in owners}
    summary = None if shown is None else summarise(shown)
    sets_times = summary is None or summary.sets_times

    def why_missed(job: Job) -> str | None:
        if watched_since is None:
            return None
        return overdue(job, last_runs[job], slots[job], watched_since, now, sets_times=sets_times)

    return StatusResult(
        now=now,
        jobs=tuple(
            _job_status(
                job,
                _settled(store, job, last_runs[job]),
                why_missed(job),
                schedule.next_slot(job, now) if sets_times else None,
                now,
            )
            for job in Job
        ),
        keys=tuple(
            KeyStatus(key, key.state(now), _key_problem(key, now, is_watched=key.id in watched))
            for key in keys
        ),
        database=store.location,
        database_bytes=store.size_bytes(),
        ledger_rows=extent.rows,
        first_day=extent.first_day,
        last_day=extent.last_day,
        spent_today_usd=spent_today,
        spent_month_usd=total_usd([spending.spent_month_by(key) for key in all_keys]),
        accounts=tuple(balances.values()),
        allowances=tuple(_allowances(keys, balances, now)),
        schedule=summary,
        lacks_encryption_key=lacks_encryption_key,
        runs_by_itself=schedule.rhythm(slots[Job.SYNC]) is not None,
    )


def _is_watched(key: StoredKey, active_owners: Collection[int]) -> bool:
    """Whether a sync is to read the key, with its own secret or through a management key."""
    is_listed = key.listing is not None and key.listing.account_key_id in active_owners
    return key.is_active and (key.secret_encrypted is not None or is_listed)


def _account_owners(keys: Sequence[StoredKey], spending: Spending) -> list[StoredKey]:
    """The active management keys, one for each account: with the first all is read."""
    owners: list[StoredKey] = []
    seen: set[str] = set()
    for key in keys:
        if not key.is_management or not key.is_active or key.is_removed:
            continue
        state = spending.accounts.get(key.id)
        account_id = None if state is None else state.account_id
        if account_id is None or account_id not in seen:
            owners.append(key)
        if account_id is not None:
            seen.add(account_id)
    return owners


def _balance(owner: StoredKey, readings: Sequence[CreditsReading]) -> AccountBalance:
    if not readings:
        return AccountBalance(owner.name)
    purchase = None
    for before, after in pairwise(readings):
        growth = add_exactly(after.credits.bought_usd, -before.credits.bought_usd)
        if growth > 0:
            purchase = Purchase(growth, before.read_at.date())
    return AccountBalance(owner.name, readings[-1].credits, readings[-1].read_at, purchase)


def _allowances(
    keys: Sequence[StoredKey], balances: Mapping[int, AccountBalance], now: datetime
) -> list[Allowance]:
    """What can still be spent with each usable key that has a limit, the least first."""
    found = []
    for key in keys:
        listing, remaining = key.listing, key.facts.limit_remaining_usd
        if key.is_management or not key.is_active or key.is_listed_disabled:
            continue
        if remaining is None or key.facts_read_at is None or key.is_expired(now):
            continue
        account = None if listing is None else balances.get(listing.account_key_id)
        balance = account.credits.balance_usd if account is not None and account.credits else None
        least = remaining if balance is None else min(remaining, balance)
        found.append(Allowance(key, max(ZERO, least), balance))
    return sorted(found, key=lambda each: each.amount_usd)


def _settled(store: Store, job: Job, last_run: JobRun | None) -> JobRun | None:
    """The last run, called interrupted where it never said that it ended and holds no lock."""
    if last_run is None or last_run.status is not RunStatus.RUNNING or locks.is_held(store, job):
        return last_run
    # It may have ended between the two looks; what it recorded before it let go of its lock counts.
    with store.read() as connection:
        latest = runs.last_run(connection, job)
    return replace(last_run, status=RunStatus.INTERRUPTED) if latest == last_run else latest


def _job_status(
    job: Job, last_run: JobRun | None, why_missed: str | None, next_due_at: datetime | None, now: datetime
) -> JobStatus:
    problem = None
    if why_missed is not None:
        problem = f"{job} {why_missed}"
    elif last_run is not None and (ahead := why_ahead(last_run, now)) is not None:
        problem = f"the last {job} {ahead}"
    elif last_run is not None and last_run.status is RunStatus.INTERRUPTED:
        problem = f"the last {job} was interrupted{_interruption(last_run.error)}"
    elif last_run is not None and last_run.status is RunStatus.FAILED:
        problem = f"the last {job} failed: {last_run.error}"
    age = None if last_run is None else int((now - last_run.started_at).total_seconds())
    return JobStatus(job, last_run, next_due_at, why_missed is not None, problem, age)


def _interruption(error: str | None) -> str:
    """Why, where that was recorded, and what follows from it."""
    carries_on = "the next one carries on where it stopped"
    if error is None:
        return f"; {carries_on}"
    reason = error.partition("; ")[0].rstrip(".")
    advice = "; if it needs that long, raise the limit" if "ORWATCH_JOB_TIMEOUT" in error else ""
    return f": {reason}; {carries_on}{advice}"


def _key_problem(key: StoredKey, now: datetime, *, is_watched: bool) -> str | None:
    if key.is_listed_disabled:
        return None
    if key.inactive_reason is InactiveReason.INVALID:
        return "invalid: OpenRouter refuses it. Add a new key, and remove or disable this one"
    if not is_watched:
        return None
    if key.last_sync_error is not None:
        return f"the last sync: {key.last_sync_error}"
    if key.secret_encrypted is None and key.is_expired(now):
        # An expired key stays listed until it is deleted; orwatch needs no successor of it.
        return None
    return key.facts.expiry_warning(now)
