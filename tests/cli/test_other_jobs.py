"""``orwatch validate``, ``cleanup`` and ``status``."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import respx
from freezegun import freeze_time

from orwatch.cli import host as cli_host
from orwatch.domain.runs import Job
from orwatch.errors import UsageError
from orwatch.jobs.cron import checks as cron_checks
from orwatch.jobs.cron.text import Invocation, entries
from orwatch.store import runs
from tests.cli.support import Home, Orwatch, key_answer, refusal, usage_json, write_usage
from tests.jobs.cron.machine import CRONTAB, write_program
from tests.support import NOW, TODAY, secret_of, usage_row


@pytest.fixture(autouse=True)
def two_keys(home: Home) -> None:
    home.set_up("production", "ci")


def test_valid_keys_are_exit_0_and_their_facts_are_refreshed(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    api.get("/key").mock(return_value=key_answer(limit=100, limit_remaining=99.75))
    code, out, err = orwatch("validate")
    assert (code, err) == (0, "")
    assert "2 keys valid, 0 invalid, 0 unknown" in out
    assert "Remaining       $99.75\n" in orwatch("key", "show", "ci").out


def test_a_key_that_is_refused_twice_is_deactivated_and_that_is_exit_1(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, waits: list[float]
) -> None:
    of_ci = {"Authorization": f"Bearer {secret_of('ci')}"}
    api.get("/key", headers=of_ci).mock(return_value=refusal(401, "User not found."))
    api.get("/key").mock(return_value=key_answer())
    code, out, err = orwatch("validate")
    assert code == 1
    assert "1 key valid, 1 invalid, 0 unknown" in out
    assert "WARNING validate key=ci: invalid: deactivated, refused twice" in err
    assert len(waits) == 1
    assert not home.keys()["ci"].is_active


def test_validate_quiet_prints_nothing_when_all_is_well(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/key").mock(return_value=key_answer())
    assert orwatch("validate", "--quiet") == (0, "", "")


def test_validate_quiet_tells_once_of_a_key_that_soon_expires(
    orwatch: Orwatch, api: respx.MockRouter
) -> None:
    api.get("/key").mock(return_value=key_answer(expires_at="2026-11-23T12:00:00Z"))
    code, out, err = orwatch("validate", "-q", "--key", "ci")
    assert (code, out) == (1, "")
    (alert,) = err.splitlines()
    assert alert.startswith("orwatch: alert 1 (key): ci: it expires on 23 Nov 2026 at 12:00 UTC. ")
    assert orwatch("validate", "-q", "--key", "ci") == (0, "", "")


def test_validate_in_json_names_the_chosen_keys(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/key").mock(return_value=refusal(403))
    code, out, _err = orwatch("validate", "--json", "-k", "ci")
    document = json.loads(out)
    assert code == 1
    assert (document["status"], document["unknown"]) == ("failed", 1)
    assert [key["name"] for key in document["keys"]] == ["ci"]


def with_old_usage(home: Home) -> None:
    rows = [usage_row(TODAY - timedelta(days=days), cost="2.5") for days in (366, 365, 10, 0)]
    write_usage(home, "production", *rows)


def test_cleanup_keeps_a_row_that_is_exactly_as_old_as_the_retention(orwatch: Orwatch, home: Home) -> None:
    with_old_usage(home)
    code, out, err = orwatch("cleanup")
    assert (code, err) == (0, "")
    assert out.startswith("Moved 1 row of 1 day before 2025-11-20 ($2.50) to the monthly totals.")
    assert home.scalar("SELECT count(*) FROM usage_stats") == 3
    assert json.loads(orwatch("report", "--by", "month", "--last", "all", "--json").out)["totals"] == {
        "requests": 20,
        "tokens_input": 200,
        "tokens_output": 500,
        "cost": 10,
        "byok_cost": None,
    }


def test_cleanups_day_ends_at_midnight_utc(orwatch: Orwatch, home: Home) -> None:
    with_old_usage(home)
    with freeze_time("2026-11-20T23:59:59Z"):
        assert json.loads(orwatch("cleanup", "-n", "--json").out)["kept_from"] == "2025-11-20"
    with freeze_time("2026-11-21T00:00:00Z"):
        assert json.loads(orwatch("cleanup", "-n", "--json").out)["kept_from"] == "2025-11-21"


@pytest.mark.parametrize("option", [["--retention-days", "5"], []])
def test_the_retention_is_an_option_or_a_setting(orwatch: Orwatch, home: Home, option: list[str]) -> None:
    home.write_settings(ORWATCH_USAGE_STATS_RETENTION_DAYS="10" if option else "5")
    with_old_usage(home)
    assert json.loads(orwatch("cleanup", *option, "--json").out)["rows_removed"] == 3


def test_a_rehearsed_cleanup_changes_nothing(orwatch: Orwatch, home: Home) -> None:
    with_old_usage(home)
    assert "Would move 1 row of 1 day" in orwatch("cleanup", "--dry-run").out
    assert home.scalar("SELECT count(*) FROM usage_stats") == 4
    assert home.scalar("SELECT count(*) FROM job_runs") == 0


def test_cleanup_quiet_prints_nothing(orwatch: Orwatch, home: Home) -> None:
    with_old_usage(home)
    assert orwatch("cleanup", "--quiet") == (0, "", "")
    assert home.scalar("SELECT count(*) FROM usage_stats") == 3


@pytest.mark.parametrize("days", ["0", "-1", "x", "1.5", "36501"])
def test_a_retention_that_is_none_is_a_usage_error_and_deletes_nothing(
    orwatch: Orwatch, home: Home, days: str
) -> None:
    with_old_usage(home)
    code, out, err = orwatch("cleanup", "--retention-days", days)
    assert (code, out) == (2, "")
    assert "'--retention-days'" in err
    assert home.scalar("SELECT count(*) FROM usage_stats") == 4


@pytest.mark.parametrize("days", ["0", "-1", "x"])
def test_a_retention_setting_that_is_none_is_78_and_deletes_nothing(
    orwatch: Orwatch, home: Home, days: str
) -> None:
    with_old_usage(home)
    home.write_settings(ORWATCH_USAGE_STATS_RETENTION_DAYS=days)
    code, out, err = orwatch("cleanup")
    assert (code, out) == (78, "")
    assert f"ORWATCH_USAGE_STATS_RETENTION_DAYS='{days}'" in err
    assert home.scalar("SELECT count(*) FROM usage_stats") == 4


def test_a_sync_before_the_watermark_writes_nothing_there_and_says_so(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    with_old_usage(home)
    orwatch("cleanup", "--retention-days", "30")
    api.get("/usage").mock(return_value=usage_json())
    code, out, _err = orwatch("sync", "--since", "2026-10-01", "--key", "production")
    assert code == 0
    assert "production: days before 2026-10-21 were removed by cleanup" in out
    assert api.calls.last.request.url.params["start_date"] == "2026-10-21"


def test_status_of_a_fresh_installation_needs_nobody(orwatch: Orwatch, home: Home) -> None:
    code, out, err = orwatch("status")
    assert (code, err) == (0, "")
    assert "Nothing needs you." in out
    assert "Schedule: " in out
    assert f"Database: {home.database}" in out
    assert [line.split()[:2] for line in out.splitlines()[2:5]] == [
        ["sync", "never"],
        ["validate", "never"],
        ["cleanup", "never"],
    ]


@pytest.fixture
def crontab(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A crontab in which `orwatch cron install` has put the jobs, and a cron that runs."""
    monkeypatch.setattr(cron_checks, "running_daemons", lambda _processes: frozenset({"cron"}))
    folder = home.folder / "machine"
    write_program(folder / "crontab", CRONTAB.replace("{folder}", str(folder)))
    program = write_program(folder / "orwatch", "#!/bin/sh\n")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "argv", [str(program)])
    (folder / "tab").write_text(entries(Invocation(str(program), str(home.env_file))), encoding="utf-8")
    return folder / "tab"


def test_status_tells_of_missed_jobs_with_exit_1(orwatch: Orwatch, crontab: Path) -> None:
    with freeze_time(NOW + timedelta(days=9)):
        code, out, _err = orwatch("status")
    assert code == 1
    assert "! sync was due at 2026-11-29 12:00 UTC and did not run" in out
    assert "! validate was due at 2026-11-29 02:00 UTC and did not run" in out


def test_status_in_json_tells_the_same_with_the_same_exit_code(orwatch: Orwatch, crontab: Path) -> None:
    with freeze_time(NOW + timedelta(days=9)):
        code, out, err = orwatch("status", "--json")
    document = json.loads(out)
    assert (code, err) == (1, "")
    assert (document["status"], document["jobs"][0]["is_missed"]) == ("attention", True)
    assert (document["schedule"]["state"], len(document["problems"])) == ("installed", 4)


def test_status_tells_of_a_crontab_whose_program_is_gone(orwatch: Orwatch, crontab: Path) -> None:
    assert orwatch("status").code == 0
    text = crontab.read_text(encoding="utf-8")
    crontab.write_text(text.replace("/machine/orwatch", "/old/orwatch"), encoding="utf-8")
    code, out, err = orwatch("status")
    assert (code, err) == (1, "")
    assert "/old/orwatch is gone" in " ".join(out.split()).replace("orwat ch", "orwatch")
    assert "see below" in out


def test_status_tells_that_no_cron_runs(
    orwatch: Orwatch, crontab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert orwatch("status")[0] == 0
    monkeypatch.setattr(cron_checks, "running_daemons", lambda _processes: frozenset())
    code, out, _err = orwatch("status", "--json")
    document = json.loads(out)
    assert (code, document["status"], document["schedule"]["state"]) == (1, "attention", "broken")
    [problem] = document["problems"]
    assert ": no cron daemon is " in problem


def test_status_does_not_fail_where_the_program_cannot_be_found(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Path:
        raise UsageError("cannot find the program of this installation.")

    monkeypatch.setattr(cli_host, "_program", refuse)
    code, out, err = orwatch("status")
    assert (code, err) == (0, "")
    assert "Schedule: cannot find the program of this installation" in out


def test_without_runs_it_says_how_there_come_to_be_some(orwatch: Orwatch, home: Home) -> None:
    assert orwatch("runs") == (
        0,
        "No runs yet. Start one: `orwatch sync`; `orwatch cron install` lets cron start them.\n",
        "",
    )
    with home.store() as store, store.write() as connection:
        runs.start_run(connection, Job.SYNC, NOW)
    assert orwatch("runs", "--job", "cleanup") == (
        0,
        "No runs of cleanup yet. Start one: `orwatch cleanup`; `orwatch runs` shows all jobs.\n",
        "",
    )


def test_the_number_of_runs_is_a_limit_and_no_span_of_time(orwatch: Orwatch, home: Home) -> None:
    with home.store() as store, store.write() as connection:
        for job in Job:
            runs.start_run(connection, job, NOW)
    assert len(json.loads(orwatch("runs", "--limit", "2", "--json").out)["runs"]) == 2
    code, out, err = orwatch("runs", "--last", "2")
    assert (code, out) == (2, "")
    assert "No such option: --last" in err or "No such option '--last'" in err


def test_status_tells_of_an_encryption_key_that_is_lost(orwatch: Orwatch, home: Home) -> None:
    home.env_file.unlink()
    code, out, err = orwatch("status")
    assert (code, err) == (1, "")
    assert "! ORWATCH_ENCRYPTION_KEY is not set" in out
    assert "Nothing needs you." not in out


@pytest.mark.parametrize("job", [("sync",), ("validate",), ("cleanup",), ("secret", "rotate")])
def test_a_job_removes_what_killed_programs_left(
    orwatch: Orwatch,
    home: Home,
    api: respx.MockRouter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: tuple[str, ...],
) -> None:
    api.get("/key").mock(return_value=key_answer())
    api.get("/usage").mock(return_value=usage_json())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    beside = [folder / ".orwatch-part-abcdefgh" for folder in (home.env_file.parent, home.database.parent)]
    for file in beside:
        file.write_text("ORWATCH_ENCRYPTION_KEY=old", encoding="utf-8")
    copy = tmp_path / "orwatch-copy-abcdefgh"
    copy.mkdir()
    assert orwatch(*job).code == 0
    assert not [path for path in (*beside, copy) if path.exists()]
