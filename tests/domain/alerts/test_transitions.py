"""What becomes of findings, one judging after the other."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import product

import pytest

from orwatch.domain.alerts.alert import Alert, Finding, Rule
from orwatch.domain.alerts.transitions import Matter, transitions
from tests.support import NOW

Met = bool | None


class History:
    """The stored alerts of a history of judgings."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def judge(self, *findings: Finding, not_judged: Iterable[Rule] = ()) -> list[str]:
        """What is said: ``80`` for an alert, ``-80`` for its recovery."""
        windows = {finding.window for finding in findings if finding.is_met}
        stored = [alert for alert in self.alerts if alert.is_open or alert.window in windows]
        found = transitions(findings, stored, [*not_judged])
        changed = {alert.id: replace(alert, ended_at=NOW) for alert in found.ended}
        changed |= {alert.id: replace(alert, ended_at=None) for alert in found.reopened}
        changed |= {alert.id: replace(alert, recovered_at=NOW, ended_at=NOW) for alert, _ in found.recovered}
        self.alerts = [changed.get(alert.id, alert) for alert in self.alerts]
        for new in found.raised:
            what = new.rule, new.subject, new.name, new.window, new.threshold
            self.alerts.append(Alert(len(self.alerts) + 1, *what, new.summary, {}, NOW))
        recovered = (f"-{alert.threshold}" for alert, _ in found.recovered)
        return [*(str(finding.threshold) for finding in found.raised), *recovered]

    @property
    def open(self) -> list[int]:
        return sorted(alert.threshold for alert in self.alerts if alert.is_open)


def of(
    met: Mapping[int, Met], rule: Rule = Rule.BUDGET, subject: str = "budget:1", window: str = "2026-11"
) -> list[Finding]:
    return [Finding(rule, subject, "team", window, is_met, "", percent) for percent, is_met in met.items()]


def spent(percent: int) -> list[Finding]:
    return of({threshold: percent >= threshold for threshold in (50, 80, 100)})


UNKNOWN = of({50: None, 80: None, 100: None})


@pytest.mark.parametrize(
    ("steps", "said", "still_open"),
    [
        ([spent(10), spent(55), spent(56), spent(85)], [[], ["50"], [], ["80"]], [80]),
        ([spent(101), spent(120)], [["100"], []], [100]),
        ([spent(101), spent(60)], [["100"], ["-100"]], []),
        ([spent(81), spent(79), spent(81), spent(79), spent(80)], [["80"], ["-80"], [], [], []], [80]),
        ([spent(85), spent(101), spent(85), spent(10)], [["80"], ["100"], ["-100"], ["-80"]], []),
        ([spent(85), UNKNOWN, spent(85), spent(10)], [["80"], [], [], ["-80"]], []),
        ([UNKNOWN], [[]], []),
        ([of({50: True, 80: None})], [["50"]], [50]),
        ([spent(101), of({50: True, 80: True, 100: None})], [["100"], []], [100]),
        ([spent(85), []], [["80"], []], []),
        ([spent(85), of({50: True, 90: False})], [["80"], []], []),
        ([spent(85), of({50: None, 90: None})], [["80"], []], [80]),
    ],
)
def test_an_alert_and_its_recovery_are_said_once(
    steps: list[list[Finding]], said: list[list[str]], still_open: list[int]
) -> None:
    history = History()
    assert [history.judge(*step) for step in steps] == said
    assert history.open == still_open


def test_another_window_subject_or_rule_is_another_alert() -> None:
    history = History()
    history.judge(*spent(85))
    met = {80: True}
    others = of(met, window="2026-12"), of(met, subject="budget:2"), of(met, rule=Rule.LIMIT)
    assert [history.judge(*spent(85), *other) for other in others] == [["80"], ["80"], ["80"]]


def test_the_alerts_of_a_rule_that_failed_stay_as_they_are() -> None:
    history = History()
    history.judge(*spent(85))
    assert history.judge(not_judged=[Rule.BUDGET]) == []
    assert history.open == [80]


def test_where_nothing_changes_by_the_open_alerts_nothing_does_by_those_that_are_over() -> None:
    thresholds = (50, 80, 100)
    before: list[dict[str, datetime] | None] = [None, {}, {"recovered_at": NOW}, {"ended_at": NOW}]
    before.append({"recovered_at": NOW, "ended_at": NOW})
    unchanged = 0
    for met, states in product(product((True, False, None), repeat=3), product(before, repeat=3)):
        for count in range(4):
            findings = of(dict(zip(thresholds[:count], met, strict=False)))
            stored = [
                Alert(number, Rule.BUDGET, "budget:1", "team", "2026-11", percent, "", {}, NOW, **state)
                for number, (percent, state) in enumerate(zip(thresholds, states, strict=True))
                if state is not None
            ]
            still_open = [alert for alert in stored if alert.is_open]
            if any(each.is_met for each in findings) and not transitions(findings, still_open):
                unchanged += 1
                assert not transitions(findings, stored)
    assert unchanged > 100


def test_random_histories_agree_with_a_plain_model() -> None:
    for seed in range(1000):
        check_history(random.Random(seed))


def check_history(dice: random.Random) -> None:
    """Never twice, never missing, never for what is unknown."""
    matters: list[Matter] = [(rule, "s", w) for rule in (Rule.LIMIT, Rule.KEY) for w in ("1", "2")]
    history = History()
    said: set[tuple[Matter, int]] = set()
    recovered: set[tuple[Matter, int]] = set()
    is_open: set[tuple[Matter, int]] = set()
    for _ in range(12):
        now = {
            matter: {threshold: dice.choice([True, False, None]) for threshold in (50, 80, 100)}
            for matter in dice.sample(matters, dice.randint(0, 4))
        }
        words: list[str] = []
        still_open = set()
        for matter, met in now.items():
            kept = {each for each in is_open if each[0] == matter and met[each[1]] is None}
            back = {each for each in is_open if each[0] == matter and met[each[1]] is False} - recovered
            highest = max((threshold for threshold, is_met in met.items() if is_met), default=0)
            at_least = {each for each in said if each[0] == matter and each[1] >= highest}
            if highest and not at_least:
                words.append(str(highest))
                said.add((matter, highest))
            top = max((threshold for at, threshold in said if at == matter and met[threshold]), default=0)
            if top and not any(threshold > top for _, threshold in kept):
                kept.add((matter, top))
            words += [f"-{threshold}" for _, threshold in back]
            recovered |= back
            still_open |= kept
        is_open = still_open
        findings = [each for matter, met in now.items() for each in of(met, *matter)]
        dice.shuffle(findings)
        assert sorted(history.judge(*findings)) == sorted(words)
        stored = {((each.rule, each.subject, each.window), each.threshold) for each in history.alerts}
        assert stored == said
        opened = [each for each in history.alerts if each.is_open]
        assert {((each.rule, each.subject, each.window), each.threshold) for each in opened} == is_open
