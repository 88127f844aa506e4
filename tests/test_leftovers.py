"""What killed programs leave behind, and what is still in use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from orwatch import leftovers
from orwatch.files import replace_file
from orwatch.leftovers import new_file, remove_leftovers, temporary_folder
from tests.store.support import run_python

KILLED = """
import os, sys, tempfile
from pathlib import Path
from orwatch.leftovers import new_file, temporary_folder
folder = tempfile.tempdir = sys.argv[1]
descriptor, path = new_file(Path(folder))
os.write(descriptor, b"ORWATCH_ENCRYPTION_KEY=secret")
Path(f"{path}-wal").touch()
with temporary_folder() as temporary:
    (temporary / "copy.db").touch()
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left(tmp_path: Path) -> list[Path]:
    """What a program that was killed has left there."""
    assert run_python(KILLED, tmp_path).returncode == -9
    found = sorted(tmp_path.iterdir())
    assert len(found) == 3
    return found


@pytest.mark.usefixtures("left")
def test_what_a_killed_program_left_is_removed(tmp_path: Path) -> None:
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("left")
def test_the_next_write_beside_it_removes_it(tmp_path: Path) -> None:
    replace_file(tmp_path / "env", b"text")
    assert list(tmp_path.iterdir()) == [tmp_path / "env"]


def test_what_is_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    descriptor, file = new_file(tmp_path)
    with temporary_folder() as folder:
        (folder / "copy.db").touch()
        remove_leftovers(tmp_path)
        assert (file.exists(), (folder / "copy.db").exists()) == (True, True)
        assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(tmp_path.iterdir()) == [file]
    os.close(descriptor)


@pytest.mark.parametrize("name", [".orwatch-part-notes", ".orwatch-part-", "orwatch-copy-2026", "orwatch"])
def test_files_of_other_names_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert (tmp_path / name).exists()


def test_what_a_link_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "orwatch-copy-abcdefgh").symlink_to(tmp_path / "mine")
    remove_leftovers(tmp_path)
    assert (tmp_path / "mine").exists()


def test_what_another_user_left_stays(
    tmp_path: Path, left: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == left


def test_a_folder_that_is_not_there_has_nothing_in_it(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "none")


def test_where_nothing_can_be_locked_everything_stays(
    tmp_path: Path, left: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    descriptor, file = new_file(tmp_path)
    os.close(descriptor)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*left, file])


def test_a_new_file_and_a_new_folder_that_were_taken_for_leftovers_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program looked between their making and their lock."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    is_claimed = leftovers._is_claimed
    taken: list[Path] = []

    def take_first(descriptor: int, path: Path) -> bool:
        if len(taken) % 2 == 0:
            path.unlink() if path.is_file() else path.rmdir()
        taken.append(path)
        return is_claimed(descriptor, path)

    monkeypatch.setattr(leftovers, "_is_claimed", take_first)
    descriptor, file = new_file(tmp_path)
    with temporary_folder() as folder:
        assert (file.exists(), folder.exists(), len(taken)) == (True, True, 4)
    os.close(descriptor)
