"""When the models in use are to be retired, from the public list of models; for whatever key."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orwatch.domain.usage import ListedModel
from orwatch.errors import ApiError, StoreUnavailableError
from orwatch.jobs.sync.result import SyncKeyStatus, SyncResult
from orwatch.jobs.sync.session import SyncSession
from orwatch.openrouter.account import NO_SECRET, fetch_models
from orwatch.store.ledger import model_names

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client

log = logging.getLogger(__name__)


def note_retirements(session: SyncSession, result: SyncResult) -> None:
    """Read the list once a day, if models are in use, and note which of these are to be retired.

    A failure is logged and no part of the sync: a passing one is tried again by the next sync, any other
    tomorrow. Raises ``StoreUnusableError``.
    """
    is_answered = any(key.status is not SyncKeyStatus.FAILED for key in result.keys)
    if not is_answered or session.request.key_names or session.request.is_dry_run:
        return
    now = session.clock.now()
    try:
        if not session.listed_models:
            with session.store.read() as connection:
                is_due = model_names.is_list_due(connection, now)
            if not is_due:
                return
            session.listed_models.append(_fetch(session.client()))
        listed = session.listed_models[-1]
        session.store.run_write(lambda connection: model_names.record_retirements(connection, listed, now))
    except (ApiError, StoreUnavailableError) as error:
        log.info("the list of models: %s", error)


def _fetch(client: Client) -> Sequence[ListedModel]:
    """The list; empty where the server has none to give. Raises ``ApiError`` for what passes."""
    try:
        return fetch_models(client, NO_SECRET).models
    except ApiError as error:
        if error.is_passing:
            raise
        log.info("the list of models: %s", error)
        return ()
