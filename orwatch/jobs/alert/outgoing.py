"""What a destination gets of an alert, and why it may not get it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orwatch.domain.alerts import message
from orwatch.domain.alerts.alert import Alert
from orwatch.domain.alerts.message import Message
from orwatch.redaction import presentable

AlertJson = Callable[[Alert], str]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a destination gets: the message, or the alert as JSON."""

    message: Message
    json: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something could not be delivered. ``is_late``: there was no end of it in the time that it had."""

    reason: str
    is_late: bool = False


def outgoing(alert: Alert, as_json: AlertJson, *, is_recovery: bool = False) -> Outgoing:
    """An alert, or that it is over, without secrets and safe to show."""
    said = message.recovered(alert) if is_recovery else message.raised(alert)
    title = presentable(said.title.replace("\n", " "))
    return Outgoing(Message(title, presentable(said.body), said.is_recovery), presentable(as_json(alert)))
