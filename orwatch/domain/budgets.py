"""Budgets of one's own: what they cover, and their windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

DEFAULT_WARN_PERCENT = (50, 80, 100)


class Per(StrEnum):
    """How often a budget begins anew: at 00:00 UTC of each day, Monday or first of the month, or never."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Scope:
    """What counts. Of each kind that is not empty one has to fit; nothing at all: the whole account.

    ``key_ids`` are those of the keys' present secrets; ``models`` are patterns as ``report --model`` takes.
    """

    key_ids: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in a window. ``warn_percent``: rising, each from 1 to 1,000."""

    id: int
    name: str
    limit_usd: Decimal
    per: Per
    scope: Scope
    warn_percent: tuple[int, ...]
    with_byok: bool
    created_at: datetime
