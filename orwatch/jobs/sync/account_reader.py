"""Reads the account of one management key, and counts for each key what came of it."""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from itertools import chain
from typing import TypeVar

from orwatch.domain.contradictions import Contradiction
from orwatch.domain.keys import AccountState, StoredKey, has_own_source
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer
from orwatch.errors import ApiError, EndpointMissingError
from orwatch.jobs.sync.analytics_windows import WindowReader
from orwatch.jobs.sync.contradictions import contradictions_text
from orwatch.jobs.sync.result import number_of_rows, rejections_text
from orwatch.jobs.sync.session import SyncSession
from orwatch.openrouter.account import ACTIVITY_DAYS, AccountListing
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.change import DAY, KEY_COLUMNS, Cell, cell_of
from orwatch.store.ledger.write import WriteCounts
from orwatch.store.schema import to_day_number

# How long a missing endpoint is not asked for again, unless a validate comes before; also how often the
# names of models are asked for.
_ASK_AGAIN_AFTER = timedelta(days=1)

Outcome = TypeVar("Outcome")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Tally:
    """What was written for one key, and what went wrong."""

    counts: WriteCounts = field(default_factory=WriteCounts)
    # What this run has written of the last days, the numbers of each cell one after another: a better source
    # may report it again. As tuples, the cells of thousands of keys would take ten times the memory.
    fresh: array[int] = field(default_factory=lambda: array("i"))
    rejected: int = 0
    # Days of which sources contradict each other.
    kept: set[date] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    is_passing: bool = True

    def add_counts(self, counts: WriteCounts, first_day: int = 0) -> None:
        """Count what was written. A row that this run has written before counts once; gone again, never.

        ``first_day``: days before that one (by number) are written once only, and not remembered.
        """
        again: set[Cell] = set()
        if counts.replaced:
            fresh = set(zip(*[iter(self.fresh)] * len(KEY_COLUMNS), strict=True))
            again = fresh.intersection(map(cell_of, counts.replaced))
            self.fresh = array("i", chain.from_iterable(fresh - again))
        written = [cell_of(row) for row in counts.written if row[DAY] >= first_day]
        self.fresh.extend(chain.from_iterable(written))
        self.counts = WriteCounts(
            self.counts.rows_written + counts.rows_written - len(again),
            self.counts.rows_unchanged + counts.rows_unchanged,
            self.counts.rows_removed + counts.rows_removed - len(again.difference(written)),
        )

    def add_error(self, message: str, *, is_passing: bool = True) -> None:
        """Note an error; ``is_passing``: it may well be gone the next time."""
        self.errors.append(message)
        self.is_passing = self.is_passing and is_passing

    def add_contradictions(self, kept: list[Contradiction], answer: UsageAnswer, now: datetime) -> None:
        """Note which days keep what is stored; those that have just ended may still be reported in full."""
        self.kept |= {each.day for each in kept}
        late = [each for each in kept if each.is_late(now)]
        if late:
            self.add_error(contradictions_text(late, answer), is_passing=False)

    def add_rejections(self, answer: UsageAnswer) -> None:
        """Note which rows of an answer were rejected; those of other days are expected."""
        misfits = [row for row in answer.rejected if not row.is_outside_window]
        if misfits:
            self.rejected += number_of_rows(misfits)
            self.add_error(rejections_text(misfits), is_passing=False)


class AccountReader:
    """One account while it is read: whom to ask with what, and what came of it so far."""

    def __init__(
        self,
        session: SyncSession,
        connection: Connection,
        owner: StoredKey,
        secret: str,
        listing: AccountListing,
    ) -> None:
        """``owner`` is the management key, ``listing`` what it lists."""
        self.session = session
        self.client = session.client()
        self.owner = owner
        self.secret = secret
        self.today = listing.answered_at.date()  # the server's day
        self.workspaces = listing.workspaces
        self.unused_since = {key.key_hash: key.unused_since for key in listing.keys}
        self.members = accounts.members(connection, owner.id)
        self.watermark = ledger.kept_from(connection) or date.min
        self.state = accounts.account_state(connection, owner.id)
        self.windows = WindowReader(
            self.client, secret, [key for key in self.members if not key.is_management]
        )
        self.notes: list[str] = []
        self.sources: set[UsageSource] = set()
        self.since = date.max
        self._tallies: defaultdict[int, Tally] = defaultdict(Tally)

    @property
    def setting(self) -> UsageSource | None:
        """Where usage is to come from; None: from the best source that answers."""
        return self.owner.source_setting or self.session.request.source

    @property
    def readable(self) -> list[StoredKey]:
        """The members whose usage comes through the account, not from a source of their own."""
        return [key for key in self.members if not key.is_management and not has_own_source(key)]

    @property
    def other_management_keys(self) -> list[StoredKey]:
        """Those of the same account: what was stored under them before is a part of it."""
        return [key for key in self.members if key.is_management and key.id != self.owner.id]

    def begin(self, stage: str, total: int | None = None, unit: str = "keys") -> None:
        """Tell which part of the account is read now, and how much it is."""
        self.session.progress.begin(f"{self.owner.name}: {stage}", total, unit)

    def now(self) -> datetime:
        """The time by this machine's clock."""
        return self.session.clock.now()

    def tally(self, key: StoredKey) -> Tally:
        """What came of a key so far."""
        return self._tallies[key.id]

    def add_counts(self, key: StoredKey, counts: WriteCounts) -> None:
        """Count what was written for a key; days before those of ``GET /activity`` are written once only."""
        tally = self.tally(key)
        before = tally.counts.rows_written
        tally.add_counts(counts, to_day_number(self.today - timedelta(days=ACTIVITY_DAYS)))
        # Rows that this run has written before count once.
        self.session.progress.step(0, rows=tally.counts.rows_written - before)

    @property
    def contradicted_days(self) -> set[date]:
        """The days on which the sources of any key contradict each other: what is no key's is not known."""
        return {day for tally in self._tallies.values() for day in tally.kept}

    def doubtful_remainder(self, connection: Connection, answer: UsageAnswer) -> set[date]:
        """The days of which a row of the account's answer was not believed, and a remainder is stored."""
        doubtful = answer.doubtful_days(answer.whole_days)
        if not doubtful:
            return doubtful
        stored = accounts.stored_sums(connection, {self.owner.id}, answer.since, answer.until)
        return doubtful & {row.day for row in stored}

    def reaches(self, day: date) -> None:
        """Note that usage was read from that day on."""
        self.since = min(self.since, day)

    def was_just_asked(self, asked_at: datetime | None) -> bool:
        """Whether it is too early to ask again for what was missing, or read, at that time."""
        return asked_at is not None and self.now() - asked_at < _ASK_AGAIN_AFTER

    def may_use(self, source: UsageSource) -> bool:
        """Whether usage may come from there: by the settings, and as far as is known of the server."""
        if self.setting not in {None, source}:
            return False
        is_activity = source is UsageSource.ACTIVITY
        return not self.was_just_asked(
            self.state.activity_missing_at if is_activity else self.state.analytics_missing_at
        )

    def attempt(
        self, what: str, action: Callable[[], Outcome], source: UsageSource | None = None
    ) -> Outcome | None:
        """What the action returns; None, and a note or an error of the management key, where the API refuses.

        ``source``: where the server lacks its endpoint, that is remembered for a day.
        """
        try:
            return action()
        except ApiError as error:
            if isinstance(error, EndpointMissingError) or error.status == 403:
                if source is not None:
                    self._note_missing(source)
                self.notes.append(f"{what}: {error}" + ("; asked again tomorrow" if source else ""))
            elif error.is_passing:
                self.notes.append(f"{what}: {error}; the next sync asks again")
                log.warning("%s: %s", what, error, extra={"key": self.owner.name})
            else:
                self.tally(self.owner).add_error(f"{what}: {error}", is_passing=False)
        return None

    def _note_missing(self, source: UsageSource) -> None:
        if source is UsageSource.ACTIVITY:
            self.update_state(replace(self.state, activity_missing_at=self.now()))
        else:
            self.update_state(replace(self.state, analytics_missing_at=self.now()))

    def update_state(self, state: AccountState) -> None:
        """Store what ``state`` changes; the rest stays as it is stored, for validate may have changed it."""
        pairs = ((each.name, getattr(state, each.name)) for each in fields(state))
        changes = {name: value for name, value in pairs if value != getattr(self.state, name)}

        def update(connection: Connection) -> AccountState:
            accounts.update_account(connection, self.owner.id, **changes)
            return accounts.account_state(connection, self.owner.id)

        self.state = self.session.store.run_write(update)
