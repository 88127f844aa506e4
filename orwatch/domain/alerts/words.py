"""How the rules say amounts and days in their sentences."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

_CENT = Decimal("0.01")


def usd(amount: Decimal) -> str:
    """``$1,234.56``; an amount of less than a cent is ``<$0.01``."""
    if 0 < amount < _CENT:
        return "<$0.01"
    sign = "-" if amount < 0 else ""
    return f"{sign}${abs(amount).quantize(_CENT, ROUND_HALF_UP):,f}"


def short_day(day: date) -> str:
    """``1 Dec``."""
    return f"{day.day} {day:%b}"


def whole_percent(part: Decimal | int, whole: Decimal | int) -> int:
    """How many whole percent of the whole it is; of nothing, 100."""
    return int(part * 100 // whole) if whole > 0 else 100
