"""Judging what is stored, with rules that find what the test says."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from orwatch.domain.alerts.alert import Alert, Finding, Rule
from orwatch.errors import StoreUnavailableError
from orwatch.jobs.alert import history, judge
from orwatch.jobs.alert.readings import Readings
from orwatch.jobs.alert.result import Judgement, WatchRules
from orwatch.store import alerts as stored_alerts
from orwatch.store.engine.database import Store
from tests.store.support import on_each_engine
from tests.support import NOW

Find = Callable[[Readings], Iterable[Finding]]
HOUR = timedelta(hours=1)


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> dict[Rule, Find]:
    """The rules that are judged: none but those that the test puts in."""
    found: dict[Rule, Find] = {}
    monkeypatch.setattr(judge, "RULES", found)
    return found


def met(
    is_met: bool | None = True, rule: Rule = Rule.BUDGET, summary: str = "$80 of $100", threshold: int = 80
) -> Finding:
    return Finding(
        rule,
        "budget:1",
        "team",
        "2026-11",
        is_met,
        summary,
        threshold,
        {"spent_usd": Decimal("80.000000001")},
    )


def finding(*findings: Finding) -> Find:
    return lambda _readings: findings


def run(store: Store, hours: int = 0, **rules: object) -> Judgement:
    return judge.judge(store, NOW + hours * HOUR, WatchRules(**rules))  # type: ignore[arg-type]


def stored(store: Store) -> list[Alert]:
    return history.list_alerts(store, only_open=False)


@on_each_engine
def test_an_alert_is_stored_once_and_so_is_its_recovery(store: Store, rules: dict[Rule, Find]) -> None:
    rules[Rule.BUDGET] = finding(met())
    (alert,) = run(store).raised
    assert (alert.rule, alert.subject, alert.name, alert.window, alert.threshold, alert.summary) == (
        Rule.BUDGET,
        "budget:1",
        "team",
        "2026-11",
        80,
        "team: $80 of $100",
    )
    assert (alert.figures, alert.raised_at, alert.is_open) == (
        {"spent_usd": Decimal("80.000000001")},
        NOW,
        True,
    )
    assert run(store, 1) == Judgement()
    rules[Rule.BUDGET] = finding(met(is_met=False, summary="$80 of $200"))
    (recovered,) = run(store, 2).recovered
    assert (recovered.id, recovered.recovery, recovered.recovered_at) == (
        alert.id,
        "team: $80 of $200",
        NOW + 2 * HOUR,
    )
    assert run(store, 3) == Judgement()
    rules[Rule.BUDGET] = finding(met())
    assert run(store, 4) == Judgement()
    assert [each.is_open for each in stored(store)] == [True]


def test_where_nothing_changes_nothing_is_written(
    store: Store, rules: dict[Rule, Find], monkeypatch: pytest.MonkeyPatch
) -> None:
    rules[Rule.BUDGET] = finding(met(), met(is_met=False, threshold=100))
    run(store)
    monkeypatch.setattr(Store, "run_write", None)
    assert run(store, 1) == Judgement()


@pytest.mark.parametrize("not_met", [(), (met(is_met=None),)], ids=["no window", "not known"])
def test_what_is_mentioned_no_more_is_over_in_silence_and_what_is_not_known_is_not(
    store: Store, rules: dict[Rule, Find], not_met: tuple[Finding, ...]
) -> None:
    rules[Rule.BUDGET] = finding(met())
    run(store)
    rules[Rule.BUDGET] = finding(*not_met)
    assert run(store, 1) == Judgement()
    assert [each.is_open for each in stored(store)] == [bool(not_met)]


@on_each_engine
def test_what_a_removed_budget_had_said_is_over_and_does_not_silence_the_next_of_its_number(
    store: Store, rules: dict[Rule, Find]
) -> None:
    rules[Rule.BUDGET] = finding(met())
    for hours in range(2):
        assert len(run(store, hours).raised) == 1
        with store.write() as connection:
            stored_alerts.end_budget(connection, 1, NOW + hours * HOUR)
    assert [(each.subject, each.ended_at) for each in stored(store)] == [
        ("budget:1 (removed) #2", NOW + HOUR),
        ("budget:1 (removed) #1", NOW),
    ]


def test_a_rule_that_is_off_raises_nothing_and_what_it_raised_is_over(
    store: Store, rules: dict[Rule, Find]
) -> None:
    rules |= {Rule.BUDGET: finding(met()), Rule.KEY: finding(met(rule=Rule.KEY))}
    assert [each.rule for each in run(store, off=frozenset({Rule.KEY})).raised] == [Rule.BUDGET]
    assert run(store, 1, off=frozenset({Rule.BUDGET})).recovered == ()
    assert {each.rule: each.is_open for each in stored(store)} == {Rule.BUDGET: False, Rule.KEY: True}


def test_the_first_judging_is_that_from_which_on_news_are_news(store: Store, rules: dict[Rule, Find]) -> None:
    seen = []

    def look(found: Readings) -> Iterable[Finding]:
        seen.append(found.watched_since)
        return ()

    rules[Rule.KEY] = look
    for hours in range(3):
        run(store, hours)
    assert seen == [NOW, NOW, NOW]


def test_a_rule_with_a_bug_is_logged_and_the_others_are_judged(
    store: Store, rules: dict[Rule, Find], caplog: pytest.LogCaptureFixture
) -> None:
    rules |= {Rule.KEY: finding(met(rule=Rule.KEY)), Rule.BUDGET: finding(met(is_met=None))}
    run(store)

    def break_down(_readings: Readings) -> Iterator[Finding]:
        yield met(rule=Rule.KEY, is_met=False)
        raise KeyError("a bug")

    rules |= {Rule.KEY: break_down, Rule.BUDGET: finding(met())}
    judgement = run(store, 1)
    assert (len(judgement.raised), judgement.recovered, judgement.has_bug) == (1, (), True)
    assert run(store, 2) == Judgement(has_bug=True)
    assert all(each.is_open for each in stored(store))
    (first, _) = caplog.records
    assert first.levelno == logging.ERROR
    assert first.exc_info is not None


def test_trouble_of_the_database_is_no_bug_of_a_rule(store: Store, rules: dict[Rule, Find]) -> None:
    def meet_trouble(_readings: Readings) -> Iterable[Finding]:
        raise StoreUnavailableError("busy")

    rules[Rule.KEY] = meet_trouble
    with pytest.raises(StoreUnavailableError):
        run(store)


@on_each_engine
def test_of_several_processes_that_judge_at_once_one_says_it(store: Store, rules: dict[Rule, Find]) -> None:
    at_once = threading.Barrier(4)

    def find(_readings: Readings) -> Iterable[Finding]:
        at_once.wait(20)  # all have read that nothing is stored
        return (met(),)

    rules[Rule.BUDGET] = find
    said: list[Judgement] = []
    threads = [threading.Thread(target=lambda: said.append(run(store))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(each.raised) for each in said) == [0, 0, 0, 1]


def test_names_from_outside_do_no_harm(store: Store, rules: dict[Rule, Find]) -> None:
    secret = "sk-or-v1-" + "0123456789abcdef" * 4
    long = Finding(Rule.MODEL, "model:\x1b[2J" + "m" * 999, "n" * 999, "w\n", True, f"{secret}\n{'s' * 9999}")
    rules[Rule.MODEL] = finding(long)
    (alert,) = run(store).raised
    texts = alert.subject, alert.name, alert.window, alert.summary
    assert all(text.isprintable() and len(text) <= 1000 for text in texts)
    assert secret not in alert.summary
    assert run(store, 1) == Judgement()
