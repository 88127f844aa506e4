"""Status: how the jobs, the keys and the database stand, and what needs a person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter

from orwatch.domain import schedule
from orwatch.domain.keys import StoredKey, account_owners
from orwatch.domain.money import add_exactly, sum_known_usd
from orwatch.domain.runs import Job
from orwatch.jobs.cron.result import CronShowResult
from orwatch.jobs.cron.summary import overdue, summarise
from orwatch.jobs.key.allowances import Allowances, read_allowances
from orwatch.jobs.key.problems import KeyProblem
from orwatch.jobs.key.secrets import open_what_opens
from orwatch.jobs.key.spending import read_spending, spent_on
from orwatch.jobs.report.forecast import balance_lasts, month_forecast
from orwatch.jobs.runs.history import settled
from orwatch.jobs.status.needs import job_need, key_need
from orwatch.jobs.status.result import AccountStatus, Allowance, JobStatus, KeyStatus, Purchase, StatusResult
from orwatch.secrets import Keyring
from orwatch.store import alerts as stored_alerts
from orwatch.store import deliveries, runs
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import read as usage_reads
from orwatch.store.ledger import write as ledger


def run(
    store: Store,
    now: datetime,
    shown: CronShowResult | None = None,
    *,
    keyring: Keyring | None = None,
) -> StatusResult:
    """Read everything in one transaction. ``shown``: what is installed; None: not looked up.

    The keys of ``keyring`` are tried on every stored secret; None: they are not.

    Raises ``StoreUnusableError``, ``StoreUnavailableError``.
    """
    with store.read() as connection:
        created_at = ledger.created_at(connection)
        last_runs = {job: runs.last_run(connection, job) for job in Job}
        slots = {job: runs.recent_slots(connection, job, schedule.SLOTS_OF_A_RHYTHM, now) for job in Job}
        all_keys = stored_keys.list_keys(connection, with_removed=True)
        sealed = stored_keys.list_sealed(connection)
        extent = usage_reads.ledger_extent(connection)
        spending = read_spending(connection, now)
        spent_today = spent_on(connection, now.date())
        alerts = stored_alerts.list_alerts(connection, only_open=True)
        undelivered = deliveries.list_undelivered(connection)
        owners = account_owners(all_keys, spending.accounts)
        balances = {owner.id: _balance(connection, owner) for owner in owners}
        allowances = read_allowances(connection, all_keys, now)
        spent_month = sum_known_usd(map(spending.spent_month_by, all_keys))
        course = None if spent_month is None else month_forecast(connection, now, spent_usd=spent_month)
    keys = [key for key in all_keys if not key.is_removed and not key.is_deleted]
    active_owners = {key.id for key in keys if key.watches_account}
    watched = {key.id: key.created_at for key in keys if _is_watched(key, active_owners)}
    # With no key to watch there is nothing to miss.
    watched_since = max(created_at, min(watched.values())) if watched else None
    _, unopened = open_what_opens(store, keyring, sealed) if keyring and keyring.keys else ({}, {})
    opens_no_secret = bool(sealed) and len(unopened) == len(sealed)
    with_unopened = {row.current_id for row in sealed if row.id in unopened}
    summary = None if shown is None else summarise(shown)
    sets_times = summary is None or summary.sets_times

    def job_status(job: Job) -> JobStatus:
        run, why_missed = last_runs[job], None
        if watched_since is not None:
            why_missed = overdue(job, run, slots[job], watched_since, now, sets_times=sets_times)
        run = None if run is None else settled(store, run)
        due_at = schedule.next_slot(job, now) if sets_times else None
        age = None if run is None else int((now - run.started_at).total_seconds())
        need = job_need(job, run, why_missed, now)
        return JobStatus(job, run, due_at, why_missed is not None, need, age)

    def key_status(key: StoredKey) -> KeyStatus:
        is_unopened = key.id in with_unopened and not opens_no_secret
        need = key_need(key, now, is_watched=key.id in watched, is_unopened=is_unopened)
        alert = f"key:{key.id}{need.alert}" if isinstance(need, KeyProblem) else None
        return KeyStatus(key, key.state(now), None if need is None else str(need), alert)

    return StatusResult(
        now=now,
        jobs=tuple(map(job_status, Job)),
        keys=tuple(map(key_status, keys)),
        database=store.location,
        database_bytes=store.size_bytes(),
        ledger_rows=extent.rows,
        first_day=extent.first_day,
        last_day=extent.last_day,
        spent_today_usd=spent_today,
        spent_month_usd=spent_month,
        course=course,
        accounts=tuple(balances.values()),
        allowances=tuple(_allowances(keys, allowances, now)),
        alerts=tuple(alerts),
        undelivered_alerts=len(undelivered),
        schedule=summary,
        lacks_encryption_key=bool(sealed) and keyring is not None and not keyring.keys,
        opens_no_secret=opens_no_secret,
        runs_by_itself=schedule.rhythm(slots[Job.SYNC]) is not None,
    )


def _is_watched(key: StoredKey, active_owners: Collection[int]) -> bool:
    """Whether a sync is to read the key, with its own secret or through a management key."""
    is_listed = key.listing is not None and key.listing.account_key_id in active_owners
    return key.is_active and (key.secret_encrypted is not None or is_listed)


def _balance(connection: Connection, owner: StoredKey) -> AccountStatus:
    readings = accounts.list_credits(connection, owner.id)
    if not readings:
        return AccountStatus(owner.name)
    purchase = None
    for before, after in pairwise(readings):
        growth = add_exactly(after.credits.bought_usd, -before.credits.bought_usd)
        if growth > 0:
            purchase = Purchase(growth, before.read_at.date())
    last = readings[-1]
    lasting = balance_lasts(connection, owner.id, last.credits.balance_usd, last.read_at)
    return AccountStatus(owner.name, last.credits, last.read_at, purchase, lasting)


def _allowances(keys: Sequence[StoredKey], known: Allowances, now: datetime) -> list[Allowance]:
    """What can still be spent with each usable key that something but the balance limits, the least first."""
    found: list[tuple[Decimal, Allowance]] = []
    for key in keys:
        each = known.keys.get(key.id)
        if each is None or not key.is_active or key.is_listed_disabled or key.is_expired(now):
            continue
        amount = None if each.can_spend is None else each.can_spend.amount_usd
        if each.limits and each.can_spend is not None and amount is not None:
            found.append((amount, Allowance(key, each.can_spend, each.balance_usd)))
    return [allowance for _, allowance in sorted(found, key=itemgetter(0))]
