"""Alerts as a table, as lines, and as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from rich.text import Text

from orwatch.domain.alerts.alert import Alert, Rule
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape
from orwatch.render.tables import Column, labelled, make_table

_TIME = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::[\d.]+)?(?:\+00:00)?")


@as_view
def list_view(
    screen: Screen, alerts: Sequence[Alert], *, is_all: bool = False, rule: Rule | None = None
) -> Parts:
    """The alerts, a row each, the newest first. ``is_all``: those that are over were asked for as well."""
    if not alerts:
        of_rule = f" of the rule {rule}" if rule else ""
        more = "" if is_all else " `orwatch alert list --all` shows those that are over."
        return [Text(f"No alerts{of_rule}{'' if is_all else ' hold now'}.{more}")]
    states = [_state(alert) for alert in alerts]
    return [
        make_table(
            [
                Column("Alert", [str(alert.id) for alert in alerts]),
                Column("Raised (UTC)", [numbers.moment(alert.raised_at) for alert in alerts], is_word=True),
                Column("Rule", [alert.rule.value for alert in alerts], is_word=True),
                Column("State", states, is_word=True),
                Column("What", [_what(alert) for alert in alerts], is_name=True, is_wrapped=True),
            ],
            screen.width,
            row_styles=["red" if state == "open" else "" for state in states],
        )
    ]


def _state(alert: Alert) -> str:
    """In a word; one that is over may have been acknowledged as well."""
    if not alert.is_open:
        return "over" if alert.recovered_at is None else "recovered"
    return "open" if alert.acknowledged_at is None else "acknowledged"


def _what(alert: Alert) -> str:
    is_over = not alert.is_open and alert.recovery is not None
    what = f"{alert.recovery} (was: {alert.summary})" if is_over else alert.summary
    return f"{what} (undelivered: {alert.send_error})" if alert.is_undelivered else what


@as_view
def show_view(screen: Screen, alert: Alert) -> Parts:
    """All of one alert, a line each."""
    lines = [
        ("Alert", f"{alert.id}, {_state(alert)}"),
        ("Rule", alert.rule.value),
        ("Subject", f"{alert.name} ({alert.subject})"),
        ("Window", _with_times(alert.window)),
        ("Threshold", f"{alert.threshold} %" if alert.threshold else numbers.UNKNOWN),
        ("What", alert.summary),
        ("Raised", numbers.moment_utc(alert.raised_at)),
        ("Sent", numbers.moment_utc(alert.sent_at)),
        *([(f"Tried {alert.tries}x", alert.send_error or "no end was told")] if alert.tries else []),
        ("Recovered", numbers.moment_utc(alert.recovered_at)),
        *([("Recovery", alert.recovery)] if alert.recovery else []),
        ("Over since", numbers.moment_utc(alert.ended_at)),
        ("Acknowledged", numbers.moment_utc(alert.acknowledged_at)),
        *(_figure(name, value) for name, value in alert.figures.items()),
    ]

    return labelled(lines, screen.width)


def _figure(name: str, value: str | int | Decimal | None) -> tuple[str, str]:
    """``spent_usd`` as ``Spent``, in dollars."""
    label = name.replace("_usd", "").replace("_", " ").capitalize()
    if isinstance(value, Decimal):
        return label, numbers.exact_usd(value)
    return label, numbers.UNKNOWN if value is None else _with_times(str(value))


def _with_times(text: str) -> str:
    """With its times as all others are shown; it is stored, and in JSON, as it was found."""
    return _TIME.sub(r"\1 \2 UTC", text)


ALERT = Shape(
    Alert,
    Member("id", "Its number."),
    Member("rule", "The rule that raised it."),
    Member("subject", "What it is about; stays the same when that is renamed."),
    Member("name", "What it is about, as it is shown."),
    Member("window", "The time for which it holds; in the next one it is another alert."),
    Member("threshold", "In percent; 0 where the rule has none."),
    Member("summary", "What was found, in a sentence."),
    Member("figures", "The same in numbers; money in US dollars."),
    Member("raised_at", "When it was raised."),
    Member("sent_at", "When it was sent; null: not yet, or it is sent nowhere."),
    Member("tries", "How often it, or then its recovery, could not be sent; not tried again after ten."),
    Member("send_error", "Why: the destinations that failed, each with its reason."),
    Member("recovered_at", "When it was first found not to hold any more."),
    Member("recovery", "How things stood then, in a sentence."),
    Member("ended_at", "When it was over, because it recovered or its window passed; null: it holds."),
    Member("acknowledged_at", "When a person acknowledged it."),
)
LIST = Shape(tuple[Alert, ...], Member("alerts", "The alerts, the newest first.", "", ALERT))
