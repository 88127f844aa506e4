"""``orwatch alert test``: one alert of each kind to each destination, marked as a test; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orwatch.domain.alerts.alert import Rule
from orwatch.domain.alerts.message import example
from orwatch.errors import EXIT_DONE, EXIT_NEEDS_PERSON, SettingsError
from orwatch.jobs.alert.destinations import CALL_SECONDS, Destination
from orwatch.jobs.alert.outgoing import AlertJson, outgoing


@dataclass(frozen=True, slots=True)
class Trial:
    """How many alerts one destination took, and why it did not take the next one."""

    destination: str
    sent: int
    error: str | None


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What became of the test, in the order of the destinations."""

    trials: tuple[Trial, ...]

    @property
    def exit_code(self) -> int:
        """1 when something was not delivered."""
        return EXIT_NEEDS_PERSON if any(trial.error for trial in self.trials) else EXIT_DONE


def run(
    destinations: Sequence[Destination],
    as_json: AlertJson,
    now: datetime,
    call_seconds: float = CALL_SECONDS,
) -> TrialResult:
    """Send the alerts. Raises ``SettingsError`` where there is no destination."""
    if not destinations:
        raise SettingsError(
            "alerts go nowhere but to standard error, from where cron mails them",
            "Set ORWATCH_NOTIFY_URLS or ORWATCH_ON_ALERT: `orwatch help notify` has examples.",
        )
    return TrialResult(tuple(_try(destination, as_json, now, call_seconds) for destination in destinations))


def _try(destination: Destination, as_json: AlertJson, now: datetime, call_seconds: float) -> Trial:
    """The first failure is the last try: the others would take as long."""
    for number, rule in enumerate(Rule):
        failure = destination.deliver(outgoing(example(rule, now), as_json), call_seconds)
        if failure is not None:
            return Trial(destination.label, number, failure.reason)
    return Trial(destination.label, len(Rule), None)
