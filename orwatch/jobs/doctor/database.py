"""Doctor's look at the database: its file, its schema, the room on its disk, and the secrets in it."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from orwatch.config.database_url import is_postgres
from orwatch.domain.keys import StoredKey
from orwatch.errors import EncryptionKeyError, OrwatchError, StoreUnavailableError
from orwatch.jobs.db.opening import NO_DATABASE_ADVICE
from orwatch.jobs.doctor.result import Check, CheckArea
from orwatch.jobs.doctor.settings import database_mode_checks
from orwatch.jobs.key.secrets import open_what_opens
from orwatch.secrets import Keyring
from orwatch.store.engine.backend import NoDatabaseError
from orwatch.store.engine.database import SchemaBehindError, Store, open_existing
from orwatch.store.ledger import rollups
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import SCHEMA_REVISION
from orwatch.store.upkeep import checks as reads
from orwatch.store.upkeep.checks import FileState
from orwatch.text import first_of

LEAST_FREE_BYTES = 100_000_000

_AREA = CheckArea.DATABASE
_KEY = "encryption key"

_NAMES_SHOWN = 10


def free_bytes(folder: Path) -> int:
    """What is free on the disk that the folder is on. Raises ``OSError``."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class FoundDatabase:
    """The open database, or None where it cannot or must not be opened."""

    store: Store | None
    checks: tuple[Check, ...]


def open_database(url: str, free: Callable[[Path], int] = free_bytes) -> FoundDatabase:
    """Open and check the database. Nothing is created or upgraded."""
    try:
        store = open_existing(url)
    except OrwatchError as error:
        return FoundDatabase(None, (_unopened(error, url),))
    checks = [_AREA.ok("schema", f"{SCHEMA_REVISION}, as this version wants it")]
    try:
        state = reads.read_file_state(store)
        checks += [state_check(store, state), *_surroundings_checks(store, free)]
    except OrwatchError as error:
        store.close()
        return FoundDatabase(None, (_unopened(error, url),))
    if not state.is_readable:
        store.close()
        return FoundDatabase(None, tuple(checks))
    checks.append(totals_check(store))
    return FoundDatabase(store, tuple(checks))


def totals_check(store: Store) -> Check:
    """Whether the totals match the ledger; those of months that cleanup has cut may be more."""
    with store.read() as connection:
        kept_from = ledger.kept_from(connection)
        days = rollups.wrong_days(connection)
        found = rollups.check_months(connection, kept_from)
    months, short, cut = found.wrong, found.short, found.last_cut
    if not days and not months and not short:
        unjudged = f"; {cut:%Y-%m} and before were cut by cleanup and cannot be judged" if cut else ""
        return _AREA.ok("totals", f"daily and monthly totals match the ledger{unjudged}")
    problems, advice = [], []
    if days or months:
        named = first_of([*map(str, sorted(days)), *_names(months)], _NAMES_SHOWN)
        problems.append(f"those of {named} do not match the ledger")
        advice.append("`orwatch db check --repair` corrects them.")
    if short:
        named = first_of(_names(short), _NAMES_SHOWN)
        problems.append(
            f"those of {named}, which cleanup has cut, are less than what the ledger still has of them"
        )
        advice.append(f"Restore {named} from a backup: what cleanup removed cannot be added up again.")
    return _AREA.finding(
        "totals", f"{'; '.join(problems)}: something other than orwatch has written to it", " ".join(advice)
    )


def _names(months: Iterable[date]) -> list[str]:
    return [f"{month:%Y-%m}" for month in sorted(months)]


def _unopened(error: OrwatchError, url: str) -> Check:
    if isinstance(error, NoDatabaseError):
        advice = NO_DATABASE_ADVICE
    elif isinstance(error, SchemaBehindError):
        advice = "`orwatch db upgrade` brings it up to date; then run this again."
    elif isinstance(error, StoreUnavailableError) and is_postgres(url):
        advice = "Check the server and the network; then run this again."
    elif isinstance(error, StoreUnavailableError):
        advice = "Run this again when the other process has ended or there is room on the disk."
    else:
        advice = error.advice or "Correct that first: without the database little else can be checked."
    return _AREA.finding("database", error.problem, advice)


def state_check(store: Store, state: FileState) -> Check:
    """What the database itself finds wrong."""
    subject = "server" if store.backend.file is None else "file"
    if not state.problems:
        return _AREA.ok(subject, f"{store.backend.product()} finds it in order")
    advice = "Go back to a backup: `orwatch db restore FILE` (PostgreSQL: pg_restore)."
    return _AREA.finding(subject, "; ".join(state.problems), advice)


def _surroundings_checks(store: Store, free: Callable[[Path], int]) -> list[Check]:
    """Who else may read the database, and whether it has room: of a server only what is seen from here."""
    file = store.backend.file
    if file is not None:
        return [*database_mode_checks(file), _disk_check(file.parent, free)]
    if store.backend.is_unencrypted_remote():
        advice = "Add ?sslmode=require to ORWATCH_DATABASE_URL, and let the server offer TLS."
        return [_AREA.finding("connection", "it goes to another machine and is not encrypted", advice)]
    return [_AREA.ok("connection", "encrypted, or inside this machine")]


def _disk_check(folder: Path, free: Callable[[Path], int]) -> Check:
    try:
        available = free(folder)
    except OSError as error:
        return _AREA.unknown("disk", f"its free space is not known: {error.strerror}")
    room = f"{available // 1_000_000:,} MB are free on the disk of {folder}"
    return (
        _AREA.ok("disk", room) if available >= LEAST_FREE_BYTES else _AREA.finding("disk", room, "Make room.")
    )


@dataclass(frozen=True, slots=True)
class FoundSecrets:
    """The secrets that could be opened, by key id."""

    secrets: dict[int, str] = field(repr=False)
    checks: tuple[Check, ...]


def find_secrets(store: Store, keys: Sequence[StoredKey], keyring: Keyring) -> FoundSecrets:
    """Open every secret, to see whether each can be opened."""
    sealed = [key for key in keys if key.secret_encrypted is not None]
    if not sealed:
        return FoundSecrets({}, (CheckArea.SECRETS.skipped(_KEY, "no secret is stored yet"),))
    try:
        keyring.vault()
    except EncryptionKeyError as error:
        return FoundSecrets({}, (_unopened_secrets(error.problem),))
    opened, unopened = open_what_opens(store, keyring, sealed)
    closed = list(dict.fromkeys(key.name for key in sealed if key.id in unopened))
    if not closed:
        return FoundSecrets(opened, (CheckArea.SECRETS.ok(_KEY, f"it opens every secret ({len(opened):,})"),))
    return FoundSecrets(
        opened, (_unopened_secrets(f"it does not open the secrets of {first_of(closed, _NAMES_SHOWN)}"),)
    )


def check_names(like_secrets: Sequence[str]) -> Iterator[Check]:
    """A finding where secrets are stored as names. ``like_secrets``: these names, as they are shown."""
    if like_secrets:
        yield CheckArea.SECRETS.finding(
            "names",
            "secrets stand unencrypted in the database, as names or labels of "
            f"{first_of(like_secrets, _NAMES_SHOWN)}",
            f"`orwatch key rename {shlex.quote(like_secrets[0])} NAME` gives another name; a name that "
            "OpenRouter has is changed there. Replace these keys at OpenRouter, and delete older backups.",
        )


def _unopened_secrets(message: str) -> Check:
    advice = (
        "Put back the encryption key that they were stored with (several with commas, newest first); "
        "without it, remove those keys and add them again."
    )
    return CheckArea.SECRETS.finding(_KEY, message, advice)
