"""Alerts that could not be sent, and what became of a test."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import TRY_LIMIT
from orwatch.jobs.alert.trial import Trial, TrialResult
from orwatch.render import alert, alert_trial
from tests.domain.alerts.test_message import ALERT
from tests.render.support import rendered
from tests.support import NOW

ERROR = "mailto 1: no answer in 10 s"


def test_an_alert_that_could_not_be_sent_says_so_in_the_list_and_why() -> None:
    tried = replace(ALERT, tries=TRY_LIMIT - 1, send_error=ERROR)
    given_up = replace(tried, tries=TRY_LIMIT)
    assert "undelivered" not in rendered(alert.list_view([tried]), 120)
    assert f"are spent (undelivered: {ERROR})" in rendered(alert.list_view([given_up]), 120)
    assert "undelivered" not in rendered(alert.list_view([replace(given_up, acknowledged_at=NOW)]), 120)
    assert f"Tried 9x      {ERROR}" in rendered(alert.show_view(tried), 120)
    assert json.loads(alert.ALERT.document(given_up))["send_error"] == ERROR


def test_money_is_a_number_in_json_as_everywhere_else() -> None:
    found = replace(
        ALERT, figures={"spent_usd": Decimal("80.000000001"), "pace_usd_per_day": Decimal("1E+2")}
    )
    assert '"figures": {"spent_usd": 80.000000001, "pace_usd_per_day": 100}' in alert.ALERT.document(found)
    assert "Pace per day  $100.00" in rendered(alert.show_view(found), 120)


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ("2026-12-04T12:00:00+00:00", "2026-12-04 12:00 UTC"),
        ("2026-12-04T12:00:00.250000+00:00", "2026-12-04 12:00 UTC"),
        ("2026-12-01T00:00 $50", "2026-12-01 00:00 UTC $50"),
        ("2026-12-04", "2026-12-04"),
        ("2026-11 $3", "2026-11 $3"),
    ],
)
def test_the_times_of_an_alert_are_written_as_all_others(window: str, shown: str) -> None:
    found = replace(ALERT, window=window, figures={"resets_at": window})
    lines = rendered(alert.show_view(found), 120).splitlines()
    assert f"Window        {shown}" in lines
    assert f"Resets at     {shown}" in lines
    assert f'"window": "{window}"' in alert.ALERT.document(found)


def test_a_test_shows_each_destination() -> None:
    result = TrialResult((Trial("slack 1", 8, None), Trial("command", 0, "ended with 1 ([red]\x1b[31mno)")))
    lines = rendered(alert_trial.view(result), 80).splitlines()
    assert [line.split() for line in lines[2:4]] == [
        ["slack", "1", "8", "of", "8", "ok"],
        ["command", "0", "of", "8", "ended", "with", "1", "([red]�[31mno)"],
    ]
    assert result.exit_code == 1
