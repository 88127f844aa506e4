"""Another date and time for programs: by libfaketime, unpacked from its package."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.end_to_end.packages import fetch, once, only

PYTHON = {"PYTHONPATH": str(Path(__file__).with_name("faked"))}


@dataclass(frozen=True, slots=True)
class FakedClock:
    """A clock that goes as the real one does, from another moment on."""

    library: Path

    def at(self, now: datetime) -> dict[str, str]:
        """Variables that make it ``now`` for every program: by an offset, so that all of them agree.

        For Python's own sleep, there is PYTHON as well.
        """
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME": f"{round((now - _real_now()).total_seconds()):+}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Python would find its compiled modules out of date, and write them anew.
            "NO_FAKE_STAT": "1",
        }


def inherited() -> dict[str, str]:
    """The variables by which this process has a faked clock, for programs that shall have it, too."""
    if "FAKETIME" not in os.environ:
        return {}
    names = (*PYTHON, "LD_PRELOAD", "FAKETIME", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT")
    return {name: os.environ[name] for name in names if name in os.environ}


def unpack_libfaketime(folder: Path) -> FakedClock:
    """Fetched once for all of the tests' processes. Raises ``UnavailableError``."""
    files = folder / "files"
    once(folder, lambda: fetch(files, ("libfaketime",)))
    return FakedClock(only(files.glob("usr/lib/*/faketime/libfaketimeMT.so.1")))


def _real_now() -> datetime:
    """The machine's time, even where this process has a faked one itself."""
    told = subprocess.run(["date", "+%s"], env={"PATH": os.defpath}, capture_output=True, check=True)
    return datetime.fromtimestamp(int(told.stdout), UTC)
