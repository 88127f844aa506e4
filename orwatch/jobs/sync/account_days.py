"""The last 30 completed days of an account: each key's usage, and what belongs to no key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

from orwatch.domain.attribution import differing_days, remainder
from orwatch.domain.contradictions import Contradiction
from orwatch.domain.days import ONE_DAY, midnight
from orwatch.domain.keys import StoredKey, has_own_source
from orwatch.domain.sources import UsageSource
from orwatch.errors import ApiError, TimeShareError
from orwatch.jobs.sync.account_reader import AccountReader
from orwatch.jobs.sync.contradictions import write_agreed
from orwatch.openrouter.account import ACTIVITY_DAYS, fetch_activity, fetch_activity_by_day
from orwatch.openrouter.fan_out import ask_in_groups
from orwatch.openrouter.parse_account import Activity
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.ledger import model_names
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts
from orwatch.text import counted

# Use that is longer ago than this when a key is asked about is in the answer.
_REPORTED_WITHIN = timedelta(hours=6)

_IS_OF_ALL = (
    "GET /activity answered with the usage of the whole account, though others of its keys have usage, too: "
    "nothing of it was stored. Does this server know api_key_hash?"
)

# Where keys have more rows than that, one answer for all completed days may take more memory than all else.
_ROWS_AT_ONCE = 20_000

# How long a deleted key is still asked about.
_DELETED_IS_ASKED = timedelta(days=3)


def read_completed_days(reader: AccountReader) -> None:
    """The last 30 completed days with their providers, of each key of which they may have changed."""
    if not reader.may_use(UsageSource.ACTIVITY):
        return

    first, last = reader.today - timedelta(days=ACTIVITY_DAYS), reader.today - timedelta(days=1)

    def ask_account(since: date = first) -> Activity:
        is_large = reader.windows.rows_per_day * (last - since).days > _ROWS_AT_ONCE
        fetch = fetch_activity_by_day if is_large else fetch_activity
        return fetch(reader.client, reader.secret, since, last)

    reader.begin("completed days")
    # The last one is still corrected; the others are read once a day, and where a key has to be asked.
    since = last if _is_read_today(reader, first, last) else first
    before = reader.attempt("activity", partial(ask_account, since), UsageSource.ACTIVITY)
    due = [] if before is None else _due(reader, before)
    if due and since != first:
        before = reader.attempt("activity", ask_account, UsageSource.ACTIVITY)
        due = [] if before is None else _due(reader, before)
    if before is None:
        return
    reader.sources.add(UsageSource.ACTIVITY)
    reported_days = frozenset(row.day for row in before.answer.rows)

    def ask(key: StoredKey) -> Activity:
        return fetch_activity(reader.client, reader.secret, first, last, key.key_hash)

    # Who used it all, as it seems: one key may have, but not beside others.
    users_of_all: list[StoredKey] = []
    others_have_use = False
    late: list[TimeShareError] = []
    reader.begin("completed days", len(due))
    for answers in ask_in_groups(due, ask, reader.session.request.concurrency):
        to_write = []
        for key, answer in answers:
            reader.session.progress.step()
            if isinstance(answer, TimeShareError):
                late.append(answer)
            elif isinstance(answer, ApiError):
                reader.tally(key).add_error(str(answer), is_passing=answer.is_passing)
            elif reported_days and answer.answer.rows == before.answer.rows:
                users_of_all.append(key)
            else:
                others_have_use |= bool(answer.answer.rows)
                to_write.append((key, answer))
        _write_activity(reader, to_write, reported_days)
    if len(users_of_all) == 1 and not others_have_use:
        _write_activity(reader, [(users_of_all[0], before)], reported_days)
    else:
        for key in users_of_all:
            reader.tally(key).add_error(_IS_OF_ALL)
    if late:
        # One error, and not one for each of what may be thousands of keys.
        reader.tally(reader.owner).add_error(
            f"the completed days of {counted(len(late), 'key')} are left to the next sync: {late[0]}"
        )
    # Asked again after its keys: what they used meanwhile is in it.
    account = reader.attempt("activity", ask_account) if due else before
    if account is not None:
        _write_remainder(reader, account)


def _is_read_today(reader: AccountReader, first: date, last: date) -> bool:
    """Whether the days before the last one are stored as the account has reported them today.

    Never where a key is asked with its own secret, after the account: what that reports of any day counts
    twice until the account's remainder is worked out again.
    """
    if not reader.session.request.reaches_back or any(has_own_source(key) for key in reader.members):
        return False
    ids = {key.id for key in reader.members} | {reader.owner.id}
    with reader.session.store.read() as connection:
        return accounts.is_read_since(
            connection, reader.owner.id, ids, first, last - ONE_DAY, midnight(reader.today)
        )


def _due(reader: AccountReader, account: Activity) -> list[StoredKey]:
    """The keys to ask: new ones, those that spent more, and those with days that are not settled."""
    now = reader.now()
    since, until = account.answer.since, account.answer.until
    ids = {key.id for key in reader.members} | {reader.owner.id}
    with reader.session.store.read() as connection:
        unsettled = accounts.unsettled_days(connection, ids, until - timedelta(days=ACTIVITY_DAYS - 1), until)
        stored = accounts.stored_sums(connection, ids, since, until)
    # A key with a source of its own may have dollars only: then requests always differ.
    is_counted = not any(has_own_source(key) for key in reader.members)
    changed = differing_days(account.answer.rows, stored, with_requests=is_counted)
    return [
        key for key in reader.readable if _is_due(reader, key, unsettled.get(key.id, set()), changed, now)
    ]


def _is_due(
    reader: AccountReader, key: StoredKey, unsettled: set[date], changed: set[date], now: datetime
) -> bool:
    listing = key.listing
    if listing is None or (listing.deleted_at is not None and now - listing.deleted_at > _DELETED_IS_ASKED):
        return False
    request = reader.session.request
    if request.key_names and not {key.name, reader.owner.name} & {*request.key_names}:
        return False
    if not request.reaches_back:
        return True
    # Free models cost nothing: only analytics reports that they were used.
    may_be_free = UsageSource.ANALYTICS not in reader.sources
    unused_since = reader.unused_since.get(key.key_hash)
    if listing.activity_read_at is None:
        if unused_since is not None and (reader.today - unused_since.date()).days > ACTIVITY_DAYS:
            return False
        spent = (key.facts.usage_usd, key.facts.byok_usage_usd)
        return may_be_free or bool(unsettled) or any(amount is None or amount for amount in spent)
    if unused_since is not None:
        # What the counters have of later days is zero.
        unsettled = {day for day in unsettled if day <= unused_since.date()}
    marks = (listing.activity_before_usd, listing.activity_byok_before_usd)
    if accounts.spent_before_today(key.facts) != marks or unsettled & changed:
        return True
    if unused_since is not None and unused_since < listing.activity_read_at - _REPORTED_WITHIN:
        return False
    is_new_day = listing.activity_read_at.date() < reader.today
    return is_new_day and (bool(unsettled) or may_be_free)


def _write_activity(
    reader: AccountReader, activities: Sequence[tuple[StoredKey, Activity]], reported_days: frozenset[date]
) -> None:
    """Write some keys' completed days; ``reported_days``: those in the answer for the whole account."""
    if not activities:
        return
    now = reader.now()
    answers = [
        # An answer without days does not delete the history of a deleted key.
        (key, each.answer if key.is_deleted else replace(each.answer, whole_days=reported_days))
        for key, each in activities
    ]
    names = {dated: name for _, each in activities for dated, name in each.model_names.items()}

    def write(connection: Connection) -> list[tuple[WriteCounts, list[Contradiction]]]:
        model_names.record_names(connection, names)
        written = write_agreed(connection, answers, reader.today, now)
        whole = (
            key
            for (key, answer), (_, kept) in zip(answers, written, strict=True)
            if not kept and not answer.doubtful_days(reported_days)
        )
        accounts.record_activity_read(connection, whole, now)
        return written

    written = reader.session.store.run_write(write)
    for (key, answer), (counts, kept) in zip(answers, written, strict=True):
        reader.add_counts(key, counts)
        reader.tally(key).add_contradictions(kept, answer, now)
        reader.tally(key).add_rejections(answer)
        reader.reaches(answer.since)


def _write_remainder(reader: AccountReader, account: Activity) -> None:
    """What the account used beyond its keys, under the management key."""
    answer = account.answer
    ids = {key.id for key in reader.members} - {reader.owner.id}
    now = reader.now()
    nothing = replace(answer, rows=(), whole_days=frozenset(row.day for row in answer.rows))

    def write(connection: Connection) -> list[WriteCounts]:
        model_names.record_names(connection, account.model_names)
        written = [
            ledger.write_usage(connection, key.id, nothing, now) for key in reader.other_management_keys
        ]
        keys = accounts.stored_sums(connection, ids, answer.since, answer.until)
        # Where a key's use of a day is not known, neither is the remainder: what analytics reported stays.
        unknown = accounts.days_in_spans(connection, ids, answer.since, answer.until)
        unknown |= {day for day in nothing.whole_days if _is_open(reader, day)}
        unknown |= reader.doubtful_remainder(connection, nothing) | reader.contradicted_days
        rows = tuple(row for row in remainder(answer.rows, keys) if row.day not in unknown)
        rest = replace(nothing, rows=rows, whole_days=nothing.whole_days - unknown)
        return [*written, ledger.write_usage(connection, reader.owner.id, rest, now)]

    for counts in reader.session.store.run_write(write):
        reader.add_counts(reader.owner, counts)
    reader.tally(reader.owner).add_rejections(answer)
    reader.reaches(answer.since)


def _is_open(reader: AccountReader, day: date) -> bool:
    """Whether a key that is asked with its own secret, after the account, may report more of the day."""
    return any(
        has_own_source(key) and key.last_synced_at is not None and key.last_synced_at.date() <= day
        for key in reader.members
    )
