"""Debian's packages, unpacked into a folder of their own: nothing is installed."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import pytest

DEADLINE_SECONDS = 120


class UnavailableError(Exception):
    """Why there is nothing to test with. ``is_final``: no set-up of this machine would help."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


def skip(what: str, error: UnavailableError) -> NoReturn:
    """Skip a test for want of something; in CI, where nothing may go untested unseen, it fails."""
    if "CI" in os.environ and not error.is_final:
        pytest.fail(f"no {what} in CI: {error}")
    pytest.skip(f"no {what}: {error}")


def only(paths: Iterable[Path]) -> Path:
    """The path of which there has to be one."""
    found = list(paths)
    assert len(found) == 1, found
    return found[0]


def run(*command: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of the machine's. Raises ``UnavailableError`` where there is none, or it does not end."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(str(error)) from None


def once(folder: Path, make: Callable[[], None]) -> None:
    """Fill the folder, once for all of the tests' processes. Raises ``UnavailableError`` to each of them."""
    folder.mkdir(exist_ok=True)
    done, failed = folder / "done", folder / "failed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if failed.exists():
            raise UnavailableError(failed.read_text(encoding="utf-8"))
        if not done.exists():
            try:
                make()
            except UnavailableError as error:
                failed.write_text(str(error), encoding="utf-8")
                raise
            done.touch()


def fetch(target: Path, packages: tuple[str, ...], options: tuple[str, ...] = ()) -> None:
    """Unpack packages by apt, with lists and a cache of its own. Raises ``UnavailableError``."""
    apt = target.with_name(f"{target.name}-apt")
    for path in (target, apt / "state/lists/partial", apt / "cache/archives/partial", apt / "packages"):
        path.mkdir(parents=True)
    own_options = (
        *(f"Dir::State={apt / 'state'}", f"Dir::Cache={apt / 'cache'}", "APT::Sandbox::User=root"),
        *("Acquire::Retries=3", "Acquire::Languages=none"),
    )
    command = ("apt-get", "-q", *(word for option in (*own_options, *options) for word in ("-o", option)))
    # A source that is out of order need not be one that is needed.
    updated = run(*command, "update")
    downloaded = run(*command, "download", *packages, folder=apt / "packages")
    if downloaded.returncode:
        said = f"{updated.stderr}{downloaded.stderr}".strip()
        raise UnavailableError(f"cannot fetch {', '.join(packages)}: {said}")
    for package in sorted((apt / "packages").glob("*.deb")):
        unpacked = run("dpkg-deb", "-x", str(package), str(target))
        if unpacked.returncode:
            raise UnavailableError(f"cannot unpack {package.name}: {unpacked.stderr.strip()}")
