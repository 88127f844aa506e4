"""Answers of analytics that are whole: windows split until nothing is missing, each key's rows told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from orwatch.domain.attribution import add_up, by_key, keys_by_name, shared_names
from orwatch.domain.keys import StoredKey
from orwatch.domain.usage import RejectedRow, UsageRow
from orwatch.errors import QueryTooHeavyError, TruncatedAnswerError
from orwatch.openrouter.account import ANALYTICS_DAYS, MAX_ANALYTICS_ROWS, fetch_analytics

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client


# Windows are made to come back with this many rows, so that none is likely to be truncated.
_WANTED_ROWS = MAX_ANALYTICS_ROWS * 6 // 10

# What a key that is in use is taken to use until the first answer tells.
_ROWS_PER_KEY_AND_DAY = 6


@dataclass(frozen=True, slots=True)
class Window:
    """The usage of an account from ``since`` to ``until``, both inclusive: all of it, and by key id.

    Models are named by their permaslugs. ``rows_per_day``: how many rows the answers had.
    """

    since: date
    until: date
    account: tuple[UsageRow, ...]
    keys: Mapping[int, Sequence[UsageRow]]
    rejected: tuple[RejectedRow, ...]
    rows_per_day: Fraction


def expected_rows_per_day(members: Iterable[StoredKey]) -> Fraction:
    """A guess from the counters of the keys, for the first question of all."""
    in_use = sum(key.facts.usage_monthly_usd is None or key.facts.usage_monthly_usd > 0 for key in members)
    return Fraction(in_use * _ROWS_PER_KEY_AND_DAY)


def read_windows(
    client: Client,
    secret: str,
    members: Sequence[StoredKey],
    since: date,
    until: date,
    rows_per_day: Fraction,
) -> Iterator[Window]:
    """The usage from ``until`` back to ``since``, in windows whose length follows from what came before.

    Raises ``ApiError``; what was yielded until then is whole.
    """
    while until >= since:
        days = max(1, int(_WANTED_ROWS / max(rows_per_day, Fraction(1, 1000))))
        first = max(since, until - timedelta(days=min(days, ANALYTICS_DAYS) - 1))
        for window in _read_whole(client, secret, members, first, until):
            rows_per_day = window.rows_per_day
            yield window
        until = first - timedelta(days=1)


def _read_whole(
    client: Client, secret: str, members: Sequence[StoredKey], since: date, until: date
) -> Iterator[Window]:
    try:
        window = _read_window(client, secret, members, since, until)
    except (TruncatedAnswerError, QueryTooHeavyError):
        if since == until:
            yield _read_day_by_keys(client, secret, members, since)
            return
        middle = since + (until - since) // 2
        yield from _read_whole(client, secret, members, middle + timedelta(days=1), until)
        yield from _read_whole(client, secret, members, since, middle)
    else:
        yield window


def _read_window(
    client: Client, secret: str, members: Sequence[StoredKey], since: date, until: date
) -> Window:
    answer = fetch_analytics(client, secret, since, until, by_key=True)
    names = keys_by_name(members, since)
    keys: dict[int, Sequence[UsageRow]] = {**by_key(answer.rows, names)}
    rejected = list(answer.rejected)
    for key in shared_names(answer.rows, names):
        own = fetch_analytics(client, secret, since, until, by_key=False, key_hashes=[key.key_hash])
        keys[key.id] = [each.row for each in own.rows]
        rejected += own.rejected
    account = add_up(each.row for each in answer.rows)
    rows_per_day = Fraction(len(answer.rows), (until - since).days + 1)
    return Window(since, until, tuple(account), keys, tuple(rejected), rows_per_day)


def _read_day_by_keys(client: Client, secret: str, members: Sequence[StoredKey], day: date) -> Window:
    """A day too full for one answer: the account as a whole, and then some of its keys at a time."""
    whole = fetch_analytics(client, secret, day, day, by_key=False)
    keys: dict[int, Sequence[UsageRow]] = {}
    rejected = list(whole.rejected)
    waiting = [[key for key in members if not key.is_management]]
    while waiting:
        some = waiting.pop()
        if not some:
            continue
        names = keys_by_name(some, day)
        is_one = len(some) == 1 or not names.unique
        asked = some[:1] if is_one else list(names.unique.values())
        try:
            answer = fetch_analytics(
                client, secret, day, day, by_key=not is_one, key_hashes=[key.key_hash for key in asked]
            )
        except (TruncatedAnswerError, QueryTooHeavyError):
            if is_one:
                raise
            middle = len(asked) // 2
            waiting += [asked[:middle], asked[middle:]] if middle else [asked]
        else:
            rejected += answer.rejected
            keys |= (
                {asked[0].id: [each.row for each in answer.rows]} if is_one else by_key(answer.rows, names)
            )
        rest = [key for key in some if key not in asked]
        waiting.append(rest)
    rows_per_day = Fraction(sum(len(rows) for rows in keys.values()))
    account = tuple(each.row for each in whole.rows)
    return Window(day, day, account, keys, tuple(rejected), rows_per_day)
