"""Where alerts go, and how one gets there: Apprise's addresses, and a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from orwatch.config.notify import scheme
from orwatch.domain.alerts import message
from orwatch.domain.alerts.alert import Alert
from orwatch.domain.alerts.message import Message
from orwatch.redaction import presentable

CALL_SECONDS = 10.0  # for one alert at one destination

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


@dataclass(frozen=True, slots=True)
class Destination:
    """One place. ``label``: its name in messages, which tells nothing of its address.

    ``deliver`` takes what to deliver and for how many seconds at most. ``problem``: what is wrong with the
    place, as far as that is seen without delivering anything; None: nothing.
    """

    label: str
    deliver: Callable[[Outgoing, float], Failure | None] = field(repr=False)
    problem: Callable[[], str | None] = field(repr=False)


def find(notify_urls: Sequence[str], on_alert: Sequence[str]) -> list[Destination]:
    """The destinations that the settings name, addresses first, numbered as they are written."""
    from orwatch.jobs.alert import command, notify

    found = [
        Destination(f"{scheme(url)} {number}", partial(notify.deliver, url), partial(notify.problem, url))
        for number, url in enumerate(notify_urls, 1)
    ]
    if on_alert:
        found.append(
            Destination("command", partial(command.deliver, on_alert), partial(command.problem, on_alert))
        )
    return found


def outgoing(alert: Alert, as_json: AlertJson, *, is_recovery: bool = False) -> Outgoing:
    """An alert, or that it is over, without secrets and safe to show."""
    said = message.recovered(alert) if is_recovery else message.raised(alert)
    title = presentable(said.title.replace("\n", " "))
    return Outgoing(Message(title, presentable(said.body), said.is_recovery), presentable(as_json(alert)))
