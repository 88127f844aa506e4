"""Check the database: its file and schema, its totals and sums, and the names in it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date

from orwatch.jobs.db.opening import open_current
from orwatch.jobs.db.result import DbCheckResult
from orwatch.jobs.doctor.database import state_check, totals_check
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus
from orwatch.store.engine.database import Store
from orwatch.store.ledger import rollups
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import SCHEMA_REVISION
from orwatch.store.upkeep import checks
from orwatch.text import first_of

_PROBLEMS_SHOWN = 3


def run(url: str, *, is_repair: bool = False) -> DbCheckResult:
    """Check what can be checked in the database alone; with ``is_repair`` recalculate wrong totals before.

    Raises ``StoreUnusableError`` where there is no database, or not one with this version's schema,
    ``StoreUnavailableError``.
    """
    with closing(open_current(url)) as store:
        found = [CheckArea.DATABASE.ok("schema", f"{SCHEMA_REVISION}, as this version wants it")]
        state = checks.read_file_state(store)
        found.append(state_check(store, state))
        if not state.is_readable:
            return DbCheckResult(tuple(found))
        totals = totals_check(store)
        days: Sequence[date] = ()
        months: Sequence[date] = ()
        if is_repair and totals.status is CheckStatus.FINDING and state.dangling:
            totals = replace(
                totals, advice="Nothing was repaired: rows refer to nothing; correct those first."
            )
        elif is_repair and totals.status is CheckStatus.FINDING:
            # Only now: where all totals are right, no writer has to wait.
            with store.write() as connection:
                days, months = rollups.rebuild(connection, ledger.kept_from(connection))
            totals = totals_check(store)
        found += [totals, _spans_check(store), _names_check(store)]
        return DbCheckResult(tuple(found), tuple(days), tuple(months))


def _spans_check(store: Store) -> Check:
    with store.read() as connection:
        problems = checks.wrong_spans(connection)
    if not problems:
        return CheckArea.DATABASE.ok("multi-day rows", "none overlap")
    listed = first_of(problems, _PROBLEMS_SHOWN, separator="; ")
    return CheckArea.DATABASE.finding(
        "multi-day rows",
        f"{listed}: something other than orwatch has written to them",
        "Restore the database from a backup, or delete those rows of usage_spans.",
    )


def _names_check(store: Store) -> Check:
    with store.read() as connection:
        state = checks.read_name_state(connection)
    if state.incomplete:
        return CheckArea.DATABASE.finding(
            "names",
            f"the row 0, for a name that is not known, is missing in {', '.join(state.incomplete)}",
            "Restore the database from a backup.",
        )
    unused = f"; {state.unused_count:,} of a model or provider are of no row any more, which harms nothing"
    return CheckArea.DATABASE.ok("names", f"every row has its own{unused if state.unused_count else ''}")
