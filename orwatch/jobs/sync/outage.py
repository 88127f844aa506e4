"""Keys that the API did not answer: recorded at the end of a sync, as one trouble where it is one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TypeAlias

from orwatch.domain.keys import StoredKey
from orwatch.errors import ApiError, StoreUnavailableError
from orwatch.jobs.runs.outage import common_outage
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus, merge_by_name
from orwatch.jobs.sync.session import log_synced
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import table as stored_keys

# What came of each key that was asked, by its id; a management key's is that of its account.
Done: TypeAlias = dict[int, tuple[SyncedKey, ...]]

log = logging.getLogger(__name__)


def unanswered(key: StoredKey, since: date, error: ApiError) -> SyncedKey:
    """A key that was not read for an outage; ``conclude_outage`` records it."""
    return SyncedKey(
        key.name,
        SyncKeyStatus.FAILED,
        since,
        error=str(error),
        is_passing=error.is_passing,
        outage=error.outage,
    )


def conclude_outage(store: Store, keys: Sequence[StoredKey], done: Done) -> None:
    """Record which keys the API did not answer, and change ``done``: what they have in common is their error.

    What concerns too few of the keys to be the API's trouble is logged with their names.
    """
    merged = merge_by_name(synced for group in done.values() for synced in group)
    failed = {synced.name: synced for synced in merged if synced.outage is not None}
    common = common_outage(merged)
    if common is not None:
        failed = {name: replace(synced, error=common.sentence) for name, synced in failed.items()}
        for key_id, group in done.items():
            done[key_id] = tuple(failed.get(synced.name, synced) for synced in group)
    else:
        for synced in failed.values():
            log_synced(synced)
    ids = {key.name: key.current_id for key in keys}

    def record(connection: Connection) -> None:
        for name, synced in failed.items():
            stored_keys.record_sync_failure(connection, ids[name], synced.error or "")

    try:
        if failed:
            store.run_write(record)
    except StoreUnavailableError as trouble:
        log.warning("%s", trouble)
