"""Where alerts go, and how one gets there: Apprise's addresses, and a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from orwatch.config.notify import scheme
from orwatch.jobs.alert import command, notify
from orwatch.jobs.alert.outgoing import Failure, Outgoing

CALL_SECONDS = 10.0  # for one alert at one destination


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
    found = [
        Destination(f"{scheme(url)} {number}", partial(notify.deliver, url), partial(notify.problem, url))
        for number, url in enumerate(notify_urls, 1)
    ]
    if on_alert:
        found.append(
            Destination("command", partial(command.deliver, on_alert), partial(command.problem, on_alert))
        )
    return found
