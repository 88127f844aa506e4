"""How much of each budget is spent: judged at the end of every sync, in few queries.

What a filter needs and no source reported, and what was not read, leaves open how much it is: it is no zero
and no part of it. At least and at most are told where they are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeAlias

from orwatch.domain.budgets import Budget, BudgetState, Per, window_at
from orwatch.domain.days import midnight
from orwatch.domain.money import from_nano, to_nano
from orwatch.jobs.budget.scope import KeyIndex, cover, read_names
from orwatch.jobs.report.daily import Cover
from orwatch.store import budgets as stored_budgets
from orwatch.store.engine.database import Connection
from orwatch.store.keys.light import LightKey, list_light
from orwatch.store.ledger.cells import Cell, sum_by_key, sum_of_all
from orwatch.store.ledger.spans import KeySpan, list_spans
from orwatch.store.ledger.watched import CountedKey, counted_since, known_too_late
from orwatch.store.ledger.write import kept_from
from orwatch.store.schema import UNKNOWN_NAME_ID, to_day_number, to_seconds
from orwatch.text import first_of, printable, without_secrets

# A key that was not read for so long may have spent something since.
_PROMPT_SECONDS = 86_400
_COUNTERS = {
    Per.DAY: "usage_daily",
    Per.WEEK: "usage_weekly",
    Per.MONTH: "usage_monthly",
    Per.LIFETIME: "usage",
}
_NAMES_SHOWN = 3
# With more keys than this all are read: a longer list would only slow the query down.
_MOST_KEYS_NAMED = 400

_Amount: TypeAlias = Callable[[Cell | CountedKey], int]
_Behind: TypeAlias = tuple[Sequence[LightKey], Sequence[LightKey]]


def budget_states(
    connection: Connection,
    now: datetime,
    budgets: Sequence[Budget] | None = None,
    keys: Sequence[LightKey] | None = None,
) -> list[BudgetState]:
    """How much of each budget is spent now, in their order. ``budgets`` None: of all, by name.

    ``keys``: all rows of keys, where they were read already.
    """
    wanted = stored_budgets.list_budgets(connection) if budgets is None else budgets
    if not wanted:
        return []
    keys = list_light(connection) if keys is None else keys
    index, names = KeyIndex(keys), read_names(connection)
    covers = {scope: cover(scope, index, names) for scope in {budget.scope for budget in wanted}}
    rows = {key.id: key for key in keys}
    readings = {
        key_ids: _reading(rows, key_ids, now) for key_ids in {each.key_ids for each in covers.values()}
    }
    spans, removed_before = list_spans(connection, date.min, date.max), kept_from(connection) or date.min
    windows = {
        per: _read_window(
            connection,
            per,
            now,
            rows,
            spans,
            {covers[budget.scope] for budget in wanted if budget.per is per},
            removed_before,
        )
        for per in {budget.per for budget in wanted}
    }
    return [
        _state(budget, covers[budget.scope], windows[budget.per], readings[covers[budget.scope].key_ids])
        for budget in wanted
    ]


@dataclass(frozen=True, slots=True)
class _Window:
    """What is stored of a window, as finely as the budgets need it.

    ``of_all``: the sums of all keys, and ``by_key`` those of each, by whether they are by model and provider.
    ``astride``: sums of several days that began before it, those that lie within are in ``by_key``. ``late``:
    the rows of keys of which nothing was read at its beginning. ``doubted``: all rows of keys with something
    before it that may belong to it. ``counted``: what the counters say of those.
    """

    now: datetime
    first_day: date
    last_day: date | None
    of_all: Mapping[bool, Sequence[Cell]]
    by_key: Mapping[bool, Mapping[int, Sequence[Cell]]]
    astride: Sequence[Cell]
    late: frozenset[int]
    doubted: frozenset[int]
    # Cleanup has removed days of it that no total has.
    is_cut: bool
    counted: Mapping[int, CountedKey]


def _read_window(
    connection: Connection,
    per: Per,
    now: datetime,
    rows: Mapping[int, LightKey],
    spans: Sequence[KeySpan],
    covers: Collection[Cover],
    removed_before: date,
) -> _Window:
    first, last = window_at(per, now)
    touching = [each for each in spans if each.span.last_day >= first]
    inside = [_span_cell(each) for each in touching if each.span.first_day >= first]
    astride = [_span_cell(each) for each in touching if each.span.first_day < first]
    is_cut = per is Per.WEEK and first < removed_before
    late: set[int] = set()
    if per in {Per.WEEK, Per.MONTH}:
        late = known_too_late(connection, max(first, removed_before)) - {
            each.key_id for each in touching if each.span.first_day <= first
        }
    if per is Per.LIFETIME:
        # What they spent before they were stored here is a part of their lives.
        late = {key.id for key in rows.values() if key.is_counted}
    doubted = late.union(cell.key_id for cell in astride if cell.key_id is not None)
    counted: dict[int, CountedKey] = {}
    if doubted:
        open_rows = {key.id for key in rows.values() if key.is_counted} & doubted
        readings = counted_since(connection, _COUNTERS[per], midnight(first))
        counted = {row_id: readings[row_id] for row_id in open_rows & readings.keys()}
    of_all: dict[bool, Sequence[Cell]] = {}
    by_key: dict[bool, Mapping[int, Sequence[Cell]]] = {}
    # By model and provider first: what has them adds up to what needs none.
    for by_model in (True, False):
        alike = [each for each in covers if each.has_filter is by_model]
        if any(each.key_ids is None for each in alike):
            of_all[by_model] = of_all.get(True) or [
                *sum_of_all(connection, first, last, removed_before, by_model=by_model),
                *inside,
            ]
        key_ids = set[int]() if by_model else {*counted}
        key_ids.update(*(each.key_ids for each in alike if each.key_ids is not None))
        if key_ids:
            few = key_ids if len(key_ids) <= _MOST_KEYS_NAMED else None
            cells = sum_by_key(connection, first, last, by_model=by_model, key_ids=few)
            by_key[by_model] = _grouped([*cells, *inside])
    return _Window(
        now, first, last, of_all, by_key, astride, frozenset(late), frozenset(doubted), is_cut, counted
    )


def _span_cell(each: KeySpan) -> Cell:
    byok = each.span.byok_cost_usd
    return Cell(
        each.key_id,
        UNKNOWN_NAME_ID,
        UNKNOWN_NAME_ID,
        to_nano(each.span.cost_usd),
        0 if byok is None else to_nano(byok),
        int(byok is None),
    )


def _grouped(cells: Sequence[Cell]) -> dict[int, list[Cell]]:
    found: dict[int, list[Cell]] = {}
    for cell in cells:
        if cell.key_id is not None:
            found.setdefault(cell.key_id, []).append(cell)
    return found


@dataclass(frozen=True, slots=True)
class _Reading:
    """How far the keys of a budget are read, by row. ``known_through``: the oldest of their last readings.

    ``watched``: those that each sync is to read; ``behind``: those of them that were not read today, or not
    within a day.
    """

    rows: Mapping[int, LightKey]
    known_through: datetime | None
    watched: frozenset[int]
    behind: Sequence[LightKey]


def _reading(rows: Mapping[int, LightKey], key_ids: frozenset[int] | None, now: datetime) -> _Reading:
    if key_ids is not None:
        rows = {row_id: rows[row_id] for row_id in sorted(key_ids)}
    seconds, today = to_seconds(now), to_day_number(now.date())
    prompt = seconds - _PROMPT_SECONDS
    watched = [
        key for key in rows.values() if key.is_read and (not key.expires_at or key.expires_at > seconds)
    ]
    oldest = min((key.synced_at for key in watched if key.synced_at), default=None)
    return _Reading(
        rows,
        None if oldest is None else datetime.fromtimestamp(oldest, UTC),
        frozenset(key.id for key in watched),
        [key for key in watched if (key.synced_through or 0) < today or (key.synced_at or 0) < prompt],
    )


def _behind(reading: _Reading, window: _Window) -> _Behind:
    """The keys that were not read since the window began, and those that were not for more than a day."""
    first, yesterday = to_day_number(window.first_day), to_day_number(window.now.date()) - 1
    prompt = to_seconds(window.now) - _PROMPT_SECONDS
    unread, stale = [], []
    for key in reading.behind:
        synced_at, through = key.synced_at, key.synced_through
        if synced_at is None or through is None or through < first:
            unread.append(key)
        elif through < yesterday or synced_at < prompt:
            stale.append(key)
    return unread, stale


@dataclass(slots=True)
class _Sum:
    """What is added up of a budget, in nano-dollars.

    ``doubtful``: it may be so much more, and no more where it ``is_bounded``. ``reasons``: why it is not
    known, in the order of their weight.
    """

    known: int = 0
    doubtful: int = 0
    is_bounded: bool = True
    without_model: int = 0
    without_provider: int = 0
    lacks_byok: bool = False
    reasons: list[str] = field(default_factory=list)


def _state(budget: Budget, covered: Cover, window: _Window, reading: _Reading) -> BudgetState:
    amount = _with_byok if budget.with_byok else _cost
    total, behind = _Sum(), _behind(reading, window)
    _note_unread(total, reading, behind, window)
    _add_cells(total, covered, window, amount)
    _settle_beginnings(total, reading, behind, covered, window, amount)
    _note_what_is_not_reported(total, with_byok=budget.with_byok)
    known = from_nano(total.known)
    return BudgetState(
        budget,
        None if window.last_day is None else window.first_day,
        window.last_day,
        spent_usd=None if total.reasons else known,
        spent_known_usd=known,
        spent_most_usd=from_nano(total.known + total.doubtful) if total.is_bounded else None,
        why_unknown="; ".join(total.reasons) or None,
        known_through=reading.known_through,
    )


def _cost(cell: Cell | CountedKey) -> int:
    return cell.cost_nano


def _with_byok(cell: Cell | CountedKey) -> int:
    return cell.cost_nano + (cell.byok_nano or 0)


def _note_unread(total: _Sum, reading: _Reading, behind: _Behind, window: _Window) -> None:
    unread, stale = behind
    if not reading.rows:
        total.reasons.append("no stored key is covered")
    if window.is_cut:
        total.reasons.append("cleanup has removed days of this week")
    if unread:
        since = "yet" if window.last_day is None else f"since {window.first_day} began"
        total.reasons.append(f"{_named(unread)} not read {since}")
    if stale:
        total.reasons.append(f"{_named(stale)} not read for more than a day")
    total.is_bounded = not total.reasons


def _add_cells(total: _Sum, covered: Cover, window: _Window, amount: _Amount) -> None:
    has_filter = covered.has_filter
    for cell in _cells_of(covered, window):
        fits = covered.fits(cell.model_id, cell.provider_id) if has_filter else True
        if fits is False:
            continue
        total.lacks_byok |= cell.byok_unreported > 0
        spent = amount(cell)
        if fits:
            total.known += spent
            continue
        total.doubtful += spent
        if covered.model_ids is not None and cell.model_id == UNKNOWN_NAME_ID:
            total.without_model += spent
        else:
            total.without_provider += spent


def _cells_of(covered: Cover, window: _Window) -> Iterable[Cell]:
    if covered.key_ids is None:
        return window.of_all[covered.has_filter]
    by_key = window.by_key.get(covered.has_filter, {})
    return (cell for row_id in covered.key_ids for cell in by_key.get(row_id, ()))


def _settle_beginnings(
    total: _Sum, reading: _Reading, behind: _Behind, covered: Cover, window: _Window, amount: _Amount
) -> None:
    """Add what keys spent before they were read, by their counters, or say that it is not known."""
    doubted = sorted(window.doubted & reading.rows.keys())
    if not doubted:
        return
    astride = {cell.key_id: amount(cell) for cell in window.astride}
    unread = {key.id for keys in behind for key in keys}
    late, summed = [], []
    for key in map(reading.rows.__getitem__, doubted):
        counted = window.counted.get(key.id)
        if counted is not None and amount is _with_byok and counted.byok_nano is None:
            counted = None
        if counted is not None and not covered.has_filter:
            stored = sum(map(amount, window.by_key[False].get(key.id, ())))
            total.known += max(0, amount(counted) - stored)
        elif astride.get(key.id):
            summed.append(key)
        elif window.last_day is not None and key.id in window.late and key.id in reading.watched - unread:
            late.append(key)
    if late:
        total.is_bounded = False
        total.reasons.append(
            f"{_named(late)} not read from {window.first_day} on "
            f"(`orwatch sync --since {window.first_day}` reads what can still be had)"
        )
    if summed:
        doubtful = sum(astride[key.id] for key in summed)
        total.doubtful += doubtful
        total.reasons.append(
            f"${from_nano(doubtful):f} of {_named(summed)} known only as a sum that began before "
            f"{window.first_day}"
        )


def _note_what_is_not_reported(total: _Sum, *, with_byok: bool) -> None:
    if total.without_model:
        total.reasons.append(f"the model of ${from_nano(total.without_model):f} is not reported")
    if total.without_provider:
        total.reasons.append(
            f"the provider of ${from_nano(total.without_provider):f} is not reported "
            "(of an account it is once the day is over)"
        )
    if with_byok and total.lacks_byok:
        total.is_bounded = False
        total.reasons.append("the BYOK cost of some of it is not reported")


def _named(keys: Sequence[LightKey]) -> str:
    names = list(dict.fromkeys(printable(without_secrets(key.name)) for key in keys))
    return first_of(names, _NAMES_SHOWN)
