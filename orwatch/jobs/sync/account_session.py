"""One visit to a management key's account: whom to ask with what, and what came of it so far."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from orwatch.clock import Clock
from orwatch.domain.keys import AccountState, StoredKey
from orwatch.domain.runs import Job
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, EndpointMissingError
from orwatch.jobs.sync.request import SyncRequest
from orwatch.jobs.sync.result import told_rejections
from orwatch.openrouter.account import ACTIVITY_DAYS
from orwatch.store.engine.database import Connection, Store
from orwatch.store.keys import accounts
from orwatch.store.ledger.write import Cell, WriteCounts
from orwatch.store.schema import to_day_number

if TYPE_CHECKING:
    from orwatch.openrouter.client import Client

from orwatch.domain.keys import has_own_source

# How long it is believed that a server lacks an endpoint, if validate does not make sync ask before; also
# how often the names of models are asked for.
_ASK_AGAIN_AFTER = timedelta(days=1)

Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What was written for one key."""

    counts: WriteCounts = field(default_factory=WriteCounts)
    # What this run has written of the last days: a better source may report it again.
    fresh: set[Cell] = field(default_factory=set)
    rejected: int = 0
    errors: list[str] = field(default_factory=list)
    is_passing: bool = True


@dataclass(slots=True)
class Visit:
    """One visit to an account: whom to ask with what, and what came of it so far."""

    store: Store
    client: Client
    clock: Clock
    request: SyncRequest
    owner: StoredKey
    secret: str
    today: date
    state: AccountState
    members: list[StoredKey]
    watermark: date
    notes: list[str] = field(default_factory=list)
    tallies: dict[int, Tally] = field(default_factory=dict)
    sources: set[UsageSource] = field(default_factory=set)
    since: date = date.max
    # How many rows analytics has for a day, as far as is known.
    rows_per_day: Fraction | None = None

    @property
    def setting(self) -> UsageSource | None:
        """Where usage is to come from; None: from what answers best."""
        return self.owner.source_setting or self.request.source

    @property
    def readable(self) -> list[StoredKey]:
        """The members whose usage comes through the account, not by a source of their own."""
        return [key for key in self.members if not key.is_management and not has_own_source(key)]

    @property
    def kin(self) -> list[StoredKey]:
        """The other management keys of the account: what was kept under them before is a part of it."""
        return [key for key in self.members if key.is_management and key.id != self.owner.id]

    def tally(self, key: StoredKey) -> Tally:
        """What was written for a key so far."""
        return self.tallies.setdefault(key.id, Tally())


def is_missing(missing_at: datetime | None, now: datetime) -> bool:
    """Whether what was missing a short while ago need not be asked for again."""
    return missing_at is not None and now - missing_at < _ASK_AGAIN_AFTER


def may_use(visit: Visit, source: UsageSource) -> bool:
    """Whether usage may come from there: by the settings, and as far as is known of the server."""
    if visit.setting not in {None, source}:
        return False
    at = {
        UsageSource.ACTIVITY: visit.state.activity_missing_at,
        UsageSource.ANALYTICS: visit.state.analytics_missing_at,
    }[source]
    return not is_missing(at, visit.clock.now())


def attempt(
    visit: Visit, what: str, action: Callable[[], Outcome], missing: str | None = None
) -> Outcome | None:
    """What the action gives; None, and a note or an error of the management key, where the API refuses.

    ``missing``: the column that remembers that the server does not have this endpoint.
    """
    try:
        return action()
    except ApiError as error:
        if isinstance(error, EndpointMissingError) or error.status == 403:
            if missing is not None:
                update_state(visit, **{missing: visit.clock.now()})
            visit.notes.append(f"{what}: {error}" + ("; asked again tomorrow" if missing else ""))
        elif error.is_passing:
            visit.notes.append(f"{what}: {error}; the next sync asks again")
            log.warning("%s: %s", what, error, extra={"job": Job.SYNC, "key": visit.owner.name})
        else:
            visit.tally(visit.owner).errors.append(f"{what}: {error}")
            visit.tally(visit.owner).is_passing = False
    return None


def update_state(visit: Visit, **values: object) -> None:
    """Store how far the account was read; members of ``AccountState``."""

    def update(connection: Connection) -> AccountState:
        accounts.update_account(connection, visit.owner.id, **values)
        return accounts.account_state(connection, visit.owner.id)

    visit.state = visit.store.run_write(update)


def add_counts(visit: Visit, key: StoredKey, counts: WriteCounts) -> None:
    """Count what was written for a key. A row that this run has written before counts once."""
    tally = visit.tally(key)
    again = tally.fresh & counts.replaced
    # Days before those of GET /activity are written once only.
    first = to_day_number(visit.today - timedelta(days=ACTIVITY_DAYS))
    tally.fresh = (tally.fresh - again) | {cell for cell in counts.written if cell[0] >= first}
    tally.counts = tally.counts + replace(counts, rows_written=counts.rows_written - len(again))


def note_failure(visit: Visit, key: StoredKey, error: ApiError) -> None:
    """Remember that a key could not be read."""
    tally = visit.tally(key)
    tally.errors.append(str(error))
    tally.is_passing = tally.is_passing and error.is_passing


def note_rejections(visit: Visit, key: StoredKey, answer: UsageAnswer) -> None:
    """Remember which rows of an answer were not believed."""
    misfits = [row for row in answer.rejected if not row.is_outside_window]
    if misfits:
        tally = visit.tally(key)
        tally.rejected += len(misfits)
        tally.errors.append(told_rejections(misfits))
        tally.is_passing = False
