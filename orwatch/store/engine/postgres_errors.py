"""What PostgreSQL and its driver say, as orwatch's errors: passing, or a person's to see to."""

from __future__ import annotations

import psycopg

from orwatch.errors import StoreUnavailableError, StoreUnusableError
from orwatch.store.engine import backend
from orwatch.store.engine.backend import TransactionLostError

_LOST_STATES = ("08", "40", "57P01", "57P02", "57P05", "25P03", "25P04")
_EXHAUSTED_STATES = ("53", "57014", "57P03", "58")
_REFUSED_STATES = ("28", "3D", "3F", "42501")

# The driver has no code for why a connection could not be made. What the server itself refuses (FATAL) stays
# wrong until it is corrected, but for these.
_PASSING_REFUSALS = (
    "starting up",
    "shutting down",
    "recovery",
    "too many",
    "connection slots",
    "not yet accepting",
    "terminating connection",
    "due to timeout",
    "out of memory",
    "space left",
    "could not fork",
)
_WRONG_WORDS = (
    "no password supplied",
    "SSL was required",
    "certificate",
    "connection option",
    " value: ",
    "bad value",
)


def translated(error: psycopg.Error, location: str, *, is_lost: bool) -> Exception:
    """The error that orwatch has for it; itself where it cannot be the user's doing."""
    where, reason = f"the database {location}", _first_line(error)
    state = error.sqlstate or ""
    if not state and not is_lost:
        return _unreachable(where, error)
    if is_lost or state.startswith(_LOST_STATES):
        return TransactionLostError(
            f"{where} lost its connection ({reason}). What was stored before is whole. Try again later."
        )
    if state == "55P03":
        return StoreUnavailableError(
            f"{where} is locked: another process has been writing to it "
            f"for {backend.BUSY_TIMEOUT_SECONDS:.0f} seconds. Try again later."
        )
    if state.startswith(_EXHAUSTED_STATES):
        return StoreUnavailableError(
            f"{where} cannot continue ({reason}). What was stored before is whole. "
            "Check the server's disk, memory and limits, and try again."
        )
    if state == "25006":
        return read_only(location, reason)
    if state.startswith(_REFUSED_STATES):
        return StoreUnusableError(
            f"{where} refuses its user ({reason}). The user has to own the database, or to have all "
            "privileges in its schema."
        )
    if state == "2BP01" or (state == "0A000" and "used by a view" in reason):
        detail = "; ".join((error.diag.message_detail or "").splitlines())
        return backend.in_the_way(location, detail or reason)
    if state.startswith("XX00"):
        return StoreUnusableError(f"{where} is damaged ({reason}). Restore it from a backup.")
    return error


def read_only(location: str, reason: str) -> StoreUnusableError:
    """That the server takes no writes."""
    return StoreUnusableError(
        f"the database {location} can only be read ({reason}). "
        "Name the primary server in ORWATCH_DATABASE_URL."
    )


def _first_line(error: psycopg.Error) -> str:
    """What follows are hints, and one address of the server after the other."""
    reason = str(error).partition("\n")[0]
    return " ".join(reason.removeprefix("connection failed: ").split()).rstrip(".")


def _unreachable(where: str, error: psycopg.Error) -> Exception:
    text, reason = str(error), _first_line(error)
    is_refused = "FATAL" in text and not any(words in text.lower() for words in _PASSING_REFUSALS)
    if is_refused or any(words in text for words in _WRONG_WORDS):
        return StoreUnusableError(
            f"{where} refuses the connection ({reason}). Correct ORWATCH_DATABASE_URL, or create the "
            "user and the database on the server."
        )
    if isinstance(error, psycopg.OperationalError):
        return StoreUnavailableError(f"{where} does not answer ({reason}). Try again later.")
    return error
