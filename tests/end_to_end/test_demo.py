"""`orwatch demo`: the real commands, in a folder that is gone afterwards, and nothing of the user's."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from tests.end_to_end.support import Machine

STEPS = [
    "key add ops",
    "key add old-laptop",
    "sync",
    "sync",
    "report",
    "validate",
    "sync",
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
    first, *others = re.findall(r"Wrote (\S+) rows", finished.stdout)
    assert (int(first.replace(",", "")) > 1000, others) == (True, ["0", "0"])
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
