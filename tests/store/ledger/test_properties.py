"""The ledger against a model in plain Python, over arbitrary histories."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from datetime import date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import RejectedRow, UsageAnswer, UsageRow
from orwatch.store.engine.database import Store, open_store
from orwatch.store.ledger import retention
from orwatch.store.ledger import write as ledger
from orwatch.store.schema import COUNTS, DAILY_COUNTS, from_day_number, reported_column
from tests.store.support import add_key, dump, path_of, sqlite_only, write
from tests.support import NOW, examples, usage_row

FIRST_DAY = date(2026, 9, 25)
LAST_DAY = date(2026, 11, 5)
KEY_IDS = (1, 2)

Numbers = tuple[int | None, ...]
Spot = tuple[str | None, str | None]

days = st.dates(FIRST_DAY, LAST_DAY)
counts = st.one_of(st.none(), st.integers(0, 3), st.sampled_from([10**13]))
nanos = st.one_of(st.integers(0, 5), st.sampled_from([10**16 - 1, 10**16, 15_000_000]))


def usd(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09}"


@st.composite
def usage_rows(draw: st.DrawFn, day: date) -> UsageRow:
    row = usage_row(
        day,
        draw(st.sampled_from(["a", "b", "c", None])),
        provider=draw(st.sampled_from(["azure", None])),
        requests=draw(counts),
        tokens_input=draw(counts),
        tokens_output=draw(counts),
        cost=usd(draw(nanos)),
    )
    return row._replace(tokens_cached=draw(counts), tokens_reasoning=draw(counts))


@st.composite
def answers(draw: st.DrawFn) -> UsageAnswer:
    since = draw(days)
    until = min(LAST_DAY, since + timedelta(days=draw(st.integers(0, 9))))
    in_window = st.dates(since, until)
    rows = {}
    for day in draw(st.lists(in_window, max_size=8)):
        row = draw(usage_rows(day))
        rows[row.day, row.model, row.provider] = row
    rejected = [RejectedRow("no", day) for day in draw(st.lists(st.none() | in_window, max_size=2))]
    ordered = sorted(rows.values(), key=lambda row: (row.day, row.model or "", row.provider or ""))
    source = draw(st.sampled_from(UsageSource))
    whole_days = frozenset(draw(st.lists(in_window, max_size=3)))
    return UsageAnswer(source, since, until, tuple(ordered), tuple(rejected), whole_days)


def numbers(row: UsageRow) -> Numbers:
    cost = Fraction(row.cost_usd) * 10**9
    assert cost.denominator == 1
    counted = (row.requests, row.tokens_input, row.tokens_output, row.tokens_reasoning, row.tokens_cached)
    return (*counted, int(cost), None)


def add_known(first: Numbers, second: Numbers) -> Numbers:
    def add(one: int | None, other: int | None) -> int | None:
        known = [number for number in (one, other) if number is not None]
        return sum(known) if known else None

    return tuple(add(one, other) for one, other in zip(first, second, strict=True))


class Model:
    """What the design says of the ledger, as simply as can be."""

    def __init__(self) -> None:
        self.days: dict[tuple[int, date], dict[Spot, Numbers]] = {}
        self.sources: dict[tuple[int, date], UsageSource] = {}
        self.removed: list[tuple[int, date, Spot, Numbers]] = []
        self.watermark = date.min

    def write(self, key_id: int, answer: UsageAnswer, today: date) -> None:
        source = answer.source
        told = [
            row.day
            for row in answer.rows
            if row.day >= self.watermark and self.sources.get((key_id, row.day), source).rank <= source.rank
        ]
        # Before that, the API has forgotten what there was.
        memory = 365 if source is UsageSource.ANALYTICS else 30
        told += [
            day
            for day in answer.whole_days
            if day >= self.watermark and self.sources.get((key_id, day), source).rank <= source.rank
        ]
        remembered = min([today - timedelta(days=memory), *told])
        for number in range((answer.until - answer.since).days + 1):
            day = answer.since + timedelta(days=number)
            self._write_day(key_id, day, answer, is_readable=remembered <= day <= today)

    def _write_day(self, key_id: int, day: date, answer: UsageAnswer, *, is_readable: bool) -> None:
        at, source = (key_id, day), answer.source
        rows = {(row.model, row.provider): numbers(row) for row in answer.rows if row.day == day}
        is_doubtful = any(rejected.day in {day, None} for rejected in answer.rejected)
        rank_before = self.sources[at].rank if at in self.sources else source.rank
        if day < self.watermark or rank_before > source.rank:
            return
        if is_doubtful and rank_before < source.rank:
            return
        if rows or day in answer.whole_days:
            self.days[at] = {**(self.days.get(at, {}) if is_doubtful else {}), **rows}
            self.sources[at] = source
        elif rank_before == source.rank and not is_doubtful and is_readable:
            self.sources[at] = source

    def clean_up(self, kept_from: date) -> None:
        for key_id, day in [at for at in self.days if at[1] < kept_from]:
            self.removed += [(key_id, day, spot, row) for spot, row in self.days.pop((key_id, day)).items()]
        self.watermark = max(self.watermark, kept_from)
        self.sources = {at: source for at, source in self.sources.items() if at[1] >= self.watermark}


NAMED_ROWS = """
SELECT {time}, {key}, models.name, providers.name, {columns}
FROM {table} JOIN models ON models.id = model_id JOIN providers ON providers.id = provider_id
"""
ALL_NUMBERS = (
    "requests, tokens_input, tokens_output, tokens_reasoning, tokens_cached, cost_nano, byok_cost_nano"
)
DAILY_NUMBERS = "requests, tokens_input, tokens_output, NULL, NULL, cost_nano, byok_cost_nano"
TABLES = ("usage_stats", "usage_months", "usage_by_key", "usage_by_model")


class Sum:
    """Rows added up as the totals are."""

    def __init__(self) -> None:
        self.rows = 0
        self.numbers: Numbers = (None,) * 7
        self.told = [0] * 7
        self.counted = 0

    def add(self, row: Numbers) -> None:
        self.rows += 1
        self.numbers = add_known(self.numbers, row)
        self.told = [count + (number is not None) for count, number in zip(self.told, row, strict=True)]
        self.counted += 0 if row[0] is None else row[5] or 0

    def of_months(self) -> tuple[Any, ...]:
        return (*self.numbers, self.rows, self.counted, *self.told[:5], self.told[6])

    def of_days(self) -> tuple[Any, ...]:
        requests, tokens_input, tokens_output, _, _, cost, byok = self.numbers
        counts = (requests, tokens_input, tokens_output, None, None, cost, byok)
        return (*counts, self.rows, self.counted, *self.told[:3], self.told[6])


class LedgerMachine(RuleBasedStateMachine):
    """Syncs, restarts and cleanups in any order."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(self.template, self.folder / "orwatch.db")
        self.store = self.opened()
        self.model = Model()
        self.today = FIRST_DAY
        self.latest: dict[int, UsageAnswer] = {}
        self.written: list[tuple[int, UsageAnswer]] = []

    def opened(self) -> Store:
        return open_store(f"sqlite:///{self.folder}/orwatch.db", NOW)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    @property
    def now(self) -> datetime:
        return datetime.combine(self.today, NOW.timetz())

    @initialize(today=days)
    def begin(self, today: date) -> None:
        self.today = today

    @rule(key_id=st.sampled_from(KEY_IDS), answer=answers())
    def write_an_answer(self, key_id: int, answer: UsageAnswer) -> None:
        write(self.store, answer, key_id, self.now)
        self.model.write(key_id, answer, self.today)
        self.latest[key_id] = answer
        self.written.append((key_id, answer))

    @rule(key_id=st.sampled_from(KEY_IDS))
    def write_the_last_answer_again(self, key_id: int) -> None:
        if key_id not in self.latest:
            return
        before = [dump(self.store, table) for table in TABLES]
        done = write(self.store, self.latest[key_id], key_id, self.now)
        assert (done.rows_written, done.rows_removed) == (0, 0)
        assert [dump(self.store, table) for table in TABLES] == before
        self.model.write(key_id, self.latest[key_id], self.today)

    @rule(data=st.data())
    def write_an_old_answer_again(self, data: st.DataObject) -> None:
        if self.written:
            self.write_an_answer(*data.draw(st.sampled_from(self.written)))

    @rule(key_id=st.sampled_from(KEY_IDS), answer=answers())
    def be_killed_while_writing(self, key_id: int, answer: UsageAnswer) -> None:
        def write_and_die() -> None:
            with self.store.write() as connection:
                ledger.write_usage(connection, key_id, answer, self.now)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_and_die()

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.opened()

    @rule(number_of_days=st.integers(1, 10))
    def let_days_pass(self, number_of_days: int) -> None:
        self.today = min(LAST_DAY, self.today + timedelta(days=number_of_days))

    @rule(kept_from=days)
    def clean_up(self, kept_from: date) -> None:
        with self.store.read() as connection:
            expired = retention.expired_days(connection, kept_from)
        for removed in expired:
            with self.store.write() as connection:
                retention.remove_day(connection, removed.day)
        with self.store.write() as connection:
            retention.raise_watermark(connection, kept_from)
        self.model.clean_up(kept_from)

    @rule(kept_from=days, survived=st.integers(0, 5))
    def be_killed_while_cleaning_up(self, kept_from: date, survived: int) -> None:
        with self.store.read() as connection:
            expired = retention.expired_days(connection, kept_from)[:survived]
        for removed in expired:
            with self.store.write() as connection:
                retention.remove_day(connection, removed.day)
        if expired:
            self.model.clean_up(expired[-1].day + timedelta(days=1))

    @invariant()
    def the_database_holds_what_the_model_holds(self) -> None:
        with self.store.read() as connection:

            def rows(statement: str) -> list[Any]:
                return list(connection.exec_driver_sql(statement))

            def named(table: str, time: str, key: str, columns: str) -> dict[Any, tuple[Any, ...]]:
                statement = NAMED_ROWS.format(table=table, time=time, key=key, columns=columns)
                return {
                    (key_id, from_day_number(day), (model, provider)): tuple(rest)
                    for day, key_id, model, provider, *rest in rows(statement)
                }

            told = ", ".join(map(reported_column, COUNTS))
            told_daily = ", ".join(map(reported_column, DAILY_COUNTS))
            sums = "row_count, counted_nano"
            usage_stats = named("usage_stats", "date", "api_key_id", ALL_NUMBERS)
            usage_months = named("usage_months", "month", "api_key_id", f"{ALL_NUMBERS}, {sums}, {told}")
            by_model = named("usage_by_model", "date", "NULL", f"{DAILY_NUMBERS}, {sums}, {told_daily}")
            by_key = {
                (key_id, from_day_number(day)): tuple(rest)
                for day, key_id, *rest in rows(
                    f"SELECT date, api_key_id, {DAILY_NUMBERS}, {sums}, {told_daily} FROM usage_by_key"
                )
            }
            sources = {
                (key_id, from_day_number(day)): source
                for day, key_id, source in rows("SELECT date, api_key_id, source FROM usage_days")
            }
            watermark = ledger.kept_from(connection) or date.min
        by_day = {
            (key_id, day, spot): numbers
            for (key_id, day), spots in self.model.days.items()
            for spot, numbers in spots.items()
        }
        months, models, keys = (
            defaultdict[Any, Sum](Sum),
            defaultdict[Any, Sum](Sum),
            defaultdict[Any, Sum](Sum),
        )
        for (key_id, day, spot), row in by_day.items():
            models[None, day, spot].add(row)
            keys[key_id, day].add(row)
        for key_id, day, spot, row in [*((*at, row) for at, row in by_day.items()), *self.model.removed]:
            months[key_id, day.replace(day=1), spot].add(row)
        assert usage_stats == by_day
        assert usage_months == {at: total.of_months() for at, total in months.items()}
        assert by_model == {at: total.of_days() for at, total in models.items()}
        assert by_key == {at: total.of_days() for at, total in keys.items()}
        assert sources == self.model.sources
        assert watermark == self.model.watermark
        assert all(day >= watermark for _, day, _ in usage_stats)
        assert all(isinstance(row[5], int) for row in usage_months.values())


@pytest.fixture
def machine(store: Store) -> type[LedgerMachine]:
    """The machine, starting from a database with two keys, knowing all the sources of the design."""
    for key_id in KEY_IDS:
        assert add_key(store, f"key {key_id}").id == key_id
    store.close()
    return type("LedgerMachineHere", (LedgerMachine,), {"template": path_of(store)})


@sqlite_only
def test_the_ledger_agrees_with_a_simple_model_whatever_happens(
    machine: type[LedgerMachine],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(20),
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )
