"""Whole answers of analytics: windows are split until no row is missing, and rows sorted by their key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

from orwatch.domain.attribution import add_up, by_key, keys_by_name, shared_names
from orwatch.domain.keys import StoredKey
from orwatch.domain.usage import RejectedRow, UsageRow
from orwatch.errors import QueryTooHeavyError, TruncatedAnswerError, UnexpectedAnswerError
from orwatch.openrouter.account import ANALYTICS_DAYS, MAX_ANALYTICS_ROWS, fetch_analytics

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client
    from orwatch.openrouter.parse_account import Analytics


# Windows are made to come back with this many rows, so that none is likely to be truncated.
_WANTED_ROWS = MAX_ANALYTICS_ROWS * 6 // 10

# Where a day alone is too much for one answer, keys are asked about in groups that nearly fill one.
_FULL_ROWS = MAX_ANALYTICS_ROWS * 9 // 10

_MOST_BEYOND_WHOLE = Decimal("1.5")
_CENT_USD = Decimal("0.01")

# A guess for each key in use, until the first answer has come.
_ROWS_PER_KEY_AND_DAY = 6


@dataclass(frozen=True, slots=True)
class Window:
    """The usage of an account from ``since`` to ``until``, both inclusive: all of it, and by key id.

    Models are named by their permaslugs. ``unknown_ids``: keys for which ``warnings`` came instead of a whole
    answer.
    """

    since: date
    until: date
    account: tuple[UsageRow, ...]
    keys: Mapping[int, Sequence[UsageRow]]
    rejected: tuple[RejectedRow, ...]
    unknown_ids: frozenset[int] = frozenset()
    warnings: tuple[str, ...] = ()


def expected_rows_per_day(keys: Iterable[StoredKey]) -> Fraction:
    """A guess from the counters of the keys, for the first question of all."""
    in_use = sum(key.facts.usage_monthly_usd is None or key.facts.usage_monthly_usd > 0 for key in keys)
    return Fraction(in_use * _ROWS_PER_KEY_AND_DAY)


class WindowReader:
    """Asks analytics about an account with one management key; ``keys`` are the account's other ones.

    ``rows_per_day``: how many rows the latest answer had. The next window is as long as that allows.
    """

    def __init__(self, client: Client, secret: str, keys: Sequence[StoredKey]) -> None:
        self.rows_per_day = expected_rows_per_day(keys)
        self._client = client
        self._secret = secret
        self._keys = keys
        # How many keys of a day too full for one answer fit one, by what came so far.
        self._keys_per_answer = max(1, len(keys) // 2)

    def read(self, since: date, until: date) -> Iterator[Window]:
        """The usage from ``until`` back to ``since``.

        Raises ``ApiError``; what was yielded until then is whole.
        """
        while until >= since:
            days = max(1, int(_WANTED_ROWS / max(self.rows_per_day, Fraction(1, 1000))))
            first = max(since, until - timedelta(days=min(days, ANALYTICS_DAYS) - 1))
            yield from self._read_whole(first, until)
            until = first - timedelta(days=1)

    def _read_whole(self, since: date, until: date) -> Iterator[Window]:
        if since == until and self.rows_per_day > MAX_ANALYTICS_ROWS:
            yield self._read_day_by_keys(since)
            return
        try:
            window = self._read_window(since, until)
        except (TruncatedAnswerError, QueryTooHeavyError):
            if since == until:
                yield self._read_day_by_keys(since)
                return
            middle = since + (until - since) // 2
            yield from self._read_whole(middle + timedelta(days=1), until)
            yield from self._read_whole(since, middle)
        else:
            yield window

    def _read_window(self, since: date, until: date) -> Window:
        answer = fetch_analytics(self._client, self._secret, since, until, by_key=True)
        names = keys_by_name(self._keys, since)
        keys: dict[int, Sequence[UsageRow]] = {**by_key(answer.rows, names)}
        rejected = list(answer.rejected)
        unresolved = _Unresolved()
        unresolved.add(answer, self._keys)
        for key in shared_names(answer.rows, names):
            own = fetch_analytics(
                self._client, self._secret, since, until, by_key=False, key_hashes=[key.key_hash]
            )
            keys[key.id] = [each.row for each in own.rows]
            rejected += own.rejected
            unresolved.add(own, [key])
        account = add_up(each.row for each in answer.rows)
        _check_parts(account, keys)
        self.rows_per_day = Fraction(len(answer.rows), (until - since).days + 1)
        return unresolved.left_out(Window(since, until, tuple(account), keys, tuple(rejected)))

    def _read_day_by_keys(self, day: date) -> Window:
        """A day too full for one answer: the account as a whole, and then some of its keys at a time."""
        whole = fetch_analytics(self._client, self._secret, day, day, by_key=False)
        keys: dict[int, Sequence[UsageRow]] = {}
        rejected = list(whole.rejected)
        unresolved = _Unresolved()
        unresolved.add(whole, self._keys)
        listed = keys_by_name(self._keys, day)
        waiting = [*listed.unique.values(), *chain.from_iterable(listed.shared.values())]
        while waiting:
            some = waiting[: self._keys_per_answer]
            names = keys_by_name(some, day)
            is_one = len(some) == 1 or not names.unique
            asked = some[:1] if is_one else list(names.unique.values())
            hashes = [key.key_hash for key in asked]
            try:
                answer = fetch_analytics(
                    self._client, self._secret, day, day, by_key=not is_one, key_hashes=hashes
                )
            except (TruncatedAnswerError, QueryTooHeavyError):
                if is_one:
                    raise
                self._keys_per_answer = max(1, len(asked) // 2)
                continue
            rejected += answer.rejected
            unresolved.add(answer, asked)
            if is_one:
                keys[asked[0].id] = [each.row for each in answer.rows]
            else:
                keys |= by_key(answer.rows, names)
            done = {key.id for key in asked}
            waiting = [key for key in waiting if key.id not in done]
        row_count = sum(len(rows) for rows in keys.values())
        self.rows_per_day = Fraction(row_count)
        if row_count > _FULL_ROWS:
            self._keys_per_answer = max(1, len(self._keys) * _FULL_ROWS // row_count)
        account = tuple(each.row for each in whole.rows)
        _check_parts(account, keys)
        return unresolved.left_out(Window(day, day, account, keys, tuple(rejected)))


def _check_parts(account: Iterable[UsageRow], keys: Mapping[int, Sequence[UsageRow]]) -> None:
    """Raise ``UnexpectedAnswerError`` where the keys used far more than their account: no answer is of one.

    A little more is possible: they are asked about after it.
    """
    whole = sum(row.cost_usd for row in account)
    parts = sum(row.cost_usd for rows in keys.values() for row in rows)
    if parts > whole * _MOST_BEYOND_WHOLE + _CENT_USD:
        raise UnexpectedAnswerError(
            f"analytics reports ${parts:.2f} for the keys of an account and ${whole:.2f} for all of it: "
            "nothing of it was stored. Does this server know a filter by key?"
        )


class _Unresolved:
    """The keys of which the answers are not whole, since they came with warnings."""

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._warnings: dict[str, None] = {}

    def add(self, answer: Analytics, asked: Sequence[StoredKey]) -> None:
        """Note an answer about keys: those that its warnings name, or all of them where they name none."""
        self._warnings |= dict.fromkeys(answer.warnings)
        if answer.warnings:
            text = " ".join(answer.warnings).lower()
            named = [key.id for key in asked if key.key_hash in text]
            self._ids.update(named or [key.id for key in asked])

    def left_out(self, window: Window) -> Window:
        """The window without what it has of these keys."""
        keys = {key_id: rows for key_id, rows in window.keys.items() if key_id not in self._ids}
        return replace(window, keys=keys, unknown_ids=frozenset(self._ids), warnings=tuple(self._warnings))
