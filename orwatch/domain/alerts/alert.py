"""A rule's finding, and the alert that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

# What a finding says in numbers: what is money has ``_usd`` in its name.
Figures = Mapping[str, str | int | Decimal | None]

# At how many percent of a limit there is an alert, unless the settings say otherwise.
WARN_PERCENT = (80, 100)
MOST_PERCENT = 1_000

TRY_LIMIT = 10  # how often an alert, and then its recovery, is tried to be sent


class Rule(StrEnum):
    """Why an alert is raised; the name by which a rule is switched off."""

    BUDGET = "budget"
    FORECAST = "forecast"
    LIMIT = "limit"
    BALANCE = "balance"
    SPIKE = "spike"
    KEY = "key"
    FREE_QUOTA = "free-quota"
    MODEL = "model"


def read_percents(text: str) -> tuple[int, ...] | None:
    """The whole percents from 1 to 1,000 between the commas, rising, each once; None for anything else."""
    words = [word.strip().removesuffix("%").rstrip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) <= 4 for word in words):
        return None
    found = sorted({int(word) for word in words})
    return tuple(found) if found[0] > 0 and found[-1] <= MOST_PERCENT else None


def whole_percent(part: Decimal | int, whole: Decimal | int) -> int:
    """How many whole percent of the whole it is; of nothing, 100."""
    return int(part * 100 // whole) if whole > 0 else 100


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule finds of one subject now.

    ``subject`` stays the same when it is renamed (``key:12``), ``name`` is how it is shown. ``window``: what
    the finding holds for; in another window it is another alert. ``threshold``: in percent, 0 where the rule
    has none. ``is_met`` None: it cannot be told, and then nothing is raised and nothing is over.
    ``summary``: one sentence with the figures; of a finding that is not met it says how things stand now.
    """

    rule: Rule
    subject: str
    name: str
    window: str
    is_met: bool | None
    summary: str
    threshold: int = 0
    figures: Figures | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that was met, as it is stored: once for its rule, subject, window and threshold.

    ``recovered_at``: it was found not to hold any more, which ``recovery`` says. ``ended_at``: it recovered,
    or its window is over. ``tries``: how often it, or then its recovery, could not be sent.
    """

    id: int
    rule: Rule
    subject: str
    name: str
    window: str
    threshold: int
    summary: str
    figures: Figures
    raised_at: datetime
    sent_at: datetime | None = None
    recovered_at: datetime | None = None
    recovery: str | None = None
    recovery_sent_at: datetime | None = None
    ended_at: datetime | None = None
    acknowledged_at: datetime | None = None
    tries: int = 0
    tried_at: datetime | None = None
    send_error: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still holds."""
        return self.ended_at is None

    @property
    def is_undelivered(self) -> bool:
        """Whether it, or its recovery, could not be sent and is not tried again, and nobody knows."""
        return self.tries >= TRY_LIMIT and self.acknowledged_at is None
