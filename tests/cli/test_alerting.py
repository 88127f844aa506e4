"""Alerts at the end of a job, where they are said, and ``orwatch alert``."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import respx
from freezegun.api import FrozenDateTimeFactory

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.errors import StoreUnavailableError
from orwatch.jobs.alert import judge
from orwatch.jobs.alert.readings import Readings
from orwatch.store import alerts as stored_alerts
from orwatch.store import deliveries
from tests.cli.support import Home, Orwatch, Terminal, key_answer, usage_json
from tests.support import NOW

SAID = "orwatch: alert 1 (budget): team: $80.00 of $100.00 are spent\n"
MET = Finding(Rule.BUDGET, "budget:1", "team", "2026-11", True, "$80.00 of $100.00 are spent", 80, {"a": 1})


class Findings:
    """What the rules find, as the test says it."""

    def __init__(self) -> None:
        self.now: list[Finding] = []
        self.error: Exception | None = None

    def __call__(self, _readings: Readings) -> Iterator[Finding]:
        yield from self.now
        if self.error is not None:
            raise self.error


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Findings:
    found = Findings()
    monkeypatch.setattr(judge, "RULES", {Rule.BUDGET: found})
    return found


@pytest.fixture(autouse=True)
def one_key(home: Home, api: respx.MockRouter) -> None:
    home.set_up("production")
    api.get("/usage").mock(return_value=usage_json())
    api.get("/key").mock(return_value=key_answer())


def later(frozen: FrozenDateTimeFactory) -> None:
    frozen.tick(timedelta(hours=1))


@pytest.mark.parametrize(
    "command", [["sync"], ["sync", "--key", "production"], ["validate"], ["sync", "--quiet"]]
)
def test_an_alert_is_said_once_and_that_run_exits_with_1(
    orwatch: Orwatch, findings: Findings, frozen: FrozenDateTimeFactory, command: list[str]
) -> None:
    findings.now = [MET]
    code, _, err = orwatch(*command)
    assert (code, err) == (1, SAID)
    later(frozen)
    code, _, err = orwatch(*command)
    assert (code, err) == (0, "")


@pytest.mark.parametrize("has_bug", [False, True])
def test_on_a_terminal_what_is_said_beside_the_live_line_has_lines_of_its_own(
    orwatch: Orwatch, findings: Findings, monkeypatch: pytest.MonkeyPatch, has_bug: bool
) -> None:
    summary = "$80.00 spent, " * 9 + "so far"
    findings.now = [replace(MET, summary=summary)]
    findings.error = ValueError("a bug") if has_bug else None
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    orwatch("sync")
    # What is written over the live line, which is erased, or below another line.
    lines = re.split(r"\n|\r\x1b\[2K", terminal.getvalue())
    if has_bug:
        assert any(line.startswith("orwatch: not all alerts could be judged") for line in lines)
        assert any(re.match(r"\S+ ERROR sync: the rule budget could not be judged", line) for line in lines)
    else:
        begin = next(at for at, line in enumerate(lines) if line.startswith("orwatch: "))
        said = f"orwatch: alert 1 (budget): team: {summary}"
        assert " ".join(lines[begin:]).startswith(said)
        assert len(said) > max(map(len, lines[begin : begin + 3]))  # wrapped at words


def test_a_recovery_is_said_once_and_exits_with_0(
    orwatch: Orwatch, findings: Findings, frozen: FrozenDateTimeFactory
) -> None:
    findings.now = [MET]
    orwatch("sync")
    findings.now = [replace(MET, is_met=False, summary="$80.00 of $200.00 are spent")]
    for said in ("orwatch: alert 1 (budget) is over: team: $80.00 of $200.00 are spent\n", ""):
        later(frozen)
        code, _, err = orwatch("sync")
        assert (code, err) == (0, said)


@pytest.mark.parametrize("command", ["sync", "validate"])
def test_with_json_an_alert_is_a_line_of_json_and_in_the_answer(
    orwatch: Orwatch, findings: Findings, command: str
) -> None:
    findings.now = [MET]
    code, out, err = orwatch(command, "--json")
    assert (code, json.loads(err)) == (1, {"notice": {"message": SAID.removeprefix("orwatch: ").strip()}})
    answer = json.loads(out)
    (alert,) = answer["alerts"]
    assert (alert["id"], alert["rule"], alert["figures"], answer["recovered"]) == (1, "budget", {"a": 1}, [])
    findings.now = [replace(MET, is_met=False)]
    answer = json.loads(orwatch(command, "--json").out)
    assert (answer["alerts"], [each["id"] for each in answer["recovered"]]) == ([], [1])


def test_a_rehearsal_judges_nothing(orwatch: Orwatch, findings: Findings) -> None:
    findings.now = [MET]
    code, _, err = orwatch("sync", "--dry-run")
    assert (code, err) == (0, "")


def test_an_alert_is_a_warning_in_the_log_once(orwatch: Orwatch, home: Home, findings: Findings) -> None:
    log = home.folder / "orwatch.log"
    home.write_settings(ORWATCH_LOG_FILE=str(log))
    findings.now = [MET]
    code, _, err = orwatch("sync", "--quiet")
    assert (code, err) == (1, SAID)
    text = " WARNING sync: alert 1 (budget): team: $80.00 of $100.00 are spent\n"
    assert log.read_text().count(text) == 1


def test_a_bug_in_a_rule_is_seen_and_stops_no_job(orwatch: Orwatch, findings: Findings, home: Home) -> None:
    findings.error = KeyError("a bug")
    code, out, err = orwatch("sync")
    assert code == 1
    assert "Wrote 0 rows" in out
    logged, notice = err.splitlines()
    assert " ERROR sync: the rule budget could not be judged, which is a bug: Traceback " in logged
    assert logged.endswith("| KeyError: 'a bug'")
    assert notice.startswith("orwatch: not all alerts could be judged, which is a bug")
    assert home.scalar("SELECT status FROM job_runs") == "ok"


def test_a_bug_in_the_judging_is_seen_as_well(
    orwatch: Orwatch, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings.now = [MET]
    monkeypatch.setattr(judge, "transitions", None)
    code, _, err = orwatch("sync")
    assert code == 1
    assert "which is a bug: Traceback" in err


def test_a_bug_in_the_sending_is_seen_and_stops_no_job(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_ON_ALERT", "true")
    monkeypatch.setattr(deliveries, "list_pending", None)
    code, _, err = orwatch("sync")
    logged, notice = err.splitlines()
    assert code == 0
    assert " ERROR sync: the alerts could not be sent, which is a bug: Traceback " in logged
    assert notice.startswith("orwatch: the alerts could not be sent, which is a bug")
    assert home.scalar("SELECT status FROM job_runs") == "ok"


def test_while_the_database_is_locked_the_next_run_judges(orwatch: Orwatch, findings: Findings) -> None:
    findings.now, findings.error = [MET], StoreUnavailableError("busy")
    code, _, err = orwatch("validate")
    assert code == 0
    assert err.endswith(" WARNING validate: the alerts are judged by the next run: busy\n")
    findings.error = None
    assert orwatch("validate").err == SAID


# orwatch alert.


@pytest.fixture
def three(home: Home) -> None:
    """Alerts 1 to 3: one that holds, one that recovered, one whose window is over."""
    findings = [
        MET,
        replace(MET, rule=Rule.KEY, summary="[red]new\x1b[2J", threshold=0),
        replace(MET, window="w"),
    ]
    with home.store() as store, store.write() as connection:
        stored_alerts.insert_alerts(connection, findings, NOW)
        stored_alerts.recover(connection, 2, "gone", NOW)
        stored_alerts.end(connection, [3], NOW)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("options", "ids"),
    [([], [1]), (["--all"], [3, 2, 1]), (["--all", "--rule", "key"], [2]), (["--rule", "key"], [])],
)
def test_alerts_are_listed_the_newest_first(orwatch: Orwatch, options: list[str], ids: list[int]) -> None:
    code, out, err = orwatch("alert", "list", *options, "--json")
    assert (code, err) == (0, "")
    assert [alert["id"] for alert in json.loads(out)["alerts"]] == ids
    shown = orwatch("alert", "list", *options).out
    assert ("No alerts of the rule key hold now." in shown) == (not ids)


@pytest.mark.usefixtures("three")
def test_the_table_says_what_became_of_each(orwatch: Orwatch) -> None:
    rows = [
        line.rstrip().split(maxsplit=5)[3:] for line in orwatch("alert", "list", "--all").out.splitlines()[2:]
    ]
    assert rows == [
        ["budget", "over", "$80.00 of $100.00 are spent"],
        ["key", "recovered", "gone (was: [red]new�[2J)"],
        ["budget", "open", "$80.00 of $100.00 are spent"],
    ]


@pytest.mark.usefixtures("three")
def test_an_alert_is_shown_whole(orwatch: Orwatch) -> None:
    out = orwatch("alert", "show", "1").out
    assert "Alert         1, open\n" in out
    assert "Threshold     80 %\n" in out
    assert "A             1\n" in out
    assert json.loads(orwatch("alert", "show", "2", "--json").out)["recovery"] == "gone"


@pytest.mark.usefixtures("three")
def test_what_is_acknowledged_needs_nobody(
    orwatch: Orwatch, home: Home, frozen: FrozenDateTimeFactory
) -> None:
    problem = "$80.00 of $100.00 are spent (if you know of it: `orwatch alert ack 1`)"
    answer = json.loads(orwatch("status", "--json").out)
    assert problem in answer["problems"]
    assert [alert["id"] for alert in answer["alerts"]] == [1]
    assert orwatch("alert", "ack", "1", "2") == (0, "Acknowledged 2 alerts.\n", "")
    later(frozen)
    assert orwatch("alert", "ack", "1") == (0, "1 alert was acknowledged already.\n", "")
    assert orwatch("alert", "ack", "1", "2", "1").out == "2 alerts were acknowledged already.\n"
    assert orwatch("alert", "ack", "3", "1").out == "Acknowledged 1 alert; 1 was acknowledged already.\n"
    assert home.scalar("SELECT acknowledged_at FROM alerts WHERE id = 1") == int(NOW.timestamp())
    answer = json.loads(orwatch("status", "--json").out)
    assert problem not in answer["problems"]
    assert "acknowledged" in orwatch("alert").out


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("arguments", [["show", "9"], ["ack", "1", "9"]])
def test_an_alert_that_is_not_there_is_a_usage_error(
    orwatch: Orwatch, home: Home, arguments: list[str]
) -> None:
    code, out, err = orwatch("alert", *arguments)
    assert (code, out) == (2, "")
    assert err == "orwatch: there is no alert 9. `orwatch alert list --all` shows them all.\n"
    assert home.scalar("SELECT acknowledged_at FROM alerts WHERE id = 1") is None


def test_no_alerts_are_told_as_that(orwatch: Orwatch) -> None:
    assert orwatch("alert", "list", "--all").out == "No alerts.\n"


def test_the_log_of_other_things_goes_to_standard_error_as_before(
    orwatch: Orwatch, api: respx.MockRouter
) -> None:
    api.get("/usage").mock(return_value=usage_json(("2026-11-19", "m", "x")))
    assert " WARNING " in orwatch("sync").err
    assert logging.getLogger("orwatch").handlers == []
