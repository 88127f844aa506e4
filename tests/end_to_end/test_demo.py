"""`orwatch demo`: the real commands, in a folder that is gone afterwards, and nothing of the user's."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.support import DEADLINE_SECONDS, Machine

STEPS = [
    "key add ops",
    "key add old-laptop",
    "sync",
    "sync",
    "report",
    "validate",
    "budget set ci --limit 10 --per day --key ci",
    "sync",
    "budget list",
    "alert list",
    "key list",
    "status",
    "cleanup --retention-days 90",
    "report --by month --last all",
]


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.mark.real_clock
def test_it_shows_every_command_and_leaves_nothing(synced: Machine, temporary: Path) -> None:
    # Settings that the real commands would stumble over.
    mine = {
        "ORWATCH_ENCRYPTION_KEY": "no key at all",
        "ORWATCH_CONCURRENCY": "0",
        "ORWATCH_LOG_FILE": "/nowhere/log",
    }
    before = (synced.files(), synced.dump())

    finished = synced.run(
        "demo", TMPDIR=str(temporary), ORWATCH_OPENROUTER_API_URL="https://nobody.example/", **mine
    )

    assert finished.code == 0
    assert re.findall(r"^\$ orwatch (.+)$", finished.stdout, re.MULTILINE) == STEPS
    assert "Traceback" not in finished.stderr
    first, *others = re.findall(r"Wrote (\S+) rows?", finished.stdout)
    # Before the last one 'ci' has run wild, with one model.
    assert (int(first.replace(",", "")) > 1000, others) == (True, ["0", "1"])
    assert "1 key valid, 1 invalid" in finished.stdout
    assert list(temporary.iterdir()) == []
    assert list(synced.current_folder.iterdir()) == []
    assert (synced.files(), synced.dump()) == before


def test_what_it_keeps_can_be_looked_at(machine: Machine, temporary: Path) -> None:
    kept = machine.current_folder / "to look at"
    machine.home.rmdir()  # a service's account may have none

    finished = machine.run("demo", "--keep", "to look at", TMPDIR=str(temporary))

    assert finished.code == 0
    (command,) = re.findall(r"`orwatch (.+) report`", finished.stdout)
    assert command == f"--env-file '{kept / '.env'}'"
    assert {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (kept, kept / ".env", kept / "orwatch.db")
    } == {
        "to look at": 0o700,
        ".env": 0o600,
        "orwatch.db": 0o600,
    }
    report = machine.run("--env-file", kept / ".env", "report", "--by", "key", "--last", "14d", "--json")
    assert report.code == 0
    keys = [re.sub(r"\(\w{6}\)", "(…)", row["key"]) for row in report.json["rows"]]
    assert sorted(keys) == ["ci", "ci (…)", "old-laptop (deleted)", "ops", "production", "research"]
    assert not machine.home.exists()
    assert list(temporary.iterdir()) == []


def test_a_folder_with_anything_in_it_is_not_used(machine: Machine) -> None:
    mine = machine.current_folder / "mine"
    mine.write_text("mine", encoding="utf-8")

    for folder in (machine.current_folder, mine):
        finished = machine.run("demo", "--keep", str(folder))
        assert (finished.code, finished.stdout) == (2, "")
        assert "--keep" in finished.stderr
    assert list(machine.current_folder.iterdir()) == [mine]
    assert mine.read_text(encoding="utf-8") == "mine"


@contextmanager
def serving(machine: Machine, *options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`orwatch demo --serve`, and what it printed: what stands before the `: ` or `=`, and behind it."""
    process = machine.start("demo", "--serve", *options)
    try:
        assert process.stdout is not None
        lines = list(takewhile(lambda line: "Ctrl-C" not in line, process.stdout))
        yield process, dict(re.split(": |=", line.strip(), maxsplit=1) for line in lines)
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_serves_until_it_is_ended(machine: Machine, number: signal.Signals) -> None:
    with serving(machine) as (process, printed):
        url, secret = printed.pop("ORWATCH_OPENROUTER_API_URL"), printed.pop("management key")
        workspaces = httpx.get(f"{url}/workspaces", headers={"Authorization": f"Bearer {secret}"}).json()
        for name, key_secret in printed.items():
            answer = httpx.get(f"{url}/key", headers={"Authorization": f"Bearer {key_secret}"})
            spaces = {space["id"]: space["name"] for space in workspaces["data"]}
            assert name.rpartition(" in ")[2] == spaces[answer.json()["data"]["workspace_id"]]
        assert sorted(printed) == [
            *("ci in Default", "ci in Research", "old-laptop in Default"),
            *("production in Default", "research in Research"),
        ]

        process.send_signal(number)
        assert process.wait(timeout=DEADLINE_SECONDS) == 0
        assert process.communicate() == ("", "")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/models")


def test_the_program_can_be_used_with_what_it_serves(machine: Machine) -> None:
    with serving(machine) as (_process, printed):
        api = {"ORWATCH_OPENROUTER_API_URL": printed["ORWATCH_OPENROUTER_API_URL"]}
        assert machine.run("key", "add", "ops", input=printed["management key"], **api).code == 0
        assert machine.run("sync", "--json", **api).json["status"] == "ok"
        listed = json.loads(machine.run("key", "list", "--json", **api).stdout)["keys"]
        assert {"production", "research", "old-laptop"} <= {key["name"] for key in listed}


def test_it_serves_on_the_port_that_was_asked_for_on_loopback_alone(machine: Machine) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        refused = machine.run("demo", "--serve", "--port", str(port))
        assert (refused.code, refused.stdout) == (1, "")
        assert refused.stderr == (
            f"orwatch: cannot serve on port {port} of 127.0.0.1: Address already in use."
            " Choose another with --port.\n"
        )
    with serving(machine, "--port", str(port)) as (_process, printed):
        assert printed["ORWATCH_OPENROUTER_API_URL"] == f"http://127.0.0.1:{port}/api/v1"
        # On Linux all of 127.0.0.0/8 is this machine: one that listened everywhere would answer here as well.
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.2:{port}/api/v1/models")
