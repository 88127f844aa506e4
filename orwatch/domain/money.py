"""Money: ``Decimal`` US dollars in code, whole nano-dollars (1e-9 USD) in the database; both rounded here."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import (
    MAX_EMAX,
    MAX_PREC,
    MIN_EMIN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    localcontext,
)
from functools import reduce

NANO = Decimal("1e-9")

ZERO = Decimal(0)


# Wide enough that adding up an answer never rounds; the ledger's own unit is the nano-dollar.
_EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)

# Not even an amount of thousands of digits may be rounded before it is rounded to nano-dollars.
_UNROUNDED = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX)


def add_exactly(first: Decimal, second: Decimal) -> Decimal:
    """The sum, without the rounding to 28 digits that ``+`` would do."""
    return _EXACT.add(first, second)


def to_nano(amount_usd: Decimal) -> int:
    """Dollars as a whole number of nano-dollars (1e-9 USD), half to even."""
    if not amount_usd:
        return 0
    # Moving the point first and rounding once, by round() itself, takes a third of quantize's time.
    return round(_UNROUNDED.scaleb(amount_usd, 9))


def round_to_nano(amount_usd: Decimal) -> Decimal:
    """The dollars to the nearest nano-dollar, half to even."""
    return _EXACT.quantize(amount_usd, NANO)


def are_in_nano(amounts_usd: Iterable[Decimal]) -> bool:
    """Whether each has nine decimals at most, and so is rounded already; each is far below 1e100."""
    # A sum has as many decimals as what was added up; one of too many digits for that has too many decimals.
    exponent = sum_exactly(amounts_usd).as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -9


def from_nano(amount_nano: int) -> Decimal:
    """Nano-dollars as dollars, exact, without trailing zeros (``Decimal('0.015')``)."""
    # Whole dollars would be normalized to 1E+2.
    if amount_nano % 10**9 == 0:
        return Decimal(amount_nano // 10**9)
    return _EXACT.normalize(_EXACT.scaleb(Decimal(amount_nano), -9))


def add_known_usd(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """The exact sum of what is known; None where neither is."""
    if first is None or second is None:
        return second if first is None else first
    return add_exactly(first, second)


def sum_exactly(amounts_usd: Iterable[Decimal]) -> Decimal:
    """The exact sum; of none, zero."""
    with localcontext(_EXACT):
        return sum(amounts_usd, ZERO)


def sum_known_usd(amounts_usd: Iterable[Decimal | None]) -> Decimal | None:
    """The exact sum of what is known; None where nothing is."""
    return reduce(add_known_usd, amounts_usd, None)


def dollars(amount_usd: Decimal, decimals: int = 2) -> str:
    """``$1,234.56``; an amount that would round to nothing is ``<$0.01`` instead."""
    smallest = Decimal(1).scaleb(-decimals)
    if amount_usd and not round(amount_usd, decimals):
        return f"<${smallest}" if amount_usd > 0 else f">-${smallest}"
    rounded = amount_usd.quantize(smallest, ROUND_HALF_UP)
    return f"-${-rounded:,f}" if rounded < 0 else f"${rounded:,f}"


def plain(amount: Decimal) -> str:
    """All the digits that mean something, for programs: ``0.015``, ``12``."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
