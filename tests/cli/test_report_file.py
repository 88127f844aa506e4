"""``report --output``: which files it replaces, how, and which ones never."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from tests.cli.support import Home, Orwatch

FORMS = ("csv", "json", "svg", "txt")
OWN = ("env file", "database", "log file", "database's log", "lock file")


@pytest.fixture(autouse=True)
def a_key(home: Home) -> None:
    home.set_up("ci")


@pytest.fixture
def old(orwatch: Orwatch, tmp_path: Path) -> Path:
    """A report of the day before."""
    file = tmp_path / "usage.csv"
    assert orwatch("report", "--until", "yesterday", "--output", str(file)).code == 0
    return file


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("ending", FORMS)
def test_an_older_report_of_its_kind_is_replaced_and_keeps_its_mode(
    orwatch: Orwatch, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"usage.{ending}"
    assert orwatch("report", "--until", "yesterday", "--output", str(file)).code == 0
    before = file.read_bytes()
    file.chmod(0o640)
    assert orwatch("report", "--output", str(file)) == (0, "", "")
    assert file.read_bytes() != before
    assert mode(file) == 0o640


@pytest.mark.parametrize("ending", FORMS)
def test_a_report_of_another_kind_is_replaced_only_with_force(
    orwatch: Orwatch, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / "usage"
    other = FORMS[FORMS.index(ending) - 1]
    assert orwatch("report", "--output", str(tmp_path / f"usage.{other}")).code == 0
    (tmp_path / f"usage.{other}").rename(file.with_suffix(f".{ending}"))
    file = file.with_suffix(f".{ending}")
    before = file.read_bytes()
    form = "text" if ending == "txt" else ending
    assert orwatch("report", "--output", str(file)) == (
        2,
        "",
        f"orwatch: {str(file)!r} is there and is no report of the form {form}. "
        "Name another file, or replace it with --force.\n",
    )
    assert file.read_bytes() == before
    assert orwatch("report", "--output", str(file), "--force") == (0, "", "")
    assert file.read_bytes() != before


@pytest.mark.parametrize("content", [b"day,cost\n1,2\n", b"dear", b"\xff\x00", b'{"schema_version": 1}'])
def test_what_is_no_report_is_not_replaced(orwatch: Orwatch, tmp_path: Path, content: bytes) -> None:
    for ending in FORMS:
        file = tmp_path / f"mine.{ending}"
        file.write_bytes(content)
        assert orwatch("report", "--output", str(file)).code == 2
        assert file.read_bytes() == content


def test_an_empty_file_is_filled(orwatch: Orwatch, tmp_path: Path) -> None:
    (tmp_path / "usage.csv").touch()
    assert orwatch("report", "--output", str(tmp_path / "usage.csv")) == (0, "", "")
    assert (tmp_path / "usage.csv").stat().st_size


@pytest.fixture(params=OWN)
def own(request: pytest.FixtureRequest, home: Home) -> Path:
    """A file that orwatch lives by; the last two need not be there."""
    log = home.folder / "orwatch.log"
    home.write_settings(ORWATCH_LOG_FILE=str(log))
    log.write_text("a line\n")
    places = (
        home.env_file,
        home.database,
        log,
        home.database.with_name("orwatch.db-wal"),
        home.database.with_name("orwatch.db.sync.lock"),
    )
    return places[OWN.index(request.param)]


@pytest.mark.parametrize("command", [("report", "--csv", "--output"), ("db", "backup")])
@pytest.mark.parametrize("by", ["name", "link", "hard link"])
def test_what_orwatch_lives_by_is_not_replaced_even_with_force(
    orwatch: Orwatch, own: Path, tmp_path: Path, command: tuple[str, ...], by: str
) -> None:
    before = own.read_bytes() if own.exists() else None
    named = own
    if by == "link":
        named = tmp_path / "link"
        named.symlink_to(own)
    elif by == "hard link" and before is not None:
        named = tmp_path / "second name"
        named.hardlink_to(own)
    code, out, err = orwatch(*command, str(named), "--force")
    assert (code, out) == (2, "")
    assert "Name another file." in err or "is a link" in err
    assert (own.read_bytes() if own.exists() else None) == before


@pytest.mark.parametrize("which", ["env_file", "database"])
def test_a_log_is_never_written_into_what_orwatch_lives_by(orwatch: Orwatch, home: Home, which: str) -> None:
    file: Path = getattr(home, which)
    home.write_settings(ORWATCH_LOG_FILE=str(file))
    before = file.read_bytes()
    code, _, err = orwatch("cleanup")
    assert code == 78
    assert f"ORWATCH_LOG_FILE={str(file)!r} is the " in err
    assert file.read_bytes() == before


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_the_older_report_and_nothing_else(
    orwatch: Orwatch, old: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    before = old.read_bytes()
    files = sorted(old.parent.iterdir())

    def fail(*_arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "fsync", fail)
    assert orwatch("report", "--output", str(old)) == (
        75,
        "",
        f"orwatch: cannot write {str(old)!r}: {os.strerror(error)}.\n",
    )
    assert old.read_bytes() == before
    assert sorted(old.parent.iterdir()) == files


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_only_a_regular_file_is_replaced(orwatch: Orwatch, tmp_path: Path, old: Path, kind: str) -> None:
    file = tmp_path / "place"
    if kind == "link":
        file.symlink_to(old)
    else:
        os.mkfifo(file)
    before = old.read_bytes()
    for force in ((), ("--force",)):
        assert orwatch("report", "--csv", "--output", str(file), *force) == (
            2,
            "",
            f"orwatch: cannot write {str(file)!r}: it is a link, a device or the like, "
            "and no regular file.\n",
        )
    assert (old.read_bytes(), file.is_symlink(), file.is_file()) == (before, kind == "link", kind == "link")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_report_is_its_owners_alone_to_write(orwatch: Orwatch, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert orwatch("report", "--output", str(tmp_path / "usage.csv")).code == 0
    finally:
        os.umask(before)
    assert mode(tmp_path / "usage.csv") == 0o644 & ~umask


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_a_dash_is_standard_output(orwatch: Orwatch, tmp_path: Path, form: str) -> None:
    assert orwatch("report", form, "--output", "-") == orwatch("report", form)
    code, out, err = orwatch("report", "--output", "-")
    assert (code, err) == (0, "")
    assert out.startswith("2026-10-22 to 2026-11-20 · 30 days (UTC)\n")
    assert not (tmp_path / "-").exists()
