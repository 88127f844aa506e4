"""Files that are exchanged in one step."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from orwatch.files import replace_file


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
