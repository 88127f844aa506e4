"""What all parts of one sync work with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orwatch.clock import Clock
from orwatch.domain.keys import StoredKey
from orwatch.domain.usage import ListedModel
from orwatch.errors import EncryptionKeyError
from orwatch.jobs.sync.progress import ProgressReport
from orwatch.jobs.sync.request import SyncRequest
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus
from orwatch.store.engine.database import Store

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client

# Of the run's time limit; the rest is for what is left to write and to report.
_USABLE_TIME = 0.9

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncSession:
    """One sync: what it was asked for, and what it works with.

    ``client`` is made when it is first called: a sync with nothing to ask needs none. ``open_secrets``
    opens those of the database itself, also where ``store`` is a copy of it.
    ``listed_models``: the public list, once it was read.
    """

    store: Store
    client: Callable[[], Client]
    open_secrets: Callable[[Sequence[StoredKey]], tuple[dict[int, str], dict[int, EncryptionKeyError]]]
    clock: Clock
    request: SyncRequest
    listed_models: list[Sequence[ListedModel]] = field(default_factory=list)
    progress: ProgressReport = field(default_factory=ProgressReport)


def with_share(session: SyncSession, started_at: float, groups: int) -> SyncSession:
    """The session for one account while so many groups of keys, this one among them, are still to be read.

    It asks nothing more once its equal share of what is left of the run's time is over: one account with
    endless lists must not keep the others from being read. ``started_at``: when the run was, monotonic.
    """
    limit = session.request.limit_seconds
    if limit is None:
        return session
    now = session.clock.monotonic()
    seconds = max(0.0, started_at + limit * _USABLE_TIME - now) / groups
    reason = (
        f"the account's share of the run, {seconds / 60:.1f} minutes, is over "
        "(if that goes on, raise ORWATCH_RATE_LIMIT_PER_MINUTE or ORWATCH_JOB_TIMEOUT)"
    )
    return replace(session, client=lambda: session.client().until(now + seconds, reason))


def log_synced(synced: SyncedKey, seconds: float | None = None) -> None:
    """Log what came of a key. ``seconds``: how long its own request took.

    Without a request of its own (there may be hundreds of such keys) it is logged only if something changed.
    """
    extra = {"key": synced.name, "duration_seconds": None if seconds is None else round(seconds, 3)}
    if synced.error is not None:
        log.warning("%s", synced.error, extra=extra)
    for note in synced.notes:
        log.info("%s", note, extra=extra)
    has_changed = synced.rows_written or synced.rows_removed
    if synced.status is not SyncKeyStatus.FAILED and (seconds is not None or has_changed):
        log.info(
            "%d rows written, %d unchanged, %d removed, %d rejected",
            synced.rows_written,
            synced.rows_unchanged,
            synced.rows_removed,
            synced.rows_rejected,
            extra=extra,
        )
