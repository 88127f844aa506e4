"""What can still be spent, in words: ``$0.50 until 1 Dec (workspace budget)``; and as members of JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time

from orwatch.domain.can_spend import Bound, CanSpend
from orwatch.domain.days import short_day
from orwatch.domain.keys import KeyFacts
from orwatch.render import numbers
from orwatch.render.json_text import Member, Shape
from orwatch.render.tables import Column


def can_spend_text(found: CanSpend) -> str:
    """The whole of it on one line."""
    return f"{amount_text(found)} {reason_text(found)}"


def amount_text(found: CanSpend) -> str:
    """How much: ``$0.50``, ``at most $0.50``."""
    amount = numbers.usd(found.amount_usd)
    return f"at most {amount}" if found.is_at_most else amount


def reason_text(found: CanSpend | None) -> str:
    """Which layer, and until when: ``until 1 Dec (workspace budget)``, ``(balance)``."""
    if found is None:
        return ""
    until = "" if found.until is None else f"until {_day(found.until)} "
    return f"{until}({found.layer})"


def _day(moment: datetime) -> str:
    day = short_day(moment)
    return day if moment.time() == time() else f"{day} {moment:%H:%M}"


def can_spend_columns(
    amounts: Sequence[str], found: Sequence[CanSpend | None], *, is_shortened: bool = False
) -> list[Column]:
    """How much, and the reason behind it where there is room. ``is_shortened``: or the beginning of it."""
    reasons = [reason_text(each) for each in found]
    column = Column("", reasons, is_name=is_shortened, is_word=not is_shortened, dispensable=2)
    return [Column("Can spend", amounts), *([column] if any(reasons) else [])]


def bound_text(bound: Bound, now: datetime) -> str:
    """One layer: ``$0.50 left of $50.00, resets monthly, next in 3 d``."""
    left = numbers.exact_usd(bound.remaining_usd)
    text = f"{'at most ' if bound.is_at_most else ''}{left} left of {numbers.exact_usd(bound.limit_usd)}"
    if bound.reset_interval is not None:
        text += f", resets {bound.reset_interval}"
    if bound.until is not None:
        text += f", next {numbers.moment(bound.until)} UTC ({numbers.age(bound.until, now)})"
    return text


CAN_SPEND = Shape(
    CanSpend,
    Member("amount", "What can still be spent, in US dollars; null: unknown.", "amount_usd"),
    Member(
        "layer",
        "What blocks first: `balance`, `limit` (the key's own), `workspace budget`, `guardrail`, "
        "`member budget`, or OpenRouter's word.",
    ),
    Member("until", "When that resets; null: never, or unknown."),
    Member("is_at_most", "Whether it may be less: nothing was read since something that limits it reset."),
)
LIMIT = Shape(
    KeyFacts,
    Member("limit", "Its own limit, in US dollars; null: unlimited or never read.", "limit_usd"),
    Member(
        "limit_remaining", "What is left of its limit, in US dollars; may be negative.", "limit_remaining_usd"
    ),
    Member("limit_reset", "When its limit starts anew, in OpenRouter's word."),
)
BOUND = Shape(
    Bound,
    Member("layer", "What it is; as in `can_spend`."),
    Member("id", "The id of the budget or the guardrail."),
    Member("limit", "Its limit, in US dollars; null: a balance, or unknown.", "limit_usd"),
    Member("remaining", "What is left, in US dollars; may be negative; null: unknown.", "remaining_usd"),
    Member("reset_interval", "How often it starts anew, in OpenRouter's word; null: never."),
    Member("until", "When it starts anew; null: never, or unknown."),
    Member("is_at_most", "Whether less may be left: nothing was read since it last started anew."),
)
