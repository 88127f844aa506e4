"""A copy there and back is the same, whatever a database went through."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orwatch.domain.counters import CounterReading
from orwatch.domain.usage import UsageAnswer
from orwatch.jobs.db import copy as db_copy
from orwatch.store.engine.database import open_store
from orwatch.store.keys import table as stored_keys
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from orwatch.store.upkeep import copy as store_copy
from tests.databases import content
from tests.postgres import PostgresServer
from tests.store.ledger.test_properties import answers, days
from tests.store.support import add_key
from tests.support import NOW, FakeClock, examples


def copy(source: str, target: str) -> None:
    db_copy.run(source, target, FakeClock(), lambda _doing, _done, _total: None)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[str, object]]:
    """What a database goes through."""
    found: list[tuple[str, object]] = []
    for kind in draw(st.lists(st.sampled_from(["answer", "counters", "cleanup", "purge"]), max_size=8)):
        value: object = draw(
            {
                "answer": st.tuples(st.integers(1, 3), answers()),
                "counters": st.tuples(st.integers(1, 3), days, st.integers(0, 10**12)),
                "cleanup": days,
                "purge": st.just(3),
            }[kind]
        )
        found.append((kind, value))
    return found


def build(url: str, history: list[tuple[str, object]]) -> None:
    with closing(open_store(url, NOW)) as store:
        for kind, value in sorted(history, key=lambda step: step[0] == "purge"):
            with store.write() as connection:
                match kind, value:
                    case "answer", (int(key_id), UsageAnswer() as answer):
                        ledger.write_usage(connection, key_id, answer, NOW)
                    case "counters", (int(key_id), day, int(nano)):
                        reading = CounterReading(day, usd(nano), usd(nano // 2))
                        ledger.write_counters(connection, key_id, reading, NOW)
                    case "cleanup", kept_from:
                        for expired in retention.expired_days(connection, kept_from):
                            retention.remove_day(connection, expired.day)
                    case "purge", int(key_id):
                        stored_keys.purge_key(connection, key_id)


def usd(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_arbitrary_database_is_the_same_there_and_back(
    kind: str, new_database: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: PostgresServer | None = request.getfixturevalue("postgres") if kind == "postgres" else None
    template = tmp_path / "template.db"
    shutil.copy(new_database, template)
    with closing(open_store(f"sqlite:///{template}", NOW)) as store:
        for name in ("one", "two", "three"):
            add_key(store, name)

    @settings(
        max_examples=examples(3 if server else 8),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(history=steps(), chunk=st.integers(1, 9))
    def check(history: list[tuple[str, object]], chunk: int) -> None:
        with ExitStack() as stack:
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(store_copy, "ROWS_PER_CHUNK", chunk)
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            source, back = f"sqlite:///{folder}/source.db", f"sqlite:///{folder}/back.db"
            shutil.copy(template, f"{folder}/source.db")
            build(source, history)
            there = stack.enter_context(server.database()) if server else f"sqlite:///{folder}/there.db"
            copy(source, there)
            copy(there, back)
            assert content(there) == content(source)
            assert content(back) == content(source)

    check()
