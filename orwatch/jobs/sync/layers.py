"""What limits the keys of an account that have a secret of their own: no list tells it."""

from __future__ import annotations

import logging
from datetime import timedelta

from orwatch.domain.keys import KeyFacts, StoredKey, has_own_source
from orwatch.errors import ApiError, EncryptionKeyError
from orwatch.jobs.sync.account_reader import AccountReader
from orwatch.openrouter.sources import fetch_key_facts
from orwatch.store.keys import table as stored_keys

# Of the requests of a minute; the others' turn comes with the next runs.
MAX_KEYS_A_RUN = 20

_ASK_AGAIN_AFTER = timedelta(minutes=30)

log = logging.getLogger(__name__)


def read_layers(reader: AccountReader) -> None:
    """Ask anew what was found to limit a key, and about the account's free requests, oldest reading first.

    Where nothing was ever told of that, by `key add` or validate, nothing is asked.
    """
    due = sorted(
        (key for key in (reader.owner, *reader.members) if _is_due(reader, key)),
        key=lambda key: (key.layers_read_at or reader.now(), key.id),
    )[:MAX_KEYS_A_RUN]
    try:
        secrets, _ = reader.session.open_secrets(due)
    except EncryptionKeyError:
        return  # validate tells of it
    for key in due:
        if key.id not in secrets:
            continue
        try:
            facts = fetch_key_facts(reader.client, secrets[key.id])
        except ApiError as error:
            log.info("what limits it: %s", error, extra={"key": key.name})
            if error.is_passing:
                return
            continue
        _record(reader, key, facts)


def _record(reader: AccountReader, key: StoredKey, facts: KeyFacts) -> None:
    now = reader.now()
    reader.session.store.run_write(
        lambda connection: stored_keys.record_layers(connection, key.id, facts, now)
    )


def _is_due(reader: AccountReader, key: StoredKey) -> bool:
    names = reader.session.request.key_names
    if key.layers_read_at is None or reader.now() - key.layers_read_at < _ASK_AGAIN_AFTER:
        return False
    if key.id == reader.owner.id:
        return key.facts.free_quota is not None and (not names or key.name in names)
    is_usable = key.is_active and key.secret_encrypted is not None and not has_own_source(key)
    is_there = not (key.is_management or key.is_deleted or key.is_listed_disabled or key.is_replaced)
    return is_usable and is_there and bool(key.facts.layers) and (not names or key.name in names)
