"""Today's usage of an account, and the past year's: from analytics, or from the keys' counters."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

from orwatch.domain.attribution import add_up, remainder
from orwatch.domain.keys import StoredKey
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow
from orwatch.errors import ApiError
from orwatch.jobs.sync.account_reader import AccountReader
from orwatch.jobs.sync.analytics_windows import Window
from orwatch.jobs.sync.result import COUNTERS_WENT_DOWN
from orwatch.openrouter.account import ACTIVITY_DAYS, ANALYTICS_DAYS, fetch_models
from orwatch.openrouter.parse_account import with_model_name
from orwatch.openrouter.sources import counters_of
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.ledger import model_names
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts
from orwatch.text import counted

# How many days back analytics is read again where no better source reports completed days.
_ANALYTICS_CORRECTS_DAYS = 2

log = logging.getLogger(__name__)


def read_today(reader: AccountReader) -> bool:
    """Read the days since the last sync, by analytics or by the list's counters; whether that worked."""

    def read() -> bool:
        since, until = _analytics_days(reader)
        reader.begin("latest days", (until - since).days + 1, "days")
        for window in reader.windows.read(since, until):
            _write_window(reader, window)
        if reader.state.backfilled_from is None and reader.session.request.reaches_back:
            reader.update_state(replace(reader.state, backfilled_from=since))
        reader.sources.add(UsageSource.ANALYTICS)
        return True

    if reader.may_use(UsageSource.ANALYTICS) and reader.attempt("analytics", read, UsageSource.ANALYTICS):
        return True
    if reader.setting in {UsageSource.USAGE, UsageSource.ANALYTICS}:
        return False
    return _write_counters(reader)


def read_back(reader: AccountReader) -> None:
    """Read the days before those of ``GET /activity``, as far back as is wanted and analytics remembers."""
    request = reader.session.request
    is_of_others = bool(request.key_names) and reader.owner.name not in request.key_names
    if is_of_others or not request.reaches_back or not reader.may_use(UsageSource.ANALYTICS):
        return
    oldest = reader.today - timedelta(days=ANALYTICS_DAYS - 1)
    wanted = request.backfill_from or reader.state.backfill_from or oldest
    reached = reader.state.backfilled_from
    if request.backfill_from is not None:
        reached = reader.today - timedelta(days=ACTIVITY_DAYS)
    if request.backfill_from is not None or reader.state.backfill_from is None:
        reader.update_state(replace(reader.state, backfill_from=wanted, backfilled_from=reached))
    since = max(wanted, oldest, reader.watermark)
    if reached is None or since >= reached:
        return
    until = reached - timedelta(days=1)

    def read() -> None:
        reader.begin("days before", (until - since).days + 1, "days")
        for window in reader.windows.read(since, until):
            _write_window(reader, window, backfilled_from=window.since)

    reader.attempt("backfill", read)


def _analytics_days(reader: AccountReader) -> tuple[date, date]:
    request, today = reader.session.request, reader.today
    oldest = max(today - timedelta(days=ANALYTICS_DAYS - 1), reader.watermark)
    if not request.reaches_back:
        return max(min(request.since, today), oldest), min(request.until, today)
    if reader.state.backfilled_from is None or reader.owner.synced_through is None:
        return max(today - timedelta(days=ACTIVITY_DAYS), oldest), today
    since = min(today, reader.owner.synced_through)
    if not reader.may_use(UsageSource.ACTIVITY):
        since = min(since, today - timedelta(days=_ANALYTICS_CORRECTS_DAYS))
    return max(since, oldest), today


def _write_window(reader: AccountReader, window: Window, backfilled_from: date | None = None) -> None:
    """Write a whole answer of analytics: each key's days, and what belongs to no key."""
    names = _new_names(window, _model_names_for(reader, window))
    now = reader.now()
    whole_days = frozenset(row.day for row in window.account)
    account = _named(window.account, names)
    keys = {key_id: _named(rows, names) for key_id, rows in window.keys.items()}

    def answer(rows: Sequence[UsageRow]) -> UsageAnswer:
        return UsageAnswer(
            UsageSource.ANALYTICS, window.since, window.until, tuple(rows), window.rejected, whole_days
        )

    def write(connection: Connection) -> list[tuple[StoredKey, WriteCounts]]:
        wanted = {key.id: key for key in reader.readable}
        others = {key.id for key in reader.other_management_keys}
        concerned = accounts.keys_used_on(connection, wanted, whole_days) | (keys.keys() & wanted.keys())
        concerned -= window.unknown_ids
        answers = {key_id: answer(keys.get(key_id, [])) for key_id in sorted(concerned)}
        answers |= {key_id: answer([]) for key_id in sorted(others)}
        counts = ledger.write_answers(connection, answers, now)
        written = [(wanted.get(key_id, reader.owner), each) for key_id, each in counts.items()]
        if not window.warnings:
            kept = accounts.stored_sums(connection, others, window.since, window.until)
            unknown = reader.doubtful_remainder(connection, answer([]))
            known = [row for row in account if row.day not in unknown]
            rest = answer(remainder(known, [*kept, *(row for rows in keys.values() for row in rows)]))
            rest = replace(rest, whole_days=whole_days - unknown)
            written.append((reader.owner, ledger.write_usage(connection, reader.owner.id, rest, now)))
        if backfilled_from is not None:
            accounts.update_account(connection, reader.owner.id, backfilled_from=backfilled_from)
        return written

    for key, counts in reader.session.store.run_write(write):
        reader.add_counts(key, counts)
    reader.session.progress.step((window.until - window.since).days + 1)
    if window.warnings:
        _note_warnings(reader, window)
    reader.tally(reader.owner).add_rejections(answer([]))
    reader.reaches(window.since)


def _note_warnings(reader: AccountReader, window: Window) -> None:
    unknown = [key.name for key in reader.members if key.id in window.unknown_ids]
    whose = unknown[0] if len(unknown) == 1 else counted(len(unknown), "key")
    reader.notes.append(
        f"analytics warns: {'; '.join(window.warnings)}. What {whose} used from {window.since} to "
        f"{window.until} is not known from it"
    )


def _new_names(window: Window, known: Mapping[str, str]) -> dict[str | None, str | None]:
    """The plain names of the window's models that bear another one."""
    models = {row.model: row for rows in (window.account, *window.keys.values()) for row in rows}
    named = {model: with_model_name(row, known).model for model, row in models.items()}
    return {model: name for model, name in named.items() if name != model}


def _named(rows: Sequence[UsageRow], names: Mapping[str | None, str | None]) -> Sequence[UsageRow]:
    """Sorted and added-up rows under other names of their models, sorted and added up again."""
    return add_up(row._replace(model=names.get(row.model, row.model)) for row in rows) if names else rows


def _model_names_for(reader: AccountReader, window: Window) -> Mapping[str, str]:
    """The plain names of models; a new dated one is looked up, though not more than once a day."""
    with reader.session.store.read() as connection:
        known = model_names.known_names(connection)
    names = set(known) | set(known.values())
    is_new = any(row.model is not None and row.model not in names for row in window.account)
    if not is_new or reader.was_just_asked(reader.state.model_names_read_at):
        return known
    try:
        listed = fetch_models(reader.client, reader.secret)
    except ApiError as error:
        log.info("model names: %s", error, extra={"key": reader.owner.name})
        return known

    def record(connection: Connection) -> dict[str, str]:
        model_names.record_names(connection, listed.names)
        return model_names.known_names(connection)

    known = reader.session.store.run_write(record)
    reader.session.listed_models.append(listed.models)
    reader.update_state(replace(reader.state, model_names_read_at=reader.now()))
    return known


def _write_counters(reader: AccountReader) -> bool:
    """Write the counters of the list: each key's dollars by day, without models; whether there were any."""
    now = reader.now()
    readings = [
        (key, reading)
        for key in reader.readable
        if not key.is_deleted
        if (reading := counters_of(key.facts, reader.today)) is not None
    ]

    def write(connection: Connection) -> list[tuple[StoredKey, WriteCounts, bool]]:
        return [(key, *ledger.write_counters(connection, key.id, reading, now)) for key, reading in readings]

    for key, counts, is_reset in reader.session.store.run_write(write):
        reader.add_counts(key, counts)
        if is_reset:
            reader.notes.append(f"{key.name}: {COUNTERS_WENT_DOWN}")
    if readings:
        reader.sources.add(UsageSource.COUNTERS)
        reader.reaches(reader.today)
    return bool(readings) or not reader.readable
