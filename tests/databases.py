"""What the tests of whole databases share: one that holds something of everything, and all that one holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from orwatch.domain.counters import CounterReading
from orwatch.domain.keys import Credits
from orwatch.domain.runs import Job, RunStatus
from orwatch.store import runs
from orwatch.store.engine.database import Store, open_as_it_is, open_store
from orwatch.store.keys import accounts
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import model_names, retention
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import alerts, budgets, metadata
from tests.store.support import add_key, write
from tests.support import NOW, TODAY, usage_answer, usage_row

Content = dict[str, list[tuple[Any, ...]]]


def content(url: str) -> Content:
    """All rows of all tables, in order, and the revision of the schema."""
    with closing(open_as_it_is(url)) as store, store.read() as connection:
        rows = {table.name: list(connection.execute(table.select())) for table in metadata.sorted_tables}
        rows["alembic_version"] = list(connection.exec_driver_sql("SELECT version_num FROM alembic_version"))
        # A day and dollars are of other types on each kind of database.
        rows["usage_daily"] = [
            (str(day), *others, *(None if usd is None else f"{float(usd):.12g}" for usd in (cost, byok)))
            for day, *others, cost, byok in connection.exec_driver_sql("SELECT * FROM usage_daily")
        ]
    return {table: sorted(map(tuple, found), key=repr) for table, found in rows.items()}


def fill(store: Store, days: int = 40) -> None:
    """Something of everything, through the functions that sync, validate and cleanup use."""
    names = [add_key(store, name) for name in ("one", "two", "three")]
    for key in names:
        rows = [
            usage_row(
                TODAY - timedelta(days=back),
                model,
                provider=provider,
                requests=None if back % 7 == key.id else back,
                cost=f"{back}.{key.id:09}",
            )
            for back in range(days)
            for model, provider in (("openai/gpt", "azure"), ("a/🦊'%s", None), (None, None))
        ]
        write(store, usage_answer(*rows), key.id)
    with store.write() as connection:
        stored_keys.purge_key(connection, names[2].id)
        stored_keys.forget_secret(connection, names[1].id, NOW)
        accounts.update_account(connection, names[0].id, account_id="acc", model_names_read_at=NOW)
        accounts.record_credits(connection, names[0].id, Credits(Decimal("99999999"), Decimal("0.5")), NOW)
        model_names.record_names(connection, {"a/b-2026": "a/b", "Z/b": "z", "é/ü": "é"})
    counted = add_key(store, "four")
    with store.write() as connection:
        stored_keys.rename_key(connection, counted.id, "two")  # the removed one has given it back
        old = stored_keys.find_by_hash(connection, counted.key_hash)
        assert old is not None
    new = add_key(store, "five")
    with store.write() as connection:
        stored_keys.mark_replaced(connection, old, new.id)
        stored_keys.rename_key(connection, new.id, "two")
    for back, usage in ((9, "1"), (5, "7.123456789"), (0, "9")):
        reading = CounterReading(TODAY - timedelta(days=back), Decimal(usage), Decimal("0.5"))
        with store.write() as connection:
            ledger.write_counters(connection, counted.id, reading, NOW - timedelta(days=back))
    with store.write() as connection:
        run_id = runs.start_run(connection, Job.SYNC, NOW, NOW)
        runs.finish_run(connection, run_id, status=RunStatus.OK, counts={"keys": 3}, error=None, now=NOW)
        runs.start_run(connection, Job.CLEANUP, NOW, None)
        connection.exec_driver_sql("INSERT INTO request_log (started_at_ms) VALUES (1795177800123)")
        connection.execute(
            budgets.insert().values(
                name="team é",
                limit_nano=Decimal("99.000000001"),
                per="month",
                scope='{"models": ["a/*"]}',
                warn_percent="[80]",
                with_byok=True,
                created_at=NOW,
            )
        )
        connection.execute(
            alerts.insert().values(
                rule="budget",
                subject="budget:1",
                time_window="2026-11",
                threshold=80,
                name="team é",
                summary="80 % of $99 are spent",
                figures="{}",
                raised_at=NOW,
                sent_at=NOW,
            )
        )
        retention.remove_day(connection, TODAY - timedelta(days=days - 1))


@contextmanager
def filled(url: str, days: int = 40) -> Iterator[Store]:
    """Such a database, open."""
    with closing(open_store(url, NOW)) as store:
        fill(store, days)
        yield store
