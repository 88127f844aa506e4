"""An alert as a message for people: a line of subject, and a few lines of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from orwatch.domain.alerts.alert import Alert, Rule
from orwatch.domain.money import plain

TEST_ID = 0  # no alert that is stored has it
_LONGEST_TITLE = 150


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``is_recovery``: it says that an alert is over."""

    title: str
    body: str
    is_recovery: bool = False


def raised(alert: Alert) -> Message:
    """What an alert says."""
    # They are those of the raising: below a recovery they would contradict it.
    figures = [
        f"{name}: {plain(value) if isinstance(value, Decimal) else value}"
        for name, value in alert.figures.items()
        if value is not None
    ]
    return Message(_title(alert.summary), _body(alert, alert.summary, _since(alert), figures=figures))


def recovered(alert: Alert) -> Message:
    """That it is over."""
    how = alert.recovery or "it does not hold any more"
    return Message(
        _title(f"over: {how}"),
        _body(alert, how, f"What was said before: {alert.summary}", _since(alert)),
        is_recovery=True,
    )


def example(rule: Rule, now: datetime) -> Alert:
    """An alert of a kind, made up and marked as a test."""
    return Alert(
        id=TEST_ID,
        rule=rule,
        subject="test",
        name="test",
        window="test",
        threshold=0,
        summary=f"TEST of {rule.value} alerts: {_EXAMPLES[rule]}",
        figures={},
        raised_at=now,
    )


def is_test(alert: Alert) -> bool:
    """Whether it is made up."""
    return alert.id == TEST_ID


def _title(text: str) -> str:
    return f"orwatch: {text if len(text) <= _LONGEST_TITLE else f'{text[: _LONGEST_TITLE - 1]}…'}"


def _since(alert: Alert) -> str:
    return f"Raised on {alert.raised_at:%Y-%m-%d} at {alert.raised_at:%H:%M} UTC."


def _body(alert: Alert, *lines: str, figures: Sequence[str] = ()) -> str:
    if is_test(alert):
        end = "This is a test by `orwatch alert test`: nothing is wrong."
    else:
        end = f"More: orwatch alert show {alert.id}"
    return "\n".join([*lines, "", f"{alert.rule.value}: {alert.name}", *figures, "", end])


_EXAMPLES = {
    Rule.BUDGET: "80 % of a budget are spent.",
    Rule.FORECAST: "a budget will be exceeded before its window ends.",
    Rule.LIMIT: "100 % of a key's limit are used.",
    Rule.BALANCE: "the balance lasts for less than 7 days.",
    Rule.SPIKE: "a day costs far more than such days do.",
    Rule.KEY: "a key expires in 7 days.",
    Rule.FREE_QUOTA: "80 % of the day's free requests are used.",
    Rule.MODEL: "a model in use is to be retired.",
}
