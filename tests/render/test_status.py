"""Status as tables and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from orwatch.domain.can_spend import CanSpend
from orwatch.domain.forecast import Forecast, Lasting
from orwatch.domain.keys import Credits, InactiveReason, KeyFacts, KeyKind, StoredKey
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.jobs.cron.result import ScheduleState, ScheduleSummary
from orwatch.jobs.report.result import MonthCourse
from orwatch.jobs.status.result import AccountStatus, Allowance, JobStatus, KeyStatus, Purchase, StatusResult
from orwatch.render.status import ANSWER, view
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, stored_key, widest_line
from tests.support import NOW, TODAY

STARTED = NOW - timedelta(minutes=30)
DUE = NOW + timedelta(minutes=30)


def job_status(
    job: Job = Job.SYNC,
    status: RunStatus | None = RunStatus.OK,
    started_at: datetime = STARTED,
    **changes: Any,
) -> JobStatus:
    run = None if status is None else JobRun(1, job, started_at, started_at, status, None)
    age = None if status is None else int((NOW - started_at).total_seconds())
    return replace(JobStatus(job, run, DUE, False, age_seconds=age), **changes)


def key_status(key: StoredKey, problem: str | None = None) -> KeyStatus:
    return KeyStatus(key, key.state(NOW), problem)


GOOD = StatusResult(
    now=NOW,
    jobs=(job_status(), job_status(Job.CLEANUP, None)),
    keys=(key_status(stored_key()),),
    database="/var/lib/orwatch/orwatch.db",
    database_bytes=1_400_000,
    ledger_rows=12345,
    first_day=TODAY,
    last_day=TODAY,
)
MISSED = "sync was due at 2026-11-20 12:00 UTC and did not run"
REFUSED = "invalid: OpenRouter refuses it"
TROUBLED = replace(
    GOOD,
    jobs=(job_status(is_missed=True, problem=MISSED), job_status(Job.CLEANUP, RunStatus.FAILED)),
    keys=(
        key_status(stored_key("good")),
        key_status(stored_key("bad", is_active=False, inactive_reason=InactiveReason.INVALID), REFUSED),
    ),
)


def test_each_job_is_a_row() -> None:
    lines = rendered(view(GOOD), 100).splitlines()
    assert " ".join(lines[0].split()) == "Job Last run (UTC) Age Result Missed Next due (UTC)"
    assert " ".join(lines[2].split()) == "sync 2026-11-20 12:00 30 min ago ok no 2026-11-20 13:00"
    assert lines[3].split() == ["cleanup", "never", "–", "–", "no", "2026-11-20", "13:00"]


def test_each_key_is_a_row_and_the_database_is_told() -> None:
    text = rendered(view(GOOD), 100)
    assert "production  active  5 min ago  none" in text
    assert "Database: /var/lib/orwatch/orwatch.db\n" in text
    assert "          1.4 MB, 12,345 rows, 2026-11-20 to 2026-11-20\n" in text
    assert text.endswith("\nNothing needs you.\n")


def test_what_needs_a_person_stands_at_the_end() -> None:
    lines = rendered(view(TROUBLED), 100).splitlines()
    assert lines[-2:] == [f"! {MISSED}", f"! bad: {REFUSED}"]
    assert "Nothing needs you." not in lines
    assert "sync 2026-11-20 12:00 30 min ago ok yes" in " ".join(lines[2].split())
    assert any(
        line.split() == ["bad", "invalid", "5", "min", "ago", "yes,", "see", "below"] for line in lines
    )


def test_a_database_without_usage_says_so() -> None:
    text = rendered(view(replace(GOOD, ledger_rows=0, first_day=None, last_day=None, keys=())), 100)
    assert "1.4 MB, no usage yet" in text
    assert "None" not in text


def test_of_many_keys_only_those_with_trouble_are_listed() -> None:
    many = tuple(key_status(stored_key(f"good-{number}")) for number in range(1030))
    text = rendered(view(replace(GOOD, keys=(*many, key_status(stored_key("bad"), REFUSED)))), 100)
    assert "good-" not in text
    assert any(line.split()[:2] == ["bad", "active"] for line in text.splitlines())
    assert "1,030 more keys without problems: `orwatch key list`" in text


def test_up_to_twenty_five_keys_are_listed_where_none_has_trouble() -> None:
    keys = tuple(key_status(stored_key(f"good-{number}")) for number in range(26))
    text = rendered(view(replace(GOOD, keys=keys)), 100)
    assert "good-" not in text
    assert "26 more keys without problems" in text
    text = rendered(view(replace(GOOD, keys=keys[:25])), 100)
    assert text.count("good-") == 25
    assert "more keys" not in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("result", [GOOD, TROUBLED], ids=["good", "troubled"])
def test_it_fits_the_terminal_and_cuts_no_age(result: StatusResult, width: int) -> None:
    long = (*result.keys, key_status(stored_key("a-key-with-a-long-name-of-its-own", last_synced_at=None)))
    text = rendered(view(replace(result, keys=long, database="/a/very/long/path" * 10)), width)
    assert widest_line(text) <= width
    assert text.count("30 min ago") == sum(job.last_run is not None for job in result.jobs)
    assert text.count("5 min ago") == len(result.keys)


def summary(state: ScheduleState, message: str = "the crontab of me") -> ScheduleSummary:
    return ScheduleSummary(state, ("the crontab of me",), message, "`orwatch cron install` corrects it.")


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (ScheduleState.INSTALLED, "the crontab of me"),
        (ScheduleState.OWN, "the crontab of me"),
        (ScheduleState.OTHER_SETTINGS, "the crontab of me"),
        (ScheduleState.NOT_INSTALLED, "the crontab of me. `orwatch cron install` corrects it."),
        (ScheduleState.UNKNOWN, "the crontab of me. `orwatch cron install` corrects it."),
    ],
)
def test_the_schedule_is_a_line_and_says_what_to_do_unless_all_is_well(
    state: ScheduleState, line: str
) -> None:
    text = rendered(view(replace(GOOD, schedule=summary(state))), 100)
    assert f"\nSchedule: {line}\nDatabase:" in text
    assert text.endswith("\nNothing needs you.\n")
    assert "Schedule" not in rendered(view(GOOD), 100)


def test_a_schedule_that_cannot_work_is_told_once_and_at_the_end() -> None:
    result = replace(GOOD, schedule=summary(ScheduleState.BROKEN, "the crontab of me: /o is gone"))
    text = rendered(view(result), 100)
    assert "\nSchedule: the crontab of me cannot work: see below\n" in text
    assert text.endswith("\n! schedule: the crontab of me: /o is gone. `orwatch cron install` corrects it.\n")


def test_a_schedule_of_another_version_is_told_at_the_end() -> None:
    text = rendered(view(replace(GOOD, schedule=summary(ScheduleState.DIFFERS))), 100)
    assert "\nSchedule: the crontab of me: see below\n" in text
    assert text.endswith("\n! schedule: the crontab of me. `orwatch cron install` corrects it.\n")


def test_marks_that_are_no_pair_are_told_at_the_end() -> None:
    result = replace(GOOD, schedule=summary(ScheduleState.UNCLEAR, "tab: the marks are no pair"))
    text = rendered(view(result), 100)
    assert "\nSchedule: it is unclear which lines are orwatch's: see below\n" in text
    assert "\n! schedule: tab: the marks are no pair. " in text


def test_a_long_schedule_line_goes_on_beneath_its_beginning() -> None:
    lines = rendered(view(replace(GOOD, schedule=summary(ScheduleState.UNKNOWN))), 50).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("Schedule: "))
    assert lines[first + 1].startswith(" " * 10 + "install` corrects it")
    assert lines[first + 2].startswith("Database: ")
    assert max(len(line) for line in lines[first : first + 2]) <= 50


def test_nobody_is_told_to_install_what_runs_by_itself() -> None:
    found = summary(ScheduleState.NOT_INSTALLED, "not installed")
    text = rendered(view(replace(GOOD, schedule=found, runs_by_itself=True)), 100)
    assert "Schedule: not installed; something else starts the jobs\n" in text


def test_when_nobody_knows_when_a_job_is_next_due_that_is_a_dash() -> None:
    result = replace(GOOD, jobs=(job_status(next_due_at=None),))
    assert rendered(view(result), 100).splitlines()[2].split()[-2:] == ["no", "–"]
    assert json.loads(ANSWER.document(result))["jobs"][0]["next_due_at"] is None


def test_without_a_key_it_says_how_to_add_one_and_not_that_all_is_well() -> None:
    text = rendered(view(replace(GOOD, keys=())), 120)
    assert text.endswith(
        "\nNo keys yet. Add one: `orwatch key add NAME`; a management key watches a whole account.\n"
    )
    disabled = key_status(stored_key(is_active=False, inactive_reason=InactiveReason.DISABLED))
    text = rendered(view(replace(GOOD, keys=(disabled,))), 120)
    assert text.endswith("\nNo key is active. Enable one: `orwatch key enable NAME`.\n")


def test_json_tells_the_schedule() -> None:
    document = json.loads(ANSWER.document(replace(GOOD, schedule=summary(ScheduleState.DIFFERS))))
    assert document["schedule"] == {
        "state": "differs",
        "locations": ["the crontab of me"],
        "message": "the crontab of me",
        "advice": "`orwatch cron install` corrects it.",
    }
    assert json.loads(ANSWER.document(GOOD))["schedule"] is None


def test_hostile_names_paths_and_messages_are_inert() -> None:
    result = replace(
        GOOD,
        keys=(key_status(stored_key(HOSTILE_NAME), "\x1b[2J\u202e[bold]"),),
        allowances=(allowance(HOSTILE_NAME, "1"),),
        database="/\x1b[2J\u202e[bold]",
    )
    text = rendered(view(result), 200)
    assert f"! {INERT_NAME}: �[2J�[bold]\n" in text
    assert text.count(INERT_NAME) == 3
    assert "Database: /�[2J�[bold]\n" in text
    assert "\x1b" not in text


def test_json_tells_jobs_keys_database_and_problems() -> None:
    document = json.loads(ANSWER.document(TROUBLED))
    assert document["schema_version"] == 1
    assert document["status"] == "attention"
    assert document["now"] == "2026-11-20T12:30:00Z"
    assert document["problems"] == [MISSED, f"bad: {REFUSED}"]
    assert document["jobs"][0] == {
        "job": "sync",
        "last_run_at": "2026-11-20T12:00:00Z",
        "finished_at": "2026-11-20T12:00:00Z",
        "result": "ok",
        "error": None,
        "age_seconds": 1800,
        "next_due_at": "2026-11-20T13:00:00Z",
        "is_missed": True,
    }
    assert document["keys"][1] == {
        "name": "bad",
        "state": "invalid",
        "last_synced_at": "2026-11-20T12:25:00Z",
        "problem": REFUSED,
    }
    assert document["database"] == {
        "path": "/var/lib/orwatch/orwatch.db",
        "size_bytes": 1_400_000,
        "rows": 12345,
        "first_day": "2026-11-20",
        "last_day": "2026-11-20",
    }
    assert (document["spent_today"], document["spent_this_month"]) == (None, None)
    assert (document["accounts"], document["can_spend"]) == ([], [])


def test_json_of_a_job_that_never_ran_is_null_and_not_zero() -> None:
    document = json.loads(ANSWER.document(GOOD))
    assert document["status"] == "ok"
    assert document["problems"] == []
    never = document["jobs"][1]
    assert {never[name] for name in ("last_run_at", "finished_at", "result", "age_seconds")} == {None}
    assert never["next_due_at"] == "2026-11-20T13:00:00Z"


def allowance(name: str, amount: str, remaining: str | None = None, **changes: Any) -> Allowance:
    facts = KeyFacts(
        KeyKind.INFERENCE,
        limit_usd=Decimal(300),
        limit_remaining_usd=Decimal(remaining or amount),
        limit_reset="monthly",
    )
    left = CanSpend(Decimal(amount), "limit", datetime(2026, 12, 1, tzinfo=UTC))
    return Allowance(stored_key(name, facts=facts, **changes), left, Decimal("74.75"))


BALANCE = AccountStatus(
    "ops",
    Credits(Decimal("100.5"), Decimal("25.75")),
    NOW - timedelta(minutes=5),
    Purchase(Decimal(100), date(2026, 11, 2)),
    Lasting(44, date(2027, 1, 3)),
)
COURSE = MonthCourse(Decimal(45), Forecast(Decimal("67.5"), Decimal(60), Decimal("1080.4"), is_rough=True))
RICH = replace(
    GOOD,
    spent_today_usd=Decimal("1.234"),
    spent_month_usd=Decimal(45),
    course=COURSE,
    accounts=(BALANCE,),
    allowances=(allowance("ci", "0", "-0.25"), allowance("production", "74.75", "88.2")),
)


def test_what_was_spent_and_what_is_left_are_told() -> None:
    text = rendered(view(RICH), 100)
    assert "\nSpent:    $1.23 today, $45.00 this month so far (UTC)\n" in text
    assert "\n          on course for about $68 (60 to 1,080) this month\n" in text
    assert "\nBalance:  $74.75, bought $100.00 since 2026-11-02\n" in text
    assert "\n          lasts until about 3 Jan 2027 at the pace of the last two weeks\n" in text
    lines = [line.split() for line in text.splitlines()]
    until = ["until", "1", "Dec", "(limit)"]
    assert ["ci", "$0.00", *until, "-$0.25", "$300.00", "5", "min", "ago"] in lines
    assert ["production", "$74.75", *until, "$88.20", "$300.00", "5", "min", "ago"] in lines


def test_what_is_not_known_of_the_money_is_a_dash_and_no_zero() -> None:
    text = rendered(view(replace(GOOD, accounts=(AccountStatus("ops"),))), 100)
    assert "Spent:    – today, – this month so far (UTC)\n" in text
    assert "Balance:  –\n" in text
    assert "$0.00" not in text


def test_without_a_management_key_there_is_no_balance_and_without_a_limit_no_table() -> None:
    text = rendered(view(GOOD), 100)
    assert "Balance" not in text
    assert "Least left" not in text


def test_an_old_reading_says_its_age_and_several_accounts_their_names() -> None:
    old = AccountStatus(HOSTILE_NAME, BALANCE.credits, NOW - timedelta(hours=5))
    text = rendered(view(replace(RICH, accounts=(BALANCE, old))), 200)
    assert "Balance:  $74.75 (ops), bought $100.00 since 2026-11-02\n" in text
    assert f"          $74.75 ({INERT_NAME}), read 5 h ago\n" in text


def test_of_many_keys_with_a_limit_those_with_the_least_left_are_shown_and_json_has_all() -> None:
    many = tuple(allowance(f"key-{number}", str(number)) for number in range(500))
    result = replace(RICH, allowances=many)
    text = rendered(view(result), 100)
    assert "key-4 " in text
    assert "key-5 " not in text
    assert len(json.loads(ANSWER.document(result))["can_spend"]) == 500


@pytest.mark.parametrize("width", WIDTHS)
def test_the_money_fits_the_terminal(width: int) -> None:
    long = allowance("a-key-with-quite-a-long-name-of-its-own", "74.75", facts_read_at=None)
    text = rendered(view(replace(RICH, allowances=(long, *RICH.allowances))), width)
    assert widest_line(text) <= width
    assert "$0.00" in text


def test_json_tells_the_money_to_the_digit() -> None:
    document = json.loads(ANSWER.document(RICH), parse_float=Decimal)
    assert (document["spent_today"], document["spent_this_month"]) == (Decimal("1.234"), 45)
    assert document["month"] == {
        "spent": 45,
        "expected": Decimal("67.5"),
        "low": 60,
        "high": Decimal("1080.4"),
        "is_rough": True,
    }
    assert document["accounts"] == [
        {
            "name": "ops",
            "balance": Decimal("74.75"),
            "bought": Decimal("100.5"),
            "spent": Decimal("25.75"),
            "read_at": "2026-11-20T12:25:00Z",
            "last_purchase": {"amount": 100, "since": "2026-11-02"},
            "lasts_days": 44,
            "lasts_until": "2027-01-03",
        }
    ]
    assert document["can_spend"][0] == {
        "key": "ci",
        "amount": 0,
        "layer": "limit",
        "until": "2026-12-01T00:00:00Z",
        "is_at_most": False,
        "limit": 300,
        "limit_remaining": Decimal("-0.25"),
        "limit_reset": "monthly",
        "balance": Decimal("74.75"),
        "read_at": "2026-11-20T12:25:00Z",
    }
    unread = json.loads(ANSWER.document(replace(GOOD, accounts=(AccountStatus("ops"),))))["accounts"][0]
    assert unread == {
        "name": "ops",
        "balance": None,
        "bought": None,
        "spent": None,
        "read_at": None,
        "last_purchase": None,
        "lasts_days": None,
        "lasts_until": None,
    }
