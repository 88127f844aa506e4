"""What an alert says as a message."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from orwatch.domain.alerts import message
from orwatch.domain.alerts.alert import Alert, Rule
from tests.support import NOW

ALERT = Alert(
    id=12,
    rule=Rule.BUDGET,
    subject="budget:1",
    name="team",
    window="2026-11",
    threshold=80,
    summary="team: $80.00 of $100.00 are spent",
    figures={"spent_usd": Decimal("8E+1"), "ends_on": None},
    raised_at=NOW,
)


def test_a_message_has_the_sentence_the_figures_and_the_way_to_more() -> None:
    said = message.raised(ALERT)
    assert (said.title, said.is_recovery) == ("orwatch: team: $80.00 of $100.00 are spent", False)
    assert said.body == (
        "team: $80.00 of $100.00 are spent\n"
        "Raised on 2026-11-20 at 12:30 UTC.\n\n"
        "budget: team\nspent_usd: 80\n\n"
        "More: orwatch alert show 12"
    )


def test_a_recovery_says_how_things_stand_and_what_was_said_before() -> None:
    said = message.recovered(replace(ALERT, recovery="team: $80.00 of $200.00 are spent"))
    assert (said.title, said.is_recovery) == ("orwatch: over: team: $80.00 of $200.00 are spent", True)
    assert said.body == (
        "team: $80.00 of $200.00 are spent\n"
        "What was said before: team: $80.00 of $100.00 are spent\n"
        "Raised on 2026-11-20 at 12:30 UTC.\n\n"
        "budget: team\n\n"
        "More: orwatch alert show 12"
    )


def test_a_long_sentence_is_cut_in_the_title_alone() -> None:
    said = message.raised(replace(ALERT, summary="x" * 151))
    assert said.title == f"orwatch: {'x' * 149}…"
    assert said.body.startswith("x" * 151 + "\n")
    assert message.raised(replace(ALERT, summary="x" * 150)).title == f"orwatch: {'x' * 150}"


@pytest.mark.parametrize("rule", Rule)
def test_a_test_cannot_be_taken_for_an_alert(rule: Rule) -> None:
    said = message.raised(message.example(rule, NOW))
    assert said.title.startswith(f"orwatch: TEST of {rule} alerts: ")
    assert said.body.endswith("This is a test by `orwatch alert test`: nothing is wrong.")
