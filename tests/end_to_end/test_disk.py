"""A disk that is full, and files and folders that may only be read."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import (
    WITHOUT_PRIVILEGES,
    Machine,
    of_key,
    told,
    with_changed_costs,
    with_largest_file,
)

Serve = Callable[[Answer], FakeServer]


@pytest.mark.parametrize("room", [1_000, 60_000])
def test_a_sync_that_meets_a_full_disk_leaves_every_key_whole_and_the_next_completes(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve, room: int
) -> None:
    corrected = with_changed_costs(api.answer)
    old, new = synced.stored(), told(corrected, keys)
    synced.api_url = serve(corrected).url

    # The lock files are small; what does not fit is the write-ahead log.
    full = synced.run("sync", "--days", "30", launcher=with_largest_file(room), COLUMNS="500")

    stored = synced.stored()
    # 1 as soon as a key was written all the same: then it is this one run that was not whole.
    assert full.code in ({75} if stored == old else {1, 75})
    assert stored == old or room > 1_000
    assert f"the database {synced.database} cannot be written" in full.stderr
    assert (
        "is its disk full? What was stored before is whole. Make room, in TMPDIR too, and try again."
        in full.stderr
    )
    assert "Traceback" not in full.stderr
    assert synced.is_whole()
    for key in keys:
        rows = of_key(stored, key.name)
        assert rows in (of_key(old, key.name), of_key(new, key.name))
    assert stored != new

    again = synced.run("sync", "--days", "30", "--json")
    assert (again.code, again.json["status"]) == (0, "ok")
    assert synced.stored() == new


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 400 kB large."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here; a limit on file sizes is tested in any case")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_on_a_disk_that_is_really_full_it_is_the_same(
    machine: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve, small_disk: Path
) -> None:
    machine.home = small_disk
    machine.set_up(keys)
    assert machine.run("sync", "--days", "30").code == 0
    corrected = with_changed_costs(api.answer)
    old, new = machine.stored(), told(corrected, keys)
    machine.api_url = serve(corrected).url
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))

    for command in (("sync", "--days", "30"), ("validate",), ("cleanup", "--retention-days", "5"), ("init",)):
        full = machine.run(*command)
        assert (full.code, "Traceback" in full.stderr) == (75, False), command
        assert str(machine.data_folder) in full.stderr
    reading = machine.run("report")
    assert reading.code in {0, 75}
    assert "Traceback" not in reading.stderr

    ballast.unlink()
    assert machine.is_whole()
    for key in keys:
        assert of_key(machine.stored(), key.name) in (of_key(old, key.name), of_key(new, key.name))
    assert machine.run("sync", "--days", "30").code == 0
    assert machine.stored() == new


def only_readable(machine: Machine, what: str) -> None:
    if what == "folder":
        machine.data_folder.chmod(0o500)
    else:
        for path in machine.data_folder.iterdir():
            path.chmod(0o400)


@pytest.mark.parametrize("what", ["files", "folder"])
def test_a_database_that_may_only_be_read_is_left_alone_and_told(
    synced: Machine, server: FakeServer, what: str
) -> None:
    before = {path: content for path, content in synced.files().items() if path.suffix != ".lock"}
    only_readable(synced, what)

    for command in (("sync",), ("cleanup", "--retention-days", "5"), ("key", "disable", "ci")):
        finished = synced.run(*command, launcher=WITHOUT_PRIVILEGES)
        assert (finished.code, finished.stdout) == (78, ""), command
        assert str(synced.data_folder) in finished.stderr
        assert "Traceback" not in finished.stderr
    report = synced.run("report", "--json", launcher=WITHOUT_PRIVILEGES)
    assert (report.code, "Traceback" in report.stderr) in {(0, False), (78, False)}
    if report.code == 0:
        assert report.json["totals"]["requests"]
    else:
        advice = json.loads(report.stderr)["error"]["advice"]
        assert advice == "Check the owner and the mode of the file and of its folder."

    synced.data_folder.chmod(0o700)
    assert server.received == ()
    assert {path: content for path, content in synced.files().items() if path in before} == before


def test_a_home_that_cannot_be_written_is_told(machine: Machine) -> None:
    machine.home.chmod(0o500)

    finished = machine.run("init", launcher=WITHOUT_PRIVILEGES)

    assert (finished.code, finished.stdout) == (78, "")
    assert f"cannot create the database {machine.database}: Permission denied" in finished.stderr
    assert "ORWATCH_DATABASE_URL" in finished.stderr
    assert list(machine.home.iterdir()) == []


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 100, bytes(5000)])
def test_a_file_that_is_no_database_is_left_alone_and_told(machine: Machine, content: bytes) -> None:
    machine.data_folder.mkdir(parents=True)
    machine.database.write_bytes(content)

    finished = machine.run("report")

    assert (finished.code, finished.stdout) == (78, "")
    assert f"{machine.database} is not a database or is damaged" in finished.stderr
    assert machine.database.read_bytes() == content


def test_another_programs_database_is_left_alone(machine: Machine) -> None:
    machine.data_folder.mkdir(parents=True)
    machine.query("CREATE TABLE mine (text)")
    before = machine.database.read_bytes()

    finished = machine.run("sync")

    assert (finished.code, finished.stdout) == (78, "")
    assert "tables that are not orwatch's" in finished.stderr
    assert machine.database.read_bytes() == before
    assert list(machine.data_folder.iterdir()) == [machine.database]
