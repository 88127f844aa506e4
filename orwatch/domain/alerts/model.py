"""A model in recent use is to be retired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.alerts.windows import OpenWindows, with_other_windows
from orwatch.domain.days import long_day, short_day

# It is in recent use for so long after the last one.
RECENT_USE = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class UsedModel:
    """A model (its plain name), when it is to be retired, and the last day on which it is known to be used.

    Wanted of models with ``retires_on``, and of those with an open alert.
    """

    name: str
    retires_on: date | None
    last_used_on: date | None


def find_retiring_models(
    models: Iterable[UsedModel], open_windows: OpenWindows, today: date
) -> Iterator[Finding]:
    """A finding of each model that is yet to be retired, or was to be. ``open_windows``: of this rule.

    The window is the day on which it is retired.
    """
    for model in models:
        subject = f"model:{model.name}"
        others = [day for day in open_windows.get(subject, ()) if day >= today.isoformat()]
        if model.retires_on is None:
            stays = Finding(Rule.MODEL, subject, model.name, "", False, "it is not to be retired any more")
            yield from with_other_windows(stays, others)
        elif model.retires_on >= today:
            yield from with_other_windows(_judge(subject, model, model.retires_on, today), others)


def _judge(subject: str, model: UsedModel, retires_on: date, today: date) -> Finding:
    used_on = model.last_used_on
    is_met = used_on is not None and today - used_on <= RECENT_USE
    summary = f"it is retired on {long_day(retires_on)}"
    if used_on is not None:
        summary += f" and was last used on {short_day(used_on)}"
    if is_met:
        summary += ". Move what uses it to another model"
    figures = {
        "retires_on": retires_on.isoformat(),
        "last_used_on": None if used_on is None else used_on.isoformat(),
    }
    return Finding(Rule.MODEL, subject, model.name, retires_on.isoformat(), is_met, summary, figures=figures)
