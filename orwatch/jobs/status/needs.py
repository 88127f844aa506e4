"""Why a job or a key needs a person, in words: for status."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from orwatch.domain.keys import InactiveReason, StoredKey
from orwatch.domain.runs import Job, JobRun, RunStatus
from orwatch.jobs.cron.summary import why_ahead
from orwatch.jobs.key.problems import REFUSED, KeyProblem, problem_of


def job_need(job: Job, last_run: JobRun | None, why_missed: str | None, now: datetime) -> str | None:
    """Why a job needs a person; ``last_run`` as it ended, ``why_missed`` as ``overdue`` gives it."""
    if why_missed is not None:
        return f"{job} {why_missed}"
    if last_run is None:
        return None
    if (ahead := why_ahead(last_run, now)) is not None:
        return f"the last {job} {ahead}"
    if last_run.status is RunStatus.INTERRUPTED:
        why = f": {last_run.error}" if last_run.error else ""
        return f"the last {job} was interrupted{why}; the next one carries on where it stopped"
    if last_run.status is RunStatus.FAILED:
        return f"the last {job} failed: {last_run.error}"
    return None


def key_need(
    key: StoredKey, now: datetime, *, is_watched: bool, is_unopened: bool = False
) -> KeyProblem | str | None:
    """Why a key needs a person. ``is_unopened``: its secret does not open, while others do."""
    if key.is_listed_disabled:
        return None
    if key.inactive_reason is InactiveReason.INVALID:
        return replace(REFUSED, message=f"invalid: {REFUSED.message}")
    if not is_watched:
        return None
    if is_unopened:
        return (
            "ORWATCH_ENCRYPTION_KEY does not open its secret. List the encryption key that it was stored "
            "with too (newest,older), or remove the key and add it again (usage stays)"
        )
    if key.last_sync_error is not None:
        return f"the last sync: {key.last_sync_error}"
    has_secret = key.secret_encrypted is not None
    return problem_of(key.facts, now, has_secret=has_secret, read_at=key.facts_read_at)
