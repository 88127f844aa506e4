"""Doctor's look at the database: its file, its schema, the room on its disk, and the secrets in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from orwatch.config.database_url import is_postgres
from orwatch.domain.keys import StoredKey
from orwatch.errors import EncryptionKeyError, OrwatchError, StoreUnavailableError
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus
from orwatch.jobs.doctor.settings import database_mode_checks
from orwatch.secrets import Vault
from orwatch.store.engine.backend import NoDatabaseError
from orwatch.store.engine.database import SchemaBehindError, Store, open_existing
from orwatch.store.ledger import rollups
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import SCHEMA_REVISION
from orwatch.store.upkeep import checks as reads
from orwatch.store.upkeep.checks import FileState

LEAST_FREE_BYTES = 100_000_000

_NAMES_TOLD = 10


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
    checks = [_check("schema", f"{SCHEMA_REVISION}, as this version wants it")]
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
    """Whether the totals are what the ledger adds up to, and those of months that cleanup has cut no less."""
    with store.read() as connection:
        kept_from = ledger.kept_from(connection)
        days = rollups.wrong_days(connection)
        found = rollups.check_months(connection, kept_from)
    months, short, cut = found.wrong, found.short, found.last_cut
    if not days and not months and not short:
        unjudged = f"; {cut:%Y-%m} and before were cut by cleanup and cannot be judged" if cut else ""
        return _check("totals", f"those by day and by month are what the ledger adds up to{unjudged}")
    problems, advice = [], []
    if days or months:
        told = _list([*map(str, sorted(days)), *_names(months)])
        problems.append(f"those of {told} are not what the ledger adds up to")
        advice.append("`orwatch db check --repair` adds them up anew.")
    if short:
        told = _list(_names(short))
        problems.append(
            f"those of {told}, which cleanup has cut, are less than what the ledger keeps of them"
        )
        advice.append(f"Restore {told} from a backup: what cleanup removed cannot be added up anew.")
    return _check("totals", f"{'; '.join(problems)}: somebody else has written to it", " ".join(advice))


def _names(months: Iterable[date]) -> list[str]:
    return [f"{month:%Y-%m}" for month in sorted(months)]


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return f"{', '.join(names[:_NAMES_TOLD])}{more}"


def _unopened(error: OrwatchError, url: str) -> Check:
    if isinstance(error, NoDatabaseError):
        advice = "`orwatch init` creates it; or correct ORWATCH_DATABASE_URL."
    elif isinstance(error, SchemaBehindError):
        advice = "`orwatch db upgrade` brings it up to date; then run this again."
    elif isinstance(error, StoreUnavailableError) and is_postgres(url):
        advice = "See to the server and to the way there; then run this again."
    elif isinstance(error, StoreUnavailableError):
        advice = "Run this again when the other process has ended or there is room on the disk."
    else:
        advice = "See to that first: without the database little else can be checked."
    return _check("database", str(error), advice)


def state_check(store: Store, state: FileState) -> Check:
    """What the database itself finds wrong."""
    subject = "server" if store.backend.file is None else "file"
    if not state.problems:
        return _check(subject, f"{store.backend.product()} finds it in order")
    advice = f"Stop the jobs, keep a copy of {store.location}, and restore it from a backup."
    return _check(subject, "; ".join(state.problems), advice)


def _surroundings_checks(store: Store, free: Callable[[Path], int]) -> list[Check]:
    """Who else may read the database, and whether it has room: of a server only what is seen from here."""
    file = store.backend.file
    if file is not None:
        return [*database_mode_checks(file), _disk_check(file.parent, free)]
    if store.backend.is_unencrypted_remote():
        advice = "Add ?sslmode=require to ORWATCH_DATABASE_URL, and let the server offer TLS."
        return [_check("connection", "it goes to another machine and is not encrypted", advice)]
    return [_check("connection", "nobody on the way can read it")]


def _disk_check(folder: Path, free: Callable[[Path], int]) -> Check:
    try:
        available = free(folder)
    except OSError as error:
        return Check(CheckArea.DATABASE, "disk", CheckStatus.UNKNOWN, f"cannot be asked: {error.strerror}")
    room = f"{available // 1_000_000:,} MB are free on the disk of {folder}"
    return _check("disk", room, "Make room." if available < LEAST_FREE_BYTES else None)


def _check(subject: str, message: str, advice: str | None = None) -> Check:
    """A finding where there is something to do about it."""
    status = CheckStatus.FINDING if advice else CheckStatus.OK
    return Check(CheckArea.DATABASE, subject, status, message, advice)


@dataclass(frozen=True, slots=True)
class FoundSecrets:
    """The secrets that could be opened, by key id."""

    secrets: dict[int, str] = field(repr=False)
    checks: tuple[Check, ...]


def open_secrets(keys: Sequence[StoredKey], encryption_keys: Sequence[str]) -> FoundSecrets:
    """Open every secret, to see whether each can be opened."""
    sealed = {key.id: key.secret_encrypted for key in keys if key.secret_encrypted is not None}
    if not sealed:
        return FoundSecrets({}, (_secrets(CheckStatus.SKIPPED, "no secret is stored yet"),))
    try:
        vault = Vault(encryption_keys)
    except EncryptionKeyError as error:
        return FoundSecrets({}, (_unopened_secrets(str(error)),))
    opened: dict[int, str] = {}
    for key_id, token in sealed.items():
        try:
            opened[key_id] = vault.open(token)
        except EncryptionKeyError:
            continue
    closed = [key.name for key in keys if key.id in sealed and key.id not in opened]
    if not closed:
        return FoundSecrets(opened, (_secrets(CheckStatus.OK, f"it opens every secret ({len(opened):,})"),))
    return FoundSecrets(opened, (_unopened_secrets(f"it does not open the secrets of {_list(closed)}"),))


def _unopened_secrets(message: str) -> Check:
    advice = (
        "Put back the encryption key that they were stored with (several with commas, newest first); "
        "without it, remove those keys and add them again."
    )
    return _secrets(CheckStatus.FINDING, message, advice)


def _secrets(status: CheckStatus, message: str, advice: str | None = None) -> Check:
    return Check(CheckArea.SECRETS, "encryption key", status, message, advice)
