"""What judging answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from orwatch.domain.alerts.alert import WARN_PERCENT, Alert, Rule


@dataclass(frozen=True, slots=True)
class WatchRules:
    """How to judge. ``off``: the rules that raise nothing; ``limit_warn``: in percent, rising.

    ``balance_warn_usd``: a balance below it is worth a warning; None: how long it lasts decides alone.
    """

    off: frozenset[Rule] = frozenset()
    limit_warn: tuple[int, ...] = WARN_PERCENT
    balance_warn_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What this judging has raised, and found to have recovered. ``has_bug``: not all could be judged."""

    raised: tuple[Alert, ...] = ()
    recovered: tuple[Alert, ...] = ()
    has_bug: bool = False

    @property
    def needs_person(self) -> bool:
        """Whether the run that judged exits with 1."""
        return bool(self.raised) or self.has_bug


NOTHING_JUDGED = Judgement()
