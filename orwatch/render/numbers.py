"""Numbers as people read them. What is not known is an en dash, never a zero."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from orwatch.domain.money import dollars, plain

UNKNOWN = "–"

_COMPACT_FROM = 10_000
_UNITS = ("k", "M", "B", "T")
# From nothing to the largest.
_LEVELS = "▁▂▃▄▅▆▇█"
_ASCII_LEVELS = "_.:-=+*#"


def count(value: int | None) -> str:
    """``1,234,567``."""
    return UNKNOWN if value is None else f"{value:,}"


def compact_count(value: int | None) -> str:
    """``9,999``, ``458.5M``; what would need more digits, in the next unit."""
    if value is None or value < _COMPACT_FROM:
        return count(value)
    # The first in which it is below a thousand, also once it is rounded.
    power = next(
        (power for power in range(1, len(_UNITS)) if _tenths(value, 1000**power) < 10_000), len(_UNITS)
    )
    tenths = _tenths(value, 1000**power)
    return f"{tenths // 10:,}.{tenths % 10}{_UNITS[power - 1]}"


def _tenths(value: int, unit: int) -> int:
    return (value * 10 + unit // 2) // unit


def usd(amount: Decimal | None, decimals: int = 2) -> str:
    """``$1,234.56``, ``<$0.01``."""
    return UNKNOWN if amount is None else dollars(amount, decimals)


def exact_usd(amount: Decimal | None) -> str:
    """All the digits there are, at least two after the point: ``$0.015``, ``$12.00``."""
    if amount is None:
        return UNKNOWN
    return usd(amount, max(2, len(plain(amount).partition(".")[2])))


def share(part: Decimal | None, whole: Decimal | None) -> str:
    """``12.3%``; unknown where there is no whole to be a part of."""
    if part is None or not whole:
        return UNKNOWN
    percent = part / whole * 100
    return "<0.1%" if percent > 0 and not round(percent, 1) else f"{percent:.1f}%"


def change(before: Decimal, after: Decimal) -> str:
    """``up 12.3% from $100.00``, ``as much as $5.00``, ``up from $0.00``."""
    if before == after:
        return f"as much as {usd(before)}"
    way = "up" if after > before else "down"
    percent = f"{share(abs(after - before), before)} " if before else ""
    return f"{way} {percent}from {usd(before)}"


def used_part(limit: Decimal | None, remaining: Decimal | None) -> Decimal | None:
    """How much of a limit is used, 0 to 1; None where the limit or what remains of it is not known."""
    if limit is None or remaining is None:
        return None
    if remaining <= 0 or limit <= 0:
        return Decimal(1)
    return max(Decimal(0), 1 - remaining / limit)


def whole_percent(part: Decimal) -> str:
    """``61%``; ``100%`` is the whole and nothing less."""
    return f"{(part * 100).quantize(Decimal(1), ROUND_DOWN)}%"


def size(bytes_count: int) -> str:
    """``512 B``, ``1.4 MB``: thousands, as disks are sold."""
    value = float(bytes_count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(round(value, 1)) < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def moment(value: datetime | None) -> str:
    """``2026-11-20 14:05``, in UTC."""
    return UNKNOWN if value is None else f"{value:%Y-%m-%d %H:%M}"


def moment_utc(value: datetime | None) -> str:
    """``2026-11-20 14:05 UTC``, where no heading says that it is UTC."""
    return UNKNOWN if value is None else f"{moment(value)} UTC"


def duration(seconds: float) -> str:
    """``0.4 s``, ``3 min 20 s``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(max(seconds, 60)), 60)
    return f"{minutes} min {rest} s"


def age(value: datetime | None, now: datetime) -> str:
    """``just now``, ``5 min ago``, ``3 d ago``; ``in 20 min`` for what is to come."""
    if value is None:
        return UNKNOWN
    gap = now - value
    if abs(gap) < timedelta(minutes=1):
        return "just now"
    text = _span(abs(gap))
    return f"in {text}" if gap < timedelta(0) else f"{text} ago"


def _span(gap: timedelta) -> str:
    minutes = int(gap.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"


def bar(part: Decimal | None, largest: Decimal | None, width: int, *, ascii_only: bool = False) -> str:
    """A horizontal bar of at most ``width`` cells; anything above nothing shows at least a sliver."""
    if not part or not largest or width < 1:
        return ""
    if ascii_only:
        return "#" * max(1, round(part / largest * width))
    eighths = max(1, round(part / largest * width * 8))
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def sparkline(values: Sequence[Decimal | None], *, ascii_only: bool = False) -> str:
    """A character for each; a blank is unknown, and anything above nothing stands above zero."""
    levels = _ASCII_LEVELS if ascii_only else _LEVELS
    largest = max((value for value in values if value is not None), default=Decimal(0))
    top = len(levels) - 1

    def level(value: Decimal | None) -> str:
        if value is None:
            return " "
        return levels[max(1, round(value / largest * top)) if value > 0 else 0]

    return "".join(map(level, values))
