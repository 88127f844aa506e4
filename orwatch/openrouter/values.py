"""Values of a JSON answer, checked.

Numbers stay exact (``Decimal`` straight from the JSON text). An answer that is not the promised shape is an
``UnexpectedAnswerError``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from orwatch.domain.money import ZERO, round_to_nano
from orwatch.errors import TruncatedAnswerError, UnexpectedAnswerError
from orwatch.redaction import may_hold_secret, redact
from orwatch.text import printable, without_secrets

# Far beyond what a key spends or uses in a day, and so far below what a 64-bit integer holds (of
# nano-dollars, too) that sums over a whole ledger stay within it.
MAX_USD = Decimal(10_000_000)
MAX_CREDITS_USD = Decimal(1_000_000_000)  # of an account, in all its life
MAX_COUNT = 10**13
# Beyond these exponents arithmetic alone would take forever: 1e-5000000 is an attack or an error.
_LEAST_EXPONENT, _MOST_EXPONENT = -399, 29
MAX_NAME_LENGTH = 256
# Of one answer: far more than the largest has, and so few that they fit into some hundred megabytes.
MAX_VALUES = 5_000_000
MAX_OBJECTS = 1_000_000
MAX_NAMES = 20_000  # models, each with each of its providers
_SMALL_BYTES = 8 * 1024**2  # too small to hold too many
_BYTES_TO_LOOK_AT = 4000  # of what is not JSON
_LONGEST_SECRET = 500
LONGEST_DAY = 100  # and moment
_LONGEST_NUMBER = 400
_SHOWN_LENGTH = 60

Json: TypeAlias = Any  # what json.loads gives; nothing past the parsers sees it

_SURROGATE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def load_json(body: bytes) -> Json:
    """The value of a JSON text, without secrets, its numbers as ``int`` and ``Decimal``.

    Raises ``UnexpectedAnswerError``.
    """
    _check_number_of_values(body)
    try:
        value = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, InvalidOperation, RecursionError):
        value = _load_with_care(body)
    return _redacted(value) if may_hold_secret(body) else value


def _check_number_of_values(body: bytes) -> None:
    """Raises ``UnexpectedAnswerError``. A value may take two bytes of JSON, and a hundred of memory."""
    if len(body) <= _SMALL_BYTES:
        return
    # Before each value but the first of its object or list stands a comma.
    if body.count(b",") > MAX_VALUES or body.count(b"{") + body.count(b"[") > MAX_OBJECTS:
        raise UnexpectedAnswerError(
            f"the answer has more than {MAX_VALUES:,} values or {MAX_OBJECTS:,} objects ({len(body):,} bytes)"
        )


def check_names(names: Iterable[object], most: int) -> None:
    """Raises ``UnexpectedAnswerError`` for more models and providers than there are.

    ``most``: how many there can be of them, some of which may be the same.
    """
    if most > MAX_NAMES and len({*names}) > MAX_NAMES:
        raise UnexpectedAnswerError(f"the answer has more than {MAX_NAMES:,} models and providers")


def _redacted(value: Json) -> Json:
    """The value with no secret in its texts; the names of members are never shown."""
    whole = [value]
    parts: list[Json] = [whole]
    for part in parts:
        for place, item in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(item, str):
                part[place] = redact(item)
            elif isinstance(item, dict | list):
                parts.append(item)
    return whole[0]


def _load_with_care(body: bytes) -> Json:
    # Slower, for an answer with a number of more digits than int takes, or than Decimal's exponents hold.
    try:
        return json.loads(body, parse_float=_exactly, parse_int=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        text = body[:_BYTES_TO_LOOK_AT].decode(json.detect_encoding(body), "replace")
        if len(body) > _BYTES_TO_LOOK_AT:
            # A secret that is cut in two is not known as one.
            text = text[:-_LONGEST_SECRET]
        start = printable(redact(text.strip())[:40])
        blank = "begins with white space" if len(body) > _BYTES_TO_LOOK_AT else "is empty"
        what = f"begins with {start!r}" if start else blank
        raise UnexpectedAnswerError(f"the answer is not JSON: it {what} ({len(body):,} bytes)") from error


def _exactly(number: str) -> Json:
    # 1e99999999999999999999 is JSON, but more than Decimal holds; kept as text, it costs its row only.
    try:
        return Decimal(number)
    except InvalidOperation:
        return number


def _refuse_constant(name: str) -> Json:
    # NaN and Infinity are not JSON; kept as text, they cost their row and not the answer.
    return name


def data_of(body: bytes) -> Json:
    """The ``data`` of an answer. Raises ``UnexpectedAnswerError``."""
    answer = load_json(body)
    if not isinstance(answer, dict):
        raise UnexpectedAnswerError(f"the answer is {kind_of(answer)}, not an object")
    if "data" not in answer:
        raise UnexpectedAnswerError("the answer has no data")
    if answer.get("truncated") is True:
        raise TruncatedAnswerError("the answer is marked as truncated: rows are missing")
    return answer["data"]


def list_of(value: Json) -> list[Json]:
    """The value, if it is a list. Raises ``UnexpectedAnswerError``."""
    if not isinstance(value, list):
        raise UnexpectedAnswerError(f"the answer's data is {kind_of(value)}, not a list of rows")
    return value


def kind_of(value: Json) -> str:
    """What kind of value it is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def number_of(value: Json) -> Decimal | None:
    """A JSON number, or a text that is one, exactly; None for all else."""
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text := value.strip()):
            return None
        try:
            value = Decimal(text)
        except InvalidOperation:
            return None
    elif type(value) is int:
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    if value and not _LEAST_EXPONENT <= value.adjusted() <= _MOST_EXPONENT:
        return None
    return value if value else Decimal(0)


def shown(value: Json) -> str:
    """A value as it came, short enough and safe for a message."""
    if isinstance(value, dict | list):
        return kind_of(value)
    if isinstance(value, str):
        value = value[: _SHOWN_LENGTH + 1]
    text = f"{value}" if isinstance(value, Decimal) else json.dumps(value)
    return printable(text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}…")


def is_storable(text: str) -> bool:
    """Whether the text has no lone surrogates (JSON can write them, UTF-8 cannot) and no NUL."""
    return "\0" not in text and (text.isascii() or _SURROGATE.search(text) is None)


def optional_usd(value: Json, *, may_be_negative: bool = False, most: Decimal = MAX_USD) -> Decimal | None:
    """An amount in dollars, or None for what is none."""
    number = number_of(value)
    if number is None or abs(number) > most:
        return None
    if number < 0 and not may_be_negative:
        return None if round_to_nano(number) else ZERO
    return number


def optional_count(value: Json) -> int | None:
    """A plausible count, or None for what is none."""
    number = number_of(value)
    if number is None or number != number.to_integral_value() or not 0 <= number <= MAX_COUNT:
        return None
    return int(number)


def optional_flag(value: Json) -> bool | None:
    """A truth value, or None for what is none."""
    return value if isinstance(value, bool) else None


def optional_text(value: Json) -> str | None:
    """A short text, or None for what is none."""
    if not isinstance(value, str) or not value or len(value) > MAX_NAME_LENGTH or not is_storable(value):
        return None
    return value


def optional_label(value: Json) -> str | None:
    """As ``optional_text``, for what is shown: no secret stands in it."""
    text = optional_text(value)
    return None if text is None else without_secrets(text)


def optional_time(value: Json) -> datetime | None:
    """A time in UTC, or None for what is none."""
    if not isinstance(value, str) or len(value) > LONGEST_DAY:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
