"""``orwatch doctor`` on the command line."""

from __future__ import annotations

import json
from email.utils import format_datetime

import httpx
import pytest
import respx

from orwatch.jobs.doctor import run as doctor_job
from orwatch.jobs.doctor.run import Surroundings
from tests.cli.support import Home, Orwatch, Terminal, write_usage
from tests.jobs.doctor.support import GOOD_SCHEDULE, much_room
from tests.support import NOW, TODAY, secret_of, usage_row


@pytest.fixture(autouse=True)
def in_order(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine in order, with two keys of which one has used $3 today."""
    # Cron and the disk are the machine's that the tests run on.
    monkeypatch.setattr(
        doctor_job,
        "Surroundings",
        lambda environ, env_file, _, *others: Surroundings(
            environ, env_file, lambda _: GOOD_SCHEDULE, *others, much_room
        ),
    )
    home.set_up("production", "ci")
    home.database.chmod(0o600)
    for folder in (home.env_file.parent, home.database.parent):
        folder.chmod(0o700)
    write_usage(home, "production", usage_row(TODAY, cost="3"))
    write_usage(home, "ci", usage_row(TODAY, cost="0"))


def told(request: httpx.Request) -> httpx.Response:
    """What the API says of the two keys."""
    secret = request.headers["Authorization"].removeprefix("Bearer ")
    spent = 3 if secret == secret_of("production") else 0
    counters = {"usage": spent, "usage_daily": spent, "usage_monthly": spent}
    headers = {"Date": format_datetime(NOW, usegmt=True)}
    return httpx.Response(200, json={"data": counters}, headers=headers)


def test_a_machine_in_order_is_exit_0(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/key").mock(side_effect=told)
    code, out, err = orwatch("doctor")
    assert (code, err) == (0, "")
    assert "ok  production  this month: $3.00 stored, $3.00 at OpenRouter" in out
    assert out.splitlines()[-1].startswith("Nothing found; ")
    assert secret_of("production") not in out


def test_json_is_all_that_is_on_standard_output(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/key").mock(side_effect=told)
    code, out, err = orwatch("doctor", "-j")
    answer = json.loads(out)
    assert (code, err, answer["status"], answer["findings"]) == (0, "", "ok", 0)
    assert {check["area"] for check in answer["checks"]} == {
        "settings",
        "database",
        "secrets",
        "api",
        "totals",
        "days",
        "jobs",
    }


def test_nothing_is_created_where_there_is_nothing(
    orwatch: Orwatch, api: respx.MockRouter, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = api.get("/models").mock(side_effect=told)
    elsewhere = home.folder / "elsewhere"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(elsewhere / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(elsewhere / "share"))
    code, out, err = orwatch("doctor")
    assert (code, err) == (1, "")
    assert "there is no database" in out
    assert "`orwatch init`" in out
    assert not elsewhere.exists()
    assert route.call_count == 1


def test_the_env_file_of_the_option_is_the_one_that_is_checked(
    orwatch: Orwatch, api: respx.MockRouter, home: Home
) -> None:
    api.get("/models").mock(side_effect=told)
    code, out, _err = orwatch("--env-file", "/nowhere/else.env", "doctor")
    assert code == 1
    assert "/nowhere/else.env does not exist" in out


def test_without_a_network_it_soon_gives_up(
    orwatch: Orwatch, api: respx.MockRouter, waits: list[float]
) -> None:
    route = api.get("/key").mock(side_effect=httpx.ConnectError("no route to host"))
    code, out, err = orwatch("doctor")
    assert (code, err) == (1, "")
    assert "does not answer (no route to host)" in " ".join(out.split())
    assert (route.call_count, len(waits)) == (3, 2)
    assert sum(waits) <= 10


@pytest.mark.parametrize(("limit", "is_told"), [("1", True), ("2", False), ("0", False)])
def test_on_a_terminal_a_long_wait_is_told_before(
    orwatch: Orwatch,
    api: respx.MockRouter,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    is_told: bool,
) -> None:
    api.get("/key").mock(side_effect=told)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("ORWATCH_RATE_LIMIT_PER_MINUTE", limit)
    orwatch("doctor")
    expected = "orwatch: asking about 2 keys, 1 a minute: about 2 minutes\n"
    assert (expected in terminal.getvalue()) is is_told
    assert ("orwatch: " in terminal.getvalue()) is is_told


def test_the_requests_keep_to_the_rate_limit(orwatch: Orwatch, api: respx.MockRouter, home: Home) -> None:
    api.get("/key").mock(side_effect=told)
    orwatch("doctor")
    assert home.scalar("SELECT count(*) FROM request_log") == 3


def test_the_real_cron_can_be_asked(
    orwatch: Orwatch, api: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.get("/key").mock(side_effect=told)
    monkeypatch.setattr(doctor_job, "Surroundings", Surroundings)
    code, out, _err = orwatch("doctor")
    assert code in {0, 1}
    jobs = out[out.index("Jobs") :]
    assert " schedule " in jobs or "crontab" in jobs or " systemd " in jobs
