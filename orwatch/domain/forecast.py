"""Where spending will be at the end of a window."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will have been spent at the end of a window, in dollars.

    Eight of ten outcomes lie from ``low_usd`` to ``high_usd``. ``is_rough``: few days are known as yet.
    """

    expected_usd: Decimal
    low_usd: Decimal
    high_usd: Decimal
    is_rough: bool
