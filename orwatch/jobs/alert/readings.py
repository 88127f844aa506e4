"""What the rules go by, read in a few queries; and which function finds what by which rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.jobs.alert.result import WatchRules
from orwatch.store.engine.database import Connection


@dataclass(frozen=True, slots=True)
class Readings:
    """Where and how to read. ``watched_since``: what was so before that is no news."""

    connection: Connection
    now: datetime
    watched_since: datetime
    rules: WatchRules


RULES: Mapping[Rule, Callable[[Readings], Iterable[Finding]]] = {}
