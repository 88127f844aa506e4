"""Real cron daemons, unpacked from their packages, with a clock, a spool and an /etc of their own."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.end_to_end.packages import UnavailableError, fetch, once, only, run
from tests.end_to_end.support import DEADLINE_SECONDS

PROJECT = Path(__file__).parents[2]
DAEMONS = ("cron", "cronie", "busybox")
# Long enough for a daemon to start on a busy machine: one that starts after its minute waits for the next.
LEAD = timedelta(seconds=8)
# The first release that has cronie, and a busybox with both crond and a clock that can be faked.
_NEWER_RELEASE = "trixie"
_OWN_PACKAGES = ("cron", "libfaketime")
_NEWER_PACKAGES = (
    *("cronie", "busybox", "libc6", "libpam0g", "libselinux1"),
    *("libaudit1", "libpcre2-8-0", "libcap-ng0"),
)
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

# What the machine has is covered within the daemon's own mount namespace, not changed. The account's home is
# /, as in many containers, so that the jobs' folder is /.
_ENCLOSURE = """
set -e
mount -t tmpfs -o mode=755 none /var/spool
mount -t tmpfs -o mode=755 none /run
[ ! -d /dev/shm ] || mount -t tmpfs -o mode=1777 none /dev/shm
mkdir -p /var/spool/cron/crontabs
cp {folder}/crontab /var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
[ ! -d /etc/cron.d ] || mount -t tmpfs none /etc/cron.d
[ ! -e /etc/crontab ] || mount --bind /dev/null /etc/crontab
mount --bind {folder}/passwd /etc/passwd
[ ! -d /etc/pam.d ] || mount --bind {folder}/pam.d /etc/pam.d
exec env -i {command}
"""
_SERVER = """
import sys
from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import FakeServer
from tests.end_to_end.support import make_keys
with FakeServer(FakeOpenRouter(make_keys()).answer) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The packages' files: those of this machine's own release, and of a newer one with its own libc."""

    folder: Path

    @property
    def own(self) -> Path:
        return self.folder / "own"

    @property
    def newer(self) -> Path:
        return self.folder / "newer"

    def command(self, daemon: str) -> tuple[str, ...]:
        """What starts a daemon in the foreground."""
        if daemon == "cron":
            return (str(self.own / "usr/sbin/cron"), "-f")
        loader = only(self.newer.glob("usr/lib/*/ld-linux*.so.*"))
        program, *arguments = {
            "cronie": (self.newer / "usr/sbin/crond", "-n"),
            "busybox": (self.newer / "usr/bin/busybox", "crond", "-f", "-c", "/var/spool/cron/crontabs"),
        }[daemon]
        return (str(loader), "--library-path", str(loader.parent), str(program), *map(str, arguments))

    def clock_at(self, now: datetime) -> dict[str, str]:
        """Variables that make it ``now`` for every program: by an offset, so that all of them agree."""
        return {
            "LD_PRELOAD": str(only(self.own.glob("usr/lib/*/faketime/libfaketimeMT.so.1"))),
            "FAKETIME": f"{round((now - datetime.now(UTC)).total_seconds()):+}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Python would find its compiled modules out of date, and write them anew.
            "NO_FAKE_STAT": "1",
        }


def unpack(folder: Path) -> Unpacked:
    """The daemons, fetched once for all of the tests' processes. Raises ``UnavailableError``."""
    _check_machine()
    unpacked = Unpacked(folder)

    def make() -> None:
        fetch(unpacked.own, _OWN_PACKAGES)
        fetch(unpacked.newer, _NEWER_PACKAGES, _newer_sources(folder / "sources"))

    once(folder, make)
    return unpacked


def _check_machine() -> None:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if release.get("ID") != "debian":
        raise UnavailableError("the daemons are taken from Debian's packages, on Debian", is_final=True)
    if os.geteuid() != 0:
        raise UnavailableError("cron daemons need root")
    tried = run(*_UNSHARE, "mount", "-t", "tmpfs", "none", "/var/spool")
    if tried.returncode:
        raise UnavailableError(f"no namespaces of our own here: {tried.stderr.strip()}")


def _newer_sources(folder: Path) -> tuple[str, ...]:
    """apt's options for the newer release, from wherever this machine takes its own."""
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    suite = re.compile(rf"(?<![\w-]){re.escape(codename)}\b") if codename else re.compile("(?!)")
    folder.mkdir()
    etc = Path("/etc/apt")
    lists = (path for pattern in ("*.list", "*.sources") for path in etc.glob(f"sources.list.d/{pattern}"))
    for path in (etc / "sources.list", *lists):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        if suite.search(text):
            name = path.name if path.parent != etc else "main.list"
            (folder / name).write_text(suite.sub(_NEWER_RELEASE, text), encoding="utf-8")
    return ("Dir::Etc::SourceList=/dev/null", f"Dir::Etc::SourceParts={folder}")


@contextmanager
def serve_under(clock: Mapping[str, str]) -> Iterator[str]:
    """The demo server in a process of its own, under that clock; its address."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], **clock},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            # Not killed: libfaketime clears up what it has in shared memory.
            process.stdin.close()
            process.wait(DEADLINE_SECONDS)


class RunningDaemon:
    """A daemon with one crontab, that of root."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def wait_for_jobs(self, last: Path) -> None:
        """Until the file is there, which the crontab's slowest entry writes, and no job is left running."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not last.exists() or len(_descendants(self._process.pid)) > 1:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            assert self._process.poll() is None, f"the daemon has ended: {said}"
            assert time.monotonic() < deadline, f"the jobs did not run, or do not end: {said}"
            time.sleep(0.05)


@contextmanager
def run_daemon(
    unpacked: Unpacked, daemon: str, folder: Path, crontab: str, now: datetime, zone: str
) -> Iterator[RunningDaemon]:
    """Start a daemon at ``now`` in a time zone; at the end it is gone, and so are its jobs."""
    clock = unpacked.clock_at(now)
    # The jobs of cron and cronie get the crontab's variables, those of busybox the daemon's.
    lines = "" if daemon == "busybox" else "".join(f"{name}={value}\n" for name, value in clock.items())
    folder.mkdir()
    (folder / "crontab").write_text(lines + crontab, encoding="utf-8")
    passwd = Path("/etc/passwd").read_text(encoding="utf-8")
    (folder / "passwd").write_text(
        re.sub(r"^(root:(?:[^:\n]*:){4})[^:\n]*", r"\1/", passwd, flags=re.MULTILINE), encoding="utf-8"
    )
    _copy_pam(unpacked, folder / "pam.d")
    environment = {"PATH": "/usr/bin:/bin", "TZ": zone, **clock}
    words = [*(f"{name}={value}" for name, value in environment.items()), *unpacked.command(daemon)]
    script = _ENCLOSURE.format(folder=shlex.quote(str(folder)), command=shlex.join(words))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", script],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield RunningDaemon(process, log)
    finally:
        # The daemon is the first process of its namespace: none outlives it.
        process.kill()
        process.wait(DEADLINE_SECONDS)


def _copy_pam(unpacked: Unpacked, folder: Path) -> None:
    folder.mkdir()
    for source in (Path("/etc"), unpacked.own / "etc", unpacked.newer / "etc"):
        for path in source.glob("pam.d/*"):
            (folder / path.name).write_bytes(path.read_bytes())


def _descendants(pid: int) -> set[int]:
    children: dict[int, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # A zombie has done its work.
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), set()).add(int(path.parent.name))
    found: set[int] = set()
    new = {pid}
    while new:
        new = {child for parent in new for child in children.get(parent, ())} - found
        found |= new
    return found
