"""``orwatch budget``."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.jobs.alert.judge import judge
from orwatch.jobs.alert.result import WatchRules
from orwatch.store import alerts
from tests.cli.support import Home, Orwatch, Terminal, write_usage
from tests.cli.test_options import completions
from tests.support import NOW, TODAY, usage_row

SET = ("budget", "set", "team", "--limit", "4", "--per", "day")


@pytest.fixture(autouse=True)
def one_key(home: Home) -> None:
    """A key that has spent $3 today."""
    home.set_up("production")
    write_usage(home, "production", usage_row(model="a/x", cost="1"), usage_row(model="b/y", cost="2"))


def answer(orwatch: Orwatch, *words: str) -> Any:
    return json.loads(orwatch(*words, "--json").out)


def test_a_budget_is_set_changed_and_left_as_it_is(orwatch: Orwatch) -> None:
    model = ("--model", "a/*", "--key", "production")

    assert orwatch(*SET, *model) == (
        0,
        "Set 'team': $4.00 a day for production; a/*; warns at 50, 80, 100 %.\n",
        "",
    )
    assert orwatch(*SET, *model).out == "'team' is so already; nothing was changed.\n"
    assert orwatch(
        "budget", "set", "team", "--limit", "0.5", "--per", "month", "--warn", "90", "--with-byok"
    ).out == (
        "Changed 'team': limit $4 -> $0.5; per day -> month; covers production; a/* -> everything; "
        "warns at 50, 80, 100 % -> 90 %; BYOK does not count -> counts.\n"
    )
    changed = answer(orwatch, *SET)
    assert (changed["is_new"], changed["budget"]["spent"], len(changed["changes"])) == (False, 3, 4)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--limit", "0"], "'0' is no limit. Write dollars above 0"),
        (["--warn", "80,x"], "'80,x' are no thresholds. Write whole percents"),
        (["--key", "producton"], "there is no key named 'producton'. Did you mean 'production'?"),
        (["--model", " "], "the name is empty."),
        (["--provider", "a\x1bb"], "the name 'a�b' has control characters in it."),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_stored(
    orwatch: Orwatch, words: list[str], problem: str
) -> None:
    code, out, err = orwatch(*SET, *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"orwatch: {problem}")
    assert answer(orwatch, "budget", "list") == {"schema_version": 1, "budgets": []}


def test_a_filter_that_matches_nothing_stored_is_noticed_and_set_all_the_same(orwatch: Orwatch) -> None:
    code, _, err = orwatch(*SET, "--model", "c/*", "--provider", "azzure", "--workspace", "Lab")
    assert code == 0
    assert err.splitlines() == [
        "orwatch: no model in the database matches c/*.",
        "orwatch: no provider in the database is named azzure.",
        "orwatch: no workspace in the database is named Lab.",
    ]


def test_it_is_listed_shown_and_removed_by_its_name_or_nearly_so(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No budgets yet" in orwatch("budget").out
    orwatch(*SET)
    assert orwatch("budget").out.splitlines()[2].split() == [
        "team",
        "everything",
        "$4.00",
        "a",
        "day",
        "$3.00",
        "75%",
        "██████",
        "$1.00",
    ]
    assert "Left          $1.00\n" in orwatch("budget", "show", "team").out
    assert answer(orwatch, "budget", "show", "team")["budget"]["left"] == 1
    assert completions("budget", "show", incomplete="t") == ["team"]

    no_such = (2, "", "orwatch: there is no budget named 'taem'. Did you mean 'team'?\n")
    for command in ("show", "check", "remove"):
        assert orwatch("budget", command, "taem") == no_such
    code, _, err = orwatch("budget", "remove", "team")
    assert code == 2
    assert err.endswith("confirm with --yes; nothing was removed.\n")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert orwatch("budget", "remove", "team").code == 1
    assert answer(orwatch, "budget", "remove", "team", "--yes")["removed"] == "team"
    assert answer(orwatch, "budget", "list")["budgets"] == []
    assert home.scalar("SELECT count(*) FROM usage_stats") == 2


def test_with_a_budget_its_alerts_are_over_in_silence_and_are_no_alerts_of_the_next_one(
    orwatch: Orwatch, home: Home
) -> None:
    orwatch(*SET[:4], "3", *SET[5:])
    with home.store() as store:
        judge(store, NOW, WatchRules())
        findings = [
            Finding(Rule.FORECAST, "budget:1", "team", "2026-11 $3", True, "on course for $9"),
            # OpenRouter's own budget of that number, and another one of one's own.
            Finding(Rule.LIMIT, "budget:1", "theirs", "2026-11", True, "80 % is spent"),
            Finding(Rule.BUDGET, "budget:11", "eleven", "2026-11 $3", True, "80 % is spent"),
        ]
        with store.write() as connection:
            alerts.insert_alerts(connection, findings, NOW)
    assert len(answer(orwatch, "alert", "list")["alerts"]) == 4

    orwatch("budget", "remove", "team", "--yes")

    held = answer(orwatch, "alert", "list")["alerts"]
    assert [each["name"] for each in held] == ["eleven", "theirs"]
    over = [each for each in answer(orwatch, "alert", "list", "--all")["alerts"] if each["name"] == "team"]
    assert [(each["ended_at"], each["recovered_at"]) for each in over] == [("2026-11-20T12:30:00Z", None)] * 2

    # SQLite gives the number of the last one again.
    for _ in range(2):
        orwatch("budget", "set", "next", "--limit", "3", "--per", "day")
        with home.store() as store:
            raised = judge(store, NOW, WatchRules()).raised
        assert [(each.name, each.subject) for each in raised] == [("next", "budget:1")]
        orwatch("budget", "remove", "next", "--yes")


@pytest.mark.parametrize(
    ("words", "code", "verdict"),
    [
        ((), 0, "2 budgets below 100 %."),
        (("--at", "75"), 1, "At 75 % or over: team."),
        (("team", "team", "--at", "76"), 0, "1 budget below 76 %."),
        (("other", "--at", "75"), 0, "1 budget below 75 %."),
    ],
)
def test_a_check_exits_with_1_where_a_budget_is_spent(
    orwatch: Orwatch, words: tuple[str, ...], code: int, verdict: str
) -> None:
    orwatch(*SET)
    orwatch("budget", "set", "other", "--limit", "100", "--per", "lifetime")

    checked = orwatch("budget", "check", *words)

    assert (checked.code, checked.err) == (code, "")
    assert checked.out.splitlines()[-1] == verdict


def test_a_check_that_cannot_tell_asks_to_try_again_but_not_where_the_least_is_too_much(
    orwatch: Orwatch, home: Home
) -> None:
    write_usage(home, "production", usage_row(model="a/x", cost="3"), usage_row(model=None, cost="2"))
    orwatch(*SET, "--model", "a/*")

    code, out, _ = orwatch("budget", "check")
    assert code == 75
    assert "team: cannot tell: the model of $2 is not reported.\n" in out
    assert out.endswith("Whether 100 % is reached cannot be told: team.\n")
    assert answer(orwatch, "budget", "check")["cannot_tell"] == ["team"]
    assert orwatch("budget", "check", "--at", "75").code == 1
    assert orwatch("budget", "check", "--at", "126").code == 0


def test_a_purged_key_leaves_its_budget_behind(orwatch: Orwatch) -> None:
    orwatch(*SET, "--key", "production")
    assert orwatch("key", "remove", "production", "--purge", "--yes").code == 0
    shown = answer(orwatch, "budget", "show", "team")["budget"]
    assert (shown["keys"], shown["spent"], shown["why_unknown"]) == (
        ["(purged key)"],
        None,
        "no stored key is covered",
    )
    assert orwatch("budget", "check").code == 75


def test_a_management_key_as_a_filter_is_noticed(orwatch: Orwatch, home: Home) -> None:
    with home.store() as store, store.write() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET kind = 'management'")
    assert "'production' is a management key" in orwatch(*SET, "--key", "production").err
    assert str(TODAY) == answer(orwatch, "budget", "show", "team")["budget"]["first_day"]
