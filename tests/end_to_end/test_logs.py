"""Logs: to a file or to standard error, as text or as JSON lines, past logrotate, and without secrets."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import DEADLINE_SECONDS, Machine, failing_for, finish, utc_today
from tests.support import secret_of

Serve = Callable[[Answer], FakeServer]

LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<level>[A-Z]+) (?P<job>\w+)"
    r"(?: key=(?P<key>.+?))?(?: duration=(?P<duration>\d+\.\d\d)s)?: (?P<message>.+)"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "orwatch.log"


@pytest.fixture
def troubled(watching: Machine, api: FakeOpenRouter, serve: Serve) -> Machine:
    """An account with a key that fails, whose server repeats the secret that it was sent."""
    secret = secret_of("ci")
    watching.api_url = serve(
        failing_for(api.answer, secret, lambda _: error_response(400, f"not {secret}\n\x1b[2J"))
    ).url
    return watching


@pytest.mark.real_clock
def test_text_lines_tell_time_level_job_key_and_duration(
    troubled: Machine, keys: tuple[FakeKey, ...], log: Path
) -> None:
    finished = troubled.run("sync", "--quiet", ORWATCH_LOG_FILE=str(log))

    assert (finished.code, finished.stdout) == (1, "")
    # Nothing but the warning, for cron's mail.
    assert finished.stderr.count("\n") == finished.stderr.count(" WARNING sync key=ci: ") == 1
    text = log.read_text("utf-8")
    lines = [LINE.fullmatch(line) for line in text.splitlines()]
    assert len(lines) == 3
    records = {line["key"]: line.groupdict() for line in lines if line is not None}
    assert set(records) == {key.name for key in keys}
    assert {record["job"] for record in records.values()} == {"sync"}
    assert all(record["time"].startswith(f"{utc_today()}T") for record in records.values())
    assert (records["production"]["level"], records["ci"]["level"]) == ("INFO", "WARNING")
    assert float(records["production"]["duration"]) >= 0
    assert records["production"]["message"].endswith("rows written, 0 unchanged, 0 removed, 0 rejected")
    assert "GET /usage answered 400: not sk-or-…" in records["ci"]["message"]
    assert "\x1b" not in text
    assert oct(log.stat().st_mode)[-2:] in {"00", "40", "44"}


def test_json_lines_tell_the_same(troubled: Machine, keys: tuple[FakeKey, ...], log: Path) -> None:
    finished = troubled.run("sync", "-v", "--json", ORWATCH_LOG_FILE=str(log), ORWATCH_LOG_FORMAT="json")

    assert (finished.code, finished.stderr, finished.json["status"]) == (1, "", "partial")
    text = log.read_text("utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    assert {record["job"] for record in records} == {"sync"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["time"]) for record in records)
    levels = {(record.get("key"), record["level"]) for record in records}
    assert {("production", "INFO"), ("laptop", "INFO"), ("ci", "WARNING")} <= levels
    assert sum(record["message"].startswith("GET /api/v1/usage ") for record in records) == 3
    timed = [record for record in records if record.get("key") == "production" and record["level"] == "INFO"]
    assert timed[0]["duration_seconds"] >= 0
    assert not [key.name for key in keys if key.secret in text]


def test_no_secret_is_in_the_log_of_any_command(
    troubled: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], log: Path
) -> None:
    settings = {"ORWATCH_LOG_FILE": str(log), "ORWATCH_LOG_LEVEL": "DEBUG"}
    api.revoke("laptop")
    for arguments in (("sync", "-v"), ("validate", "-v"), ("cleanup", "-v"), ("secret", "rotate")):
        assert troubled.run(*arguments, **settings).code in {0, 1}

    text = log.read_text("utf-8")
    assert {"sync", "validate", "cleanup"} <= {line.split()[2].rstrip(":") for line in text.splitlines()}
    assert not [key.name for key in keys if key.secret in text]
    assert troubled.encryption_key() not in text
    assert "Bearer" not in text


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        ({"ORWATCH_LOG_LEVEL": "error"}, set()),
        ({"ORWATCH_LOG_LEVEL": "WARNING"}, {"WARNING"}),
    ],
    ids=["error", "warning"],
)
def test_the_level_says_what_is_logged(
    troubled: Machine, log: Path, settings: dict[str, str], levels: set[str]
) -> None:
    assert troubled.run("sync", ORWATCH_LOG_FILE=str(log), **settings).code == 1

    assert {line.split()[1] for line in log.read_text("utf-8").splitlines()} == levels


def test_after_logrotate_a_new_file_is_made_between_runs_and_in_the_midst_of_one(
    watching: Machine, api: FakeOpenRouter, serve: Serve, log: Path
) -> None:
    first, second = log.with_suffix(".1"), log.with_suffix(".2")
    settings = {"ORWATCH_LOG_FILE": str(log), "ORWATCH_CONCURRENCY": "1"}
    assert watching.run("sync", **settings).code == 0
    log.rename(first)
    is_reached, may_answer = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        if request.secret == secret_of("laptop"):
            is_reached.set()
            may_answer.wait(DEADLINE_SECONDS)
        return api.answer(request)

    watching.api_url = serve(answer).url
    process = watching.start("sync", "-v", **settings)
    try:
        assert is_reached.wait(DEADLINE_SECONDS)
        log.rename(second)
    finally:
        may_answer.set()
    assert finish(process).code == 0

    logged = {path: path.read_text("utf-8") for path in (first, second, log)}
    assert logged[first].count("rows written") == 3
    assert "key=production" in logged[second]
    assert "key=laptop" not in logged[second]
    assert "key=laptop" in logged[log]
    assert "key=production" not in logged[log]


def test_a_log_that_cannot_be_opened_stops_the_job_before_it_begins(
    watching: Machine, server: FakeServer, tmp_path: Path
) -> None:
    nowhere = tmp_path / "no such folder" / "orwatch.log"
    for job in ("sync", "validate", "cleanup"):
        finished = watching.run(job, ORWATCH_LOG_FILE=str(nowhere))
        assert (finished.code, finished.stdout) == (78, "")
        assert (
            finished.stderr
            == f"orwatch: cannot open ORWATCH_LOG_FILE='{nowhere}': No such file or directory.\n"
        )
    assert server.received == ()
    assert watching.query("SELECT count(*) FROM job_runs") == [(0,)]


def test_a_log_that_cannot_be_written_is_told_once_and_stops_nothing(watching: Machine) -> None:
    finished = watching.run("sync", "-v", "--json", ORWATCH_LOG_FILE="/dev/full")

    assert (finished.code, finished.json["status"]) == (0, "ok")
    assert finished.stderr.count("orwatch: cannot write to the log /dev/full") == 1
    assert "Traceback" not in finished.stderr
