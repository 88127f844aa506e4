"""The day's free requests, and models that are to be retired."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from orwatch.domain.alerts.free_quota import FreeUse, find_free_quotas
from orwatch.domain.alerts.model import UsedModel, find_retiring_models
from orwatch.domain.layers import FreeQuota
from tests.support import NOW, TODAY


def use(used: int, limit: int = 50, read: datetime = NOW) -> FreeUse:
    return FreeUse("account:3", "team", FreeQuota(limit, used, limit - used), read)


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ([use(39)], [False, False]),
        ([use(40)], [True, False]),
        ([use(50)], [True, True]),
        ([use(53)], [True, True]),
        ([use(50, read=NOW - timedelta(hours=12))], [True, True]),
        ([use(50, read=NOW - timedelta(hours=13))], [None, None]),
        ([use(50), use(0, read=NOW + timedelta(minutes=1))], [False, False]),
        ([use(0, limit=0)], []),
    ],
)
def test_the_free_requests_of_today_are_judged_by_the_newest_reading(
    readings: list[FreeUse], told: list[bool | None]
) -> None:
    findings = list(find_free_quotas(readings, NOW))
    assert [finding.is_met for finding in findings] == told
    assert {(finding.subject, finding.window) for finding in findings} <= {("account:3", "2026-11-20")}


def test_it_says_how_many_are_used_and_how_to_have_more() -> None:
    (small,) = find_free_quotas([use(40)], NOW, [80])
    (unmet,) = find_free_quotas([use(39)], NOW, [80])
    (large,) = find_free_quotas([use(900, 1000)], NOW, [80])
    assert small.summary == (
        "80 % of the day's free requests are used: 40 of 50 until 00:00 UTC. "
        "An account that has bought $10 of credits has 1,000 a day"
    )
    assert unmet.summary == "78 % of the day's free requests are used: 39 of 50 until 00:00 UTC"
    assert large.summary == "90 % of the day's free requests are used: 900 of 1,000 until 00:00 UTC"
    assert large.figures == {"limit": 1000, "used": 900}


@pytest.mark.parametrize(
    ("retires_in", "used_ago", "told"),
    [
        (10, 14, [("2026-11-30", True)]),
        (0, 0, [("2026-11-20", True)]),
        (-1, 0, []),
        (10, 15, [("2026-11-30", False), ("2027-01-01", False)]),
        (10, None, [("2026-11-30", False), ("2027-01-01", False)]),
        (None, 0, [("2027-01-01", False)]),
    ],
)
def test_a_model_in_recent_use_that_is_to_be_retired_is_told_until_it_is(
    retires_in: int | None, used_ago: int | None, told: list[tuple[str, bool]]
) -> None:
    retires_on = None if retires_in is None else TODAY + timedelta(days=retires_in)
    used_on = None if used_ago is None else TODAY - timedelta(days=used_ago)
    windows = {"model:a/b": ["2026-11-19", "2027-01-01"]}
    findings = find_retiring_models([UsedModel("a/b", retires_on, used_on)], windows, TODAY)
    assert [(finding.window, finding.is_met) for finding in findings] == told


def test_it_says_when_and_when_it_was_used() -> None:
    (finding,) = find_retiring_models([UsedModel("a/b", date(2027, 1, 31), TODAY)], {}, TODAY)
    assert (finding.subject, finding.name) == ("model:a/b", "a/b")
    assert finding.summary == (
        "it is retired on 31 Jan 2027 and was last used on 20 Nov. Move what uses it to another model"
    )
    assert finding.figures == {"retires_on": "2027-01-31", "last_used_on": "2026-11-20"}
