"""Writing the encryption key into the env file: whole or not at all, for its owner's eyes only."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orwatch.config.env_file import create_env_file, env_file_lock, write_encryption_keys
from orwatch.config.settings import examine_settings
from orwatch.errors import SettingsError
from orwatch.files import make_private_folder
from tests.support import root_only

KEY, OTHER_KEY = "A" * 43 + "=", "B" * 43 + "="
OTHER_LINES = (
    "# mine, \"quoted\" – ünïcode\n\nORWATCH_SYNC_DAYS='30'  # kept\nexport OTHER=$HOME\nno setting at all\n"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def read_keys(env_file: Path) -> tuple[str, ...]:
    return examine_settings({}, str(env_file))[0].encryption_keys


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The worst case: what is not denied expressly, everybody may do."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_new_file_and_its_folders_are_the_owner_s_alone(tmp_path: Path) -> None:
    env_file = tmp_path / "new" / "orwatch" / ".env"
    write_encryption_keys(env_file, (KEY,))
    assert env_file.read_text() == f"ORWATCH_ENCRYPTION_KEY={KEY}\n"
    assert mode(env_file) == 0o600
    assert mode(env_file.parent) == mode(env_file.parent.parent) == 0o700
    assert read_keys(env_file) == (KEY,)


def test_several_keys_are_read_back_in_their_order(tmp_path: Path) -> None:
    write_encryption_keys(tmp_path / "env", (OTHER_KEY, KEY))
    assert read_keys(tmp_path / "env") == (OTHER_KEY, KEY)


@pytest.mark.parametrize("end", ["\n", ""], ids=["with a line end", "without a last line end"])
def test_every_other_line_stays_as_it_is(tmp_path: Path, end: str) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(OTHER_LINES + f"LAST=1{end}")
    write_encryption_keys(env_file, (KEY,))
    assert mode(env_file) == 0o600
    assert env_file.read_text() == f"{OTHER_LINES}LAST=1\nORWATCH_ENCRYPTION_KEY={KEY}\n"


@pytest.mark.parametrize("old", ["ORWATCH_ENCRYPTION_KEY=", f"export ORWATCH_ENCRYPTION_KEY='{OTHER_KEY}'"])
def test_an_older_key_is_replaced_in_its_place(tmp_path: Path, old: str) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(f"FIRST=1\n{old}\n{OTHER_LINES}")
    write_encryption_keys(env_file, (KEY,))
    assert env_file.read_text() == f"FIRST=1\nORWATCH_ENCRYPTION_KEY={KEY}\n{OTHER_LINES}"


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    write_encryption_keys(folder / "env", (KEY,))
    assert mode(folder) == 0o755
    make_private_folder(folder)
    assert mode(folder) == 0o755


def test_the_file_behind_a_link_is_written_and_the_link_stays(tmp_path: Path) -> None:
    real = tmp_path / "real" / "secrets.env"
    real.parent.mkdir()
    real.write_text(OTHER_LINES)
    link = tmp_path / "orwatch" / ".env"
    link.parent.mkdir()
    link.symlink_to(real)
    write_encryption_keys(link, (KEY,))
    assert link.is_symlink()
    assert real.read_text() == f"{OTHER_LINES}ORWATCH_ENCRYPTION_KEY={KEY}\n"
    assert mode(real) == 0o600
    assert read_keys(link) == (KEY,)


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    env_file = tmp_path / "env"
    before = f"{OTHER_LINES}ORWATCH_ENCRYPTION_KEY={OTHER_KEY}\n"
    env_file.write_text(before)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(SettingsError) as raised:
        write_encryption_keys(env_file, (KEY,))
    assert f"cannot write the encryption key to {env_file}: No space left on device" in str(raised.value)
    assert KEY not in str(raised.value)
    assert env_file.read_text() == before


def test_a_folder_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    env_file = tmp_path / "file" / "folder" / ".env"
    with pytest.raises(SettingsError, match=r"cannot write the encryption key to .*--env-file"):
        write_encryption_keys(env_file, (KEY,))
    with pytest.raises(SettingsError, match="cannot use the folder"), env_file_lock(env_file):
        pass


def test_only_one_process_at_a_time_may_write_the_env_file(tmp_path: Path) -> None:
    env_file = tmp_path / "new" / ".env"

    def is_locked() -> bool:
        descriptor = os.open(env_file.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    with env_file_lock(env_file):
        assert mode(env_file.parent) == 0o700
        assert is_locked()
    assert not is_locked()
    with pytest.raises(KeyboardInterrupt), env_file_lock(env_file):
        raise KeyboardInterrupt
    assert not is_locked()


def test_a_file_system_without_locks_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SettingsError) as raised, env_file_lock(tmp_path / "env"):
        pass
    assert str(raised.value) == (
        f"cannot lock the folder {tmp_path}: No locks available. "
        "Its file system has no locks: move the env file to a local disk."
    )


def test_every_other_byte_of_the_file_stays_as_it_is(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    lines = "# mine\r\n\n\nORWATCH_SYNC_DAYS=3  # note\n\n{}\n\n# ORWATCH_ENCRYPTION_KEY=old\nNAME='a b'\n"
    env_file.write_bytes(lines.format(f"export ORWATCH_ENCRYPTION_KEY='{OTHER_KEY}'").encode())
    write_encryption_keys(env_file, (KEY,))
    assert env_file.read_bytes() == lines.format(f"ORWATCH_ENCRYPTION_KEY={KEY}").encode()


@pytest.mark.parametrize(
    ("before", "after"), [(0o640, 0o640), (0o600, 0o600), (0o400, 0o400), (0o644, 0o600), (0o660, 0o600)]
)
def test_a_mode_that_gives_others_nothing_stays(tmp_path: Path, before: int, after: int) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("")
    env_file.chmod(before)
    write_encryption_keys(env_file, (KEY,))
    assert mode(env_file) == after


@root_only
def test_an_env_file_that_root_writes_stays_its_owners(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("")
    os.chown(env_file, 1234, 2345)
    write_encryption_keys(env_file, (KEY,))
    assert (env_file.stat().st_uid, env_file.stat().st_gid) == (1234, 2345)


def test_a_device_or_a_pipe_is_never_turned_into_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for place in (pipe, link):
        with pytest.raises(SettingsError, match="it is a link, a device or the like, and no regular file"):
            write_encryption_keys(place, (KEY,))
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [link, pipe]


def test_an_env_file_is_not_created_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match=r"cannot create the env file .* it is a link"):
        create_env_file(link)
    assert list(tmp_path.iterdir()) == [link]
