"""The installed schedule on a terminal and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from orwatch.domain.runs import Job
from orwatch.errors import BrokenMarksError, UnreadableError
from orwatch.jobs.cron.result import (
    CronChange,
    CronEntry,
    CronInstallResult,
    CronPlace,
    CronRemoveResult,
    CronSchedule,
    CronShowResult,
    CronWarning,
    ScheduleState,
)
from orwatch.jobs.cron.text import ARGUMENTS, next_times
from orwatch.render.cron import ANSWER, install_sentence, remove_sentence, view
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, widest_line

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
CALL = "/home/you/.local/bin/orwatch --env-file /home/you/.config/orwatch/.env"
ENTRIES = tuple(
    CronEntry(job, f"{CALL} {' '.join(words)}", next_times(job, NOW, 3, BERLIN))
    for job, words in ARGUMENTS.items()
)
SCHEDULE = CronSchedule(CronPlace.USER_CRONTAB, "the crontab of you", ScheduleState.INSTALLED, ENTRIES)
RESULT = CronShowResult(NOW, (SCHEDULE,))
PROBLEM = CronWarning("no cron daemon is running.", is_fatal=True)


def test_it_shows_where_when_and_what() -> None:
    text = rendered(view(RESULT), 120)
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0] == "Entries in the crontab of you: as this version writes them."
    assert lines[2].split("  ")[0] == "Job"
    assert "sync            2026-11-20 13:00  2026-11-20 14:00 +0100" in lines
    assert "cleanup         2026-11-22 03:00  2026-11-22 04:00 +0100" in lines
    assert f"  {CALL} sync --catch-up --quiet" in lines
    assert sum("2026-1" in line for line in lines) == 9


@pytest.mark.parametrize("width", [width for width in WIDTHS if width >= 60])
def test_it_fits_and_cuts_no_time(width: int) -> None:
    text = rendered(view(RESULT), width)
    lines = [line.rstrip() for line in text.splitlines()]
    commands = [line for line in lines if CALL in line]
    assert commands == [f"  {entry.command}" for entry in ENTRIES]  # in one piece, to be copied
    assert widest_line("\n".join(line for line in lines if line not in commands)) <= width
    assert text.count("+0100") == 9
    assert lines[-1] == commands[-1]


@pytest.mark.parametrize(
    ("place", "start", "advice"),
    [
        (CronPlace.USER_CRONTAB, "Entries in x: ", "`orwatch cron install`."),
        (CronPlace.ETC_CRON_D, "Entries in x: ", "`orwatch cron install --etc-cron-d`."),
        (CronPlace.SYSTEMD, "Units in x: ", "`orwatch cron install --systemd`."),
    ],
)
def test_what_differs_says_what_to_run(place: CronPlace, start: str, advice: str) -> None:
    schedule = replace(SCHEDULE, place=place, location="x", state=ScheduleState.DIFFERS)
    first = rendered(view(replace(RESULT, schedules=(schedule,))), 120).splitlines()[0]
    assert first.startswith(f"{start}not as this version writes them: run ")
    assert first.rstrip().endswith(advice)


@pytest.mark.parametrize("place", [CronPlace.USER_CRONTAB, CronPlace.ETC_CRON_D])
def test_another_set_ups_entries_are_not_to_be_installed_over(place: CronPlace) -> None:
    other = replace(SCHEDULE, place=place, state=ScheduleState.OTHER_SETTINGS, other_env_file="/other.env")
    text = rendered(view(replace(RESULT, schedules=(other,))), 120)
    assert text.startswith("Entries in the crontab of you: another set-up's, with the env file /other.env.\n")
    assert ("`orwatch cron install`" in text) is (place is not CronPlace.USER_CRONTAB)
    assert "ot installed" in text


def test_where_a_place_cannot_be_read_nothing_is_claimed() -> None:
    result = CronShowResult(NOW, (), (), unreadable=(UnreadableError(PROBLEM.text),))
    text = rendered(view(result), 120)
    assert text == f"It is not known whether it is installed.\n! {PROBLEM.text}\n"
    assert json.loads(ANSWER.document(result))["state"] == "unknown"


def test_marks_that_are_no_pair_are_not_called_not_installed() -> None:
    result = CronShowResult(NOW, (), broken=(BrokenMarksError("tab: the marks are no pair", "Delete them."),))
    assert rendered(view(result), 120) == "tab: the marks are no pair. Delete them.\n"
    document = json.loads(ANSWER.document(result))
    assert (document["state"], document["status"], len(document["warnings"])) == ("unclear", "attention", 1)


def test_lines_of_ones_own_are_told() -> None:
    result = CronShowResult(NOW, (), own_lines=("the crontab of you", f"/etc/cron.d/{HOSTILE_NAME}"))
    text = rendered(view(result), 200)
    assert f"\nLines of your own start orwatch: the crontab of you, /etc/cron.d/{INERT_NAME}.\n" in text
    assert len(json.loads(ANSWER.document(result))["own_lines"]) == 2


def test_nothing_installed_says_what_to_run() -> None:
    text = rendered(view(CronShowResult(NOW, ())), 120)
    assert text == "Not installed: `orwatch cron install` lets cron run the jobs.\n"
    text = rendered(view(CronShowResult(NOW, (), has_crontab=False)), 400)
    assert text.startswith("Not installed, and there is no `crontab` command. Install cron (Debian: ")


def test_warnings_are_shown_at_their_place_and_at_the_end() -> None:
    schedule = replace(SCHEDULE, warnings=(PROBLEM,))
    result = CronShowResult(NOW, (schedule,), (CronWarning("in two places."),))
    text = rendered(view(result), 120)
    assert text.endswith("! no cron daemon is running.\n! in two places.\n")
    assert (result.exit_code, CronShowResult(NOW, (SCHEDULE,), (CronWarning("x"),)).exit_code) == (1, 0)


def test_an_entry_that_was_changed_has_no_times_and_is_named() -> None:
    entry = CronEntry(None, f"0 2 * * * {HOSTILE_NAME}")
    schedule = replace(SCHEDULE, entries=(entry,), state=ScheduleState.DIFFERS, location=HOSTILE_NAME)
    text = rendered(view(replace(RESULT, schedules=(schedule,))), 200)
    assert "\n! not as this version would write it: 0 2 * * * " in text
    assert text.count("–") == 2
    assert INERT_NAME in text
    assert "\x1b" not in text


def test_json_has_places_entries_and_times_in_both_zones() -> None:
    document = json.loads(ANSWER.document(replace(RESULT, warnings=(PROBLEM,))))
    assert document["schema_version"] == 1
    assert (document["status"], document["state"]) == ("attention", "broken")
    assert document["warnings"] == [{"text": PROBLEM.text, "is_fatal": True}]
    (schedule,) = document["schedules"]
    assert (schedule["place"], schedule["state"]) == ("user-crontab", "installed")
    entry = schedule["entries"][2]
    assert (entry["job"], entry["command"]) == (Job.CLEANUP.value, f"{CALL} cleanup --quiet")
    assert entry["next_times"][0] == {"utc": "2026-11-22T03:00:00Z", "local": "2026-11-22T04:00:00+01:00"}
    assert json.loads(ANSWER.document(RESULT))["status"] == "ok"


def test_json_of_nothing_installed() -> None:
    document = json.loads(ANSWER.document(CronShowResult(NOW, ())))
    assert (document["state"], document["schedules"], document["status"]) == ("not-installed", [], "ok")


@pytest.mark.parametrize("change", list(CronChange))
@pytest.mark.parametrize("is_dry_run", [True, False])
def test_every_end_of_an_installation_names_the_place(change: CronChange, is_dry_run: bool) -> None:
    result = CronInstallResult(
        CronPlace.USER_CRONTAB, f"the crontab of {HOSTILE_NAME}", change, "", is_dry_run
    )
    sentence = install_sentence(result)
    assert INERT_NAME in sentence
    assert ("nothing was changed" in sentence) is (is_dry_run or change is CronChange.UNCHANGED)


def test_a_removal_names_the_places_or_says_that_there_was_nothing() -> None:
    assert remove_sentence(CronRemoveResult(("a", "b"))) == "Removed the three jobs from a, b."
    assert remove_sentence(CronRemoveResult(())) == "There was nothing to remove."
    assert remove_sentence(CronRemoveResult((), (PROBLEM,))) == "Nothing was removed."
