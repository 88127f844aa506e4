"""What became of the test alerts, as a table and as JSON."""

from __future__ import annotations

from orwatch.domain.alerts.alert import Rule
from orwatch.jobs.alert.trial import Trial, TrialResult
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape, ok_or_attention
from orwatch.render.tables import Column, make_table


@as_view
def view(screen: Screen, result: TrialResult) -> Parts:
    """The destinations, a row each."""
    trials = result.trials

    columns = [
        Column("Destination", [trial.destination for trial in trials], is_word=True),
        Column("Sent", [f"{trial.sent} of {len(Rule)}" for trial in trials]),
        Column("Result", [trial.error or "ok" for trial in trials], is_name=True, is_wrapped=True),
    ]
    return [make_table(columns, screen.width, row_styles=["red" if trial.error else "" for trial in trials])]


_TRIAL = Shape(
    Trial,
    Member("destination", "The address by its scheme and its number, or `command`."),
    Member("sent", "How many test alerts it took."),
    Member("error", "Why it did not take the next one; null where it took all."),
)
ANSWER = Shape(
    TrialResult,
    Member("status", "`attention` where something was not delivered.", ok_or_attention),
    Member("destinations", "The destinations, addresses first.", "trials", _TRIAL),
)
