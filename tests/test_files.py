"""Files that are exchanged in one step."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from orwatch.files import make_private_folder, open_file, replace_file
from tests.support import root_only


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_before_it_has_its_name(
    file: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    modes = []
    replace = os.replace

    def spy(source: Path, target: Path) -> None:
        modes.append(stat.S_IMODE(Path(source).stat().st_mode))
        replace(source, target)

    monkeypatch.setattr(os, "replace", spy)
    replace_file(file, b"after", mode)
    assert (modes, file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == ([mode], b"after", mode)


@pytest.mark.parametrize("step", ["replace", "fsync", "fchmod"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    file: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space"):
        replace_file(file, b"after")
    assert (file.read_text(), list(file.parent.iterdir())) == ("before", [file])


def test_what_is_written_reaches_the_disk_and_so_does_its_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    replace_file(file, b"after")
    assert synced == [file.stat().st_ino, file.parent.stat().st_ino]


@root_only
def test_a_file_keeps_its_owner_and_its_group(file: Path) -> None:
    os.chown(file, 1234, 2345)
    replace_file(file, b"after", 0o640)
    found = file.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o640)


def test_another_users_file_is_not_taken_away(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    status = os.fstat

    def as_another(descriptor: int) -> os.stat_result:
        found = list(status(descriptor))
        found[stat.ST_UID] += 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", as_another)
    monkeypatch.setattr(os, "fchown", fail)
    with pytest.raises(PermissionError):
        replace_file(file, b"after")
    assert (file.read_text(), list(file.parent.iterdir())) == ("before", [file])


def test_a_group_that_cannot_be_kept_hands_its_rights_to_no_other_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    status = os.fstat

    def in_another_group(descriptor: int) -> os.stat_result:
        found = list(status(descriptor))
        found[stat.ST_GID] += 1
        return os.stat_result(found)

    monkeypatch.setattr(os, "fstat", in_another_group)
    monkeypatch.setattr(os, "fchown", fail)
    replace_file(file, b"after", 0o664)
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("after", 0o604)


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_only_a_regular_file_is_exchanged(tmp_path: Path, file: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(file if kind == "link" else "nothing")
    before = place.lstat()
    with pytest.raises(OSError, match="no regular file"):
        replace_file(place, b"after")
    assert (file.read_text(), place.lstat().st_ino) == ("before", before.st_ino)
    assert sorted(tmp_path.iterdir()) == [file, place]


def test_a_file_that_is_made_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(
    tmp_path: Path, file: Path
) -> None:
    umask = os.umask(0)
    try:
        for path in (tmp_path / "new", file):
            os.close(open_file(path, os.O_RDWR))
        make_private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(umask)
    made = (tmp_path / "new", tmp_path / "a", tmp_path / "a" / "b")
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o600, 0o700, 0o700]
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("before", 0o644)


@root_only
def test_a_file_that_root_makes_belongs_to_the_owner_of_what_it_is_for(tmp_path: Path, file: Path) -> None:
    os.chown(file, 1234, 2345)
    os.close(open_file(tmp_path / "lock", os.O_RDWR, owner_of=file))
    os.close(open_file(tmp_path / "other", os.O_RDWR))
    found = (tmp_path / "lock").stat()
    assert (found.st_uid, found.st_gid) == (1234, 2345)
    assert (tmp_path / "other").stat().st_uid == os.geteuid()


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "device"])
def test_nothing_is_opened_or_made_through_a_link_and_no_device(
    tmp_path: Path, file: Path, kind: str
) -> None:
    place = tmp_path / "place"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place = Path(os.devnull)
    else:
        place.symlink_to(file if kind == "link" else tmp_path / "nothing")
    with pytest.raises(OSError, match="no regular file"):
        open_file(place, os.O_RDWR)
    assert file.read_text() == "before"
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_another_process_makes_first_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    system_open = os.open

    def slower(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            place.write_text("theirs")
        return system_open(path, flags, mode)

    monkeypatch.setattr(os, "open", slower)
    descriptor = open_file(place, os.O_RDWR)
    try:
        assert os.read(descriptor, 10) == b"theirs"
    finally:
        os.close(descriptor)
