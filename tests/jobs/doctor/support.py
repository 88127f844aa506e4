"""What doctor's tests share: the surroundings of a machine in order, and checks in a few words."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx

from orwatch.jobs.cron.result import CronPlace, CronSchedule, CronShowResult, ScheduleState
from orwatch.jobs.doctor.result import Check, CheckStatus
from orwatch.store.engine.database import Store
from tests.store.support import path_of
from tests.support import NOW

INSTALLED = CronSchedule(CronPlace.USER_CRONTAB, "the crontab of me", ScheduleState.INSTALLED)
GOOD_SCHEDULE = CronShowResult(NOW, (INSTALLED,))
GIGABYTE = 1_000_000_000


def much_room(_folder: Path) -> int:
    """A disk with room."""
    return GIGABYTE


def environ_of(store: Store, folder: Path, encryption_key: str, **more: str) -> dict[str, str]:
    """The environment of a user whose env file names this database, readable for nobody else."""
    env_file = folder / "settings" / ".env"
    env_file.parent.mkdir(mode=0o700, exist_ok=True)
    env_file.touch(mode=0o600)
    env_file.write_text(
        f"ORWATCH_DATABASE_URL=sqlite:///{path_of(store)}\nORWATCH_ENCRYPTION_KEY={encryption_key}\n",
        encoding="utf-8",
    )
    path_of(store).chmod(0o600)
    return {"HOME": str(folder), "ORWATCH_ENV_FILE": str(env_file), **more}


def dated(data: dict[str, Any], moment: object = NOW) -> httpx.Response:
    """An answer with the time of the server."""
    return httpx.Response(200, json={"data": data}, headers={"Date": format_datetime(moment, usegmt=True)})  # type: ignore[arg-type]


def findings(checks: Iterable[Check]) -> list[tuple[str, str]]:
    """Subject and message of what was found; each with advice."""
    found = [check for check in checks if check.status is CheckStatus.FINDING]
    assert all(check.advice for check in found)
    return [(check.subject, check.message) for check in found]


def told(checks: Iterable[Check]) -> list[tuple[str, str, str]]:
    """Subject, status and message of each."""
    return [(check.subject, check.status.value, check.message) for check in checks]
