"""The installed program looks after its database."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.databases import content
from tests.end_to_end.support import DEADLINE_SECONDS, Machine


def test_a_copy_that_is_killed_or_stopped_is_made_anew_and_then_used(synced: Machine, tmp_path: Path) -> None:
    target = tmp_path / "moved" / "orwatch.db"
    url = f"sqlite:///{target}"
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = synced.start("db", "copy", "--to", url)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not target.exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(0.1)
        process.send_signal(number)
        process.communicate(timeout=DEADLINE_SECONDS)
    finished = synced.run("db", "copy", "--to", url)
    assert finished.code == 0 or "holds data already" in finished.stderr
    assert content(url) == content(f"sqlite:///{synced.database}")

    before, after = (
        synced.run("report", "--json", "--by", "key", ORWATCH_DATABASE_URL=each) for each in (None, url)
    )
    assert (after.code, after.stderr) == (0, "")
    assert after.json["rows"] == before.json["rows"] != []
    assert synced.run("sync", "--days", "2", ORWATCH_DATABASE_URL=url).code == 0
    assert synced.run("db", "check", ORWATCH_DATABASE_URL=url).code == 0


def test_a_backup_is_put_in_the_place_of_a_database_that_is_lost(synced: Machine, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    held = content(f"sqlite:///{synced.database}")
    assert synced.run("db", "backup", backup).code == 0
    for file in synced.data_folder.iterdir():
        file.unlink()
    assert synced.run("db", "info").code == 78

    backup.rename(synced.database)

    assert content(f"sqlite:///{synced.database}") == held
    assert synced.run("db", "check").code == 0
    assert synced.run("sync", "--days", "2").code == 0
