"""Another date and time for programs: by libfaketime, unpacked from its package."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.end_to_end.packages import fetch, once, only


@dataclass(frozen=True, slots=True)
class FakedClock:
    """A clock that goes as the real one does, from another moment on."""

    library: Path

    def at(self, now: datetime) -> dict[str, str]:
        """Variables that make it ``now`` for every program: by an offset, so that all of them agree."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME": f"{round((now - datetime.now(UTC)).total_seconds()):+}s",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Python would find its compiled modules out of date, and write them anew.
            "NO_FAKE_STAT": "1",
        }


def unpack_libfaketime(folder: Path) -> FakedClock:
    """Fetched once for all of the tests' processes. Raises ``UnavailableError``."""
    files = folder / "files"
    once(folder, lambda: fetch(files, ("libfaketime",)))
    return FakedClock(only(files.glob("usr/lib/*/faketime/libfaketimeMT.so.1")))
