"""JSON to models: pure and distrustful.

Numbers stay exact (``Decimal`` straight from the JSON text). A row that cannot be believed is rejected
and the rest kept; an answer that is not the promised shape is an ``UnexpectedAnswerError``.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import reduce
from typing import Any, TypeAlias

from orwatch.errors import UnexpectedAnswerError
from orwatch.models import (
    KeyFacts,
    KeyKind,
    RejectedRow,
    UsageAnswer,
    UsageRow,
    UsageSource,
    add_exactly,
    from_nano,
    to_nano,
)
from orwatch.text import printable

# Far beyond what a key spends or uses in a day, and so far below what a 64-bit integer holds (of
# nano-dollars, too) that sums over a whole ledger stay within it.
MAX_USD = Decimal(10_000_000)
MAX_COUNT = 10**13
MAX_NAME_LENGTH = 256

_Json: TypeAlias = Any  # what json.loads gives; nothing past this module sees it

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ T]00:00:00(?:\.0+)?(?:Z|\+00:00)?)?", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


class _RowError(Exception):
    """Why a row is not believed."""


def parse_usage(body: bytes, since: date, until: date) -> UsageAnswer:
    """An answer of ``GET /usage`` for the days ``since`` to ``until``, both inclusive.

    Rows of one (date, model) are added up. Raises ``UnexpectedAnswerError``.
    """
    items = _data(body)
    if not isinstance(items, list):
        raise UnexpectedAnswerError(f"the answer's data is {_kind(items)}, not a list of rows")
    groups: dict[tuple[date, str | None], list[UsageRow]] = {}
    rejected: list[RejectedRow] = []
    for item in items:
        day = None
        try:
            day = _day(item)
            if not since <= day <= until:
                rejected.append(RejectedRow(f"{day} is outside of {since} to {until}", day, True))
                continue
            row = _usage_row(item, day)
            groups.setdefault((row.day, row.model), []).append(row)
        except _RowError as error:
            rejected.append(RejectedRow(str(error), day))
    rows = []
    # Believed or not as a whole: which of the rows is the wrong one, their order does not tell.
    for group in groups.values():
        try:
            rows.append(_plausible(reduce(_added, group)))
        except _RowError as error:
            rejected.extend(RejectedRow(str(error), row.day) for row in group)
    return UsageAnswer(
        UsageSource.USAGE,
        since,
        until,
        tuple(
            replace(row, cost_usd=from_nano(to_nano(row.cost_usd)))
            for row in sorted(rows, key=lambda row: (row.day, row.model or ""))
        ),
        tuple(rejected),
    )


def parse_key(body: bytes) -> KeyFacts:
    """An answer of ``GET /key``. A fact that is missing or not believed is None.

    Raises ``UnexpectedAnswerError``.
    """
    data = _data(body)
    if not isinstance(data, dict):
        raise UnexpectedAnswerError(f"the answer's data is {_kind(data)}, not an object")
    told = [data.get(name) for name in ("is_management_key", "is_provisioning_key")]
    is_management = next((value for value in told if isinstance(value, bool)), False)
    return KeyFacts(
        kind=KeyKind.MANAGEMENT if is_management else KeyKind.INFERENCE,
        label=_optional_text(data.get("label")),
        usage_usd=_optional_usd(data.get("usage")),
        usage_daily_usd=_optional_usd(data.get("usage_daily")),
        usage_weekly_usd=_optional_usd(data.get("usage_weekly")),
        usage_monthly_usd=_optional_usd(data.get("usage_monthly")),
        byok_usage_usd=_optional_usd(data.get("byok_usage")),
        byok_usage_daily_usd=_optional_usd(data.get("byok_usage_daily")),
        limit_usd=_optional_usd(data.get("limit")),
        limit_remaining_usd=_optional_usd(data.get("limit_remaining"), may_be_negative=True),
        limit_reset=_optional_text(data.get("limit_reset")),
        is_free_tier=data["is_free_tier"] if isinstance(data.get("is_free_tier"), bool) else None,
        expires_at=_optional_time(data.get("expires_at")),
    )


def parse_error(body: bytes) -> str | None:
    """The message of ``{"error": {"message": …}}``, made printable; None for anything else."""
    try:
        error = _load(body)["error"]
        message = error["message"]
    except (UnexpectedAnswerError, KeyError, TypeError):
        return None
    return printable(" ".join(message.split())) or None if isinstance(message, str) else None


def _load(body: bytes) -> _Json:
    try:
        return json.loads(body, parse_float=_exactly, parse_int=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        start = printable(body[:40].decode("utf-8", "replace").strip())
        what = f"begins with {start!r}" if start else "is empty"
        raise UnexpectedAnswerError(f"the answer is not JSON: it {what} ({len(body):,} bytes)") from error


def _exactly(number: str) -> _Json:
    # 1e99999999999999999999 is JSON, but more than Decimal holds; kept as text, it costs its row only.
    try:
        return Decimal(number)
    except InvalidOperation:
        return number


def _refuse_constant(name: str) -> _Json:
    # NaN and Infinity are not JSON; kept as text, they cost their row and not the answer.
    return name


def _data(body: bytes) -> _Json:
    answer = _load(body)
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError(f"the answer is {_kind(answer)}, not an object")
    if "data" not in answer:
        raise UnexpectedAnswerError("the answer has no data")
    if answer.get("truncated") is True:
        raise UnexpectedAnswerError("the answer is marked as truncated: rows of it are missing")
    return answer["data"]


def _kind(value: _Json) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(type(value), "a number")


def _usage_row(item: _Json, day: date) -> UsageRow:
    model = item.get("model")
    if not isinstance(model, str) or not model.strip():
        raise _RowError(f"{day}: the model is {_shown(model)}, not a name")
    if len(model) > MAX_NAME_LENGTH:
        raise _RowError(f"{day}: the model's name has {len(model):,} characters")
    if not _is_storable(model):
        raise _RowError(f"{day}: the model's name {_shown(model)} is not valid Unicode")
    return UsageRow(
        day=day,
        model=model.strip(),
        provider=None,
        requests=_count(item, "requests_count", day),
        tokens_input=_count(item, "tokens_input", day),
        tokens_output=_count(item, "tokens_output", day),
        cost_usd=_cost(item, "cost", day),
    )


def _added(first: UsageRow, second: UsageRow) -> UsageRow:
    return replace(
        first,
        requests=_sum_if_known(first.requests, second.requests),
        tokens_input=_sum_if_known(first.tokens_input, second.tokens_input),
        tokens_output=_sum_if_known(first.tokens_output, second.tokens_output),
        cost_usd=add_exactly(first.cost_usd, second.cost_usd),
    )


def _plausible(row: UsageRow) -> UsageRow:
    counts = (row.requests, row.tokens_input, row.tokens_output)
    if row.cost_usd > MAX_USD or any(count is not None and count > MAX_COUNT for count in counts):
        raise _RowError(f"{row.day}: rows of one model add up to more than is plausible")
    return row


def _sum_if_known(first: int | None, second: int | None) -> int | None:
    """A sum with an unknown part is unknown."""
    return None if first is None or second is None else first + second


def _day(item: _Json) -> date:
    if not isinstance(item, dict):
        raise _RowError(f"a row is {_kind(item)}, not an object")
    text = item.get("date")
    match = _DAY.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _RowError(f"the date {_shown(text)} is not a day")
    try:
        return date.fromisoformat(match[1])
    except ValueError:
        raise _RowError(f"the date {_shown(text)} does not exist") from None


def _count(item: dict[str, _Json], field: str, day: date) -> int | None:
    value = item.get(field)
    if value is None:
        return None
    number = _number(value)
    if number is None or number != number.to_integral_value() or not 0 <= number <= MAX_COUNT:
        raise _RowError(f"{day}: {field} is {_shown(value)}, not a plausible count")
    return int(number)


def _cost(item: dict[str, _Json], field: str, day: date) -> Decimal:
    value = item.get(field)
    number = _number(value)
    if number is None or not 0 <= number <= MAX_USD:
        raise _RowError(f"{day}: {field} is {_shown(value)}, not a plausible amount")
    return number


def _number(value: _Json) -> Decimal | None:
    """A JSON number, or a text that is one, exactly; None for all else."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 400 or not _NUMBER.fullmatch(text):
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            return None
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    # Nobody means 1e-5000000; beyond these exponents arithmetic alone would be an attack.
    if value and not -400 < value.adjusted() < 30:
        return None
    return value if value else Decimal(0)


def _shown(value: _Json) -> str:
    """A value as it came, short enough and safe for a message."""
    if isinstance(value, dict | list):
        return _kind(value)
    text = f"{value}" if isinstance(value, Decimal) else json.dumps(value)
    return printable(text if len(text) <= 60 else f"{text[:57]}…")


def _is_storable(text: str) -> bool:
    """Whether the text has no lone surrogates (JSON can write them, UTF-8 cannot) and no NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _optional_usd(value: _Json, *, may_be_negative: bool = False) -> Decimal | None:
    number = _number(value)
    if number is None or abs(number) > MAX_USD or (number < 0 and not may_be_negative):
        return None
    return number


def _optional_text(value: _Json) -> str | None:
    if not isinstance(value, str) or not value or len(value) > MAX_NAME_LENGTH or not _is_storable(value):
        return None
    return value


def _optional_time(value: _Json) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
