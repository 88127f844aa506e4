"""JSON to models, without trust in what came.

Numbers stay exact (``Decimal`` straight from the JSON text). An implausible row is rejected and
the rest kept; an answer that is not the promised shape is an ``UnexpectedAnswerError``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from typing import TypeAlias

from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota, Layer
from orwatch.domain.money import round_to_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import RejectedRow, UsageAnswer, UsageRow, sum_rows
from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.values import (
    MAX_COUNT,
    MAX_USD,
    Json,
    RowError,
    check_names,
    cost_of,
    count_of,
    data_of,
    day_of,
    kind_of,
    list_of,
    load_json,
    model_of,
    optional_count,
    optional_flag,
    optional_label,
    optional_text,
    optional_time,
    optional_usd,
)
from orwatch.text import printable

MAX_REJECTED_KEPT = 100  # of one answer
MAX_LAYERS = 50  # of one key

_LONGEST_ERROR_BYTES = 64 * 1024

_Part: TypeAlias = tuple[str | None, date]  # owner and day
_Cell: TypeAlias = tuple[str, str]  # model and provider


def parse_usage(body: bytes, since: date, until: date) -> UsageAnswer:
    """An answer of ``GET /usage`` for the days ``since`` to ``until``, both inclusive.

    Rows of one (date, model) are added up. Raises ``UnexpectedAnswerError``.
    """
    rows, rejected = read_rows(list_of(data_of(body)), since, until, day_of, _usage_row)
    return UsageAnswer(UsageSource.USAGE, since, until, tuple(rows.get(None, ())), rejected)


def read_rows(
    items: Iterable[Json],
    since: date,
    until: date,
    read_day: Callable[[Json], date],
    read_row: Callable[[dict[str, Json], date], UsageRow],
    read_owner: Callable[[dict[str, Json], date], str | None] | None = None,
) -> tuple[dict[str | None, list[UsageRow]], tuple[RejectedRow, ...]]:
    """The rows within ``since``..``until`` by their owner, those of one day, model and provider added up,
    sorted; and those that are implausible or not asked for.
    """
    # By owner and day first: to sort many small groups is much quicker than to sort them all as one.
    parts: dict[_Part, dict[_Cell, UsageRow]] = {}
    repeated: dict[tuple[_Part, _Cell], list[UsageRow]] = {}
    rejections = _Rejections()
    for item in items:
        day = None
        try:
            day = read_day(item)
            if not since <= day <= until:
                rejections.add(f"{day} is outside of {since} to {until}", day, is_outside=True)
                continue
            part = (None if read_owner is None else read_owner(item, day), day)
            row = read_row(item, day)
        except RowError as error:
            rejections.add(str(error), day)
            continue
        rows = parts.get(part)
        if rows is None:
            rows = parts[part] = {}
        cell = (row.model or "", row.provider or "")
        first = rows.setdefault(cell, row)
        if first is not row:
            repeated.setdefault((part, cell), [first]).append(row)
    check_names(set().union(*parts.values()))
    _add_up(parts, repeated, rejections)
    by_owner: dict[str | None, list[UsageRow]] = {}
    for part in sorted(parts, key=_order):
        rows = parts[part]
        by_owner.setdefault(part[0], []).extend([_rounded(rows[cell]) for cell in sorted(rows)])
    return by_owner, rejections.rows()


class _Rejections:
    """Rejected rows: the first each by itself, of the others how many there were of each day."""

    def __init__(self) -> None:
        self._first: list[RejectedRow] = []
        self._others: dict[tuple[date | None, bool], RejectedRow] = {}
        self._counts: Counter[tuple[date | None, bool]] = Counter()

    def add(self, reason: str, day: date | None, *, is_outside: bool = False) -> None:
        if len(self._first) < MAX_REJECTED_KEPT:
            self._first.append(RejectedRow(reason, day, is_outside))
            return
        # The days outside of the window, of which there can be any number, concern nobody.
        place = (None if is_outside else day, is_outside)
        if place not in self._others:
            self._others[place] = RejectedRow(reason, day, is_outside)
        self._counts[place] += 1

    def rows(self) -> tuple[RejectedRow, ...]:
        return (
            *self._first,
            *(replace(row, count=self._counts[place]) for place, row in self._others.items()),
        )


def _order(part: _Part) -> tuple[bool, str, date]:
    # A key without a name is not the same as no key.
    owner, day = part
    return owner is not None, owner or "", day


def _add_up(
    parts: dict[_Part, dict[_Cell, UsageRow]],
    repeated: dict[tuple[_Part, _Cell], list[UsageRow]],
    rejections: _Rejections,
) -> None:
    """Put the sums of repeated rows in their place in ``parts``, and those that are implausible elsewhere.

    They are rejected as a whole: which of the rows is the wrong one is not known.
    """
    for part, cell in sorted(repeated, key=lambda key: (_order(key[0]), key[1])):
        group = repeated[part, cell]
        try:
            parts[part][cell] = _plausible(sum_rows(group))
        except RowError as error:
            del parts[part][cell]
            for row in group:
                rejections.add(str(error), row.day)


def _rounded(row: UsageRow) -> UsageRow:
    cost, byok = round_to_nano(row.cost_usd), row.byok_cost_usd
    if byok is not None:
        byok = round_to_nano(byok)
    # Mostly so already, and then no other row is made.
    if cost == row.cost_usd and byok == row.byok_cost_usd:
        return row
    return row._replace(cost_usd=cost, byok_cost_usd=byok)


def parse_key(body: bytes) -> KeyFacts:
    """An answer of ``GET /key``. A fact that is missing or implausible is None.

    Raises ``UnexpectedAnswerError``.
    """
    data = data_of(body)
    if not isinstance(data, dict):
        raise UnexpectedAnswerError(f"the answer's data is {kind_of(data)}, not an object")
    return key_facts(data)


def key_facts(data: dict[str, Json]) -> KeyFacts:
    """What an object says about a key; ``GET /keys`` reports of each what ``GET /key`` does of one."""
    flags = [data.get(name) for name in ("is_management_key", "is_provisioning_key")]
    is_management = next((value for value in flags if isinstance(value, bool)), False)
    return KeyFacts(
        kind=KeyKind.MANAGEMENT if is_management else KeyKind.INFERENCE,
        label=optional_label(data.get("label")),
        usage_usd=optional_usd(data.get("usage")),
        usage_daily_usd=optional_usd(data.get("usage_daily")),
        usage_weekly_usd=optional_usd(data.get("usage_weekly")),
        usage_monthly_usd=optional_usd(data.get("usage_monthly")),
        byok_usage_usd=optional_usd(data.get("byok_usage")),
        byok_usage_daily_usd=optional_usd(data.get("byok_usage_daily")),
        byok_usage_monthly_usd=optional_usd(data.get("byok_usage_monthly")),
        limit_usd=optional_usd(data.get("limit")),
        limit_remaining_usd=optional_usd(data.get("limit_remaining"), may_be_negative=True),
        limit_reset=optional_text(data.get("limit_reset")),
        is_free_tier=optional_flag(data.get("is_free_tier")),
        expires_at=optional_time(data.get("expires_at")),
        is_byok_limited=optional_flag(data.get("include_byok_in_limit")),
        layers=_layers(data),
        free_quota=_free_quota(data.get("free_model_daily_requests")),
        account_id=optional_text(data.get("organization_id")) or optional_text(data.get("creator_user_id")),
    )


def _layers(data: dict[str, Json]) -> tuple[Layer, ...] | None:
    """Every budget that is enforced; None where the answer has no list of them.

    The one that blocks first is kept, too, where the list does not reach that far.
    """
    budgets, effective = data.get("budgets"), data.get("effective_budget")
    if not isinstance(budgets, list):
        return (_layer(effective),) if isinstance(effective, dict) else None
    layers = [_layer(item) for item in budgets[:MAX_LAYERS]]
    if isinstance(effective, dict) and (blocking := _layer(effective)) not in layers:
        layers.append(blocking)
    return tuple(layers)


def _layer(item: Json) -> Layer:
    """One that is not understood is kept all the same: something limits the key."""
    found: dict[str, Json] = item if isinstance(item, dict) else {}
    return Layer(
        scope=_printable_label(found.get("scope")) or "unknown",
        limit_usd=optional_usd(found.get("limit_usd")),
        spent_usd=optional_usd(found.get("spend_usd")),
        remaining_usd=optional_usd(found.get("remaining_usd"), may_be_negative=True),
        reset_interval=_printable_label(found.get("reset_interval")),
        resets_at=optional_time(found.get("resets_at")),
        include_byok=optional_flag(found.get("include_byok")),
        budget_id=_printable_label(found.get("budget_id")),
        guardrail_id=_printable_label(found.get("guardrail_id")),
    )


def _printable_label(value: Json) -> str | None:
    label = optional_label(value)
    return None if label is None else printable(label)


def _free_quota(value: Json) -> FreeQuota | None:
    found: dict[str, Json] = value if isinstance(value, dict) else {}
    limit, used, remaining = (optional_count(found.get(name)) for name in ("limit", "used", "remaining"))
    if limit is None or used is None:
        return None
    return FreeQuota(limit, used, max(0, limit - used) if remaining is None else remaining)


def parse_error(body: bytes) -> str | None:
    """The message of ``{"error": {"message": …}}``, made printable; None for anything else."""
    if len(body) > _LONGEST_ERROR_BYTES:  # no message of a server's is so long
        return None
    try:
        message = load_json(body)["error"]["message"]
    except (UnexpectedAnswerError, KeyError, TypeError):
        return None
    return printable(" ".join(message.split())) or None if isinstance(message, str) else None


def error_code(body: bytes) -> int | None:
    """The code, as an HTTP status, of an error, whatever the status that it came with; None where it is none.

    0: it is an error without a code.
    """
    try:
        error = load_json(body)["error"]
    except (UnexpectedAnswerError, KeyError, TypeError):
        return None
    code = error.get("code") if isinstance(error, dict) else 0
    return (code if type(code) is int else 0) if error else None


def _usage_row(item: dict[str, Json], day: date) -> UsageRow:
    return UsageRow(
        day,
        model_of(item, day),
        None,
        count_of(item, "requests_count", day),
        count_of(item, "tokens_input", day),
        count_of(item, "tokens_output", day),
        cost_of(item, "cost", day),
    )


def _plausible(row: UsageRow) -> UsageRow:
    counts = (row.requests, row.tokens_input, row.tokens_output, row.tokens_reasoning, row.tokens_cached)
    amounts = (row.cost_usd, row.byok_cost_usd)
    if any(amount is not None and amount > MAX_USD for amount in amounts) or any(
        count is not None and count > MAX_COUNT for count in counts
    ):
        raise RowError(f"{row.day}: rows of one model add up to more than is plausible")
    return row
