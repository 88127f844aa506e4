"""The ledger's invariants, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event

from orwatch.domain.counters import CounterReading
from orwatch.domain.money import from_nano
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import RejectedRow, UsageAnswer
from orwatch.store.engine.database import Store
from orwatch.store.ledger import retention, rollups, spans
from orwatch.store.ledger import write as ledger
from orwatch.store.ledger.write import WriteCounts
from orwatch.store.schema import models, to_day_number
from tests.store.support import add_key, dump, execute, scalar, sqlite_only, write
from tests.support import NOW, TODAY, usage_answer, usage_row

YESTERDAY = TODAY - timedelta(days=1)
BEFORE = TODAY - timedelta(days=2)


@pytest.fixture(autouse=True)
def key(store: Store) -> None:
    add_key(store)


def from_source(source: UsageSource, answer: UsageAnswer) -> UsageAnswer:
    return replace(answer, source=source)


def costs(store: Store) -> dict[tuple[str, str | None], str]:
    """What the ledger holds: day and model with the cost."""
    names = dict(dump(store, "models"))
    return {
        (str(date.fromordinal(row[0] + date(1970, 1, 1).toordinal())), names[row[2]]): str(from_nano(row[9]))
        for row in dump(store, "usage_stats")
    }


def read_days(store: Store) -> set[date]:
    first = date(1970, 1, 1).toordinal()
    return {date.fromordinal(row[0] + first) for row in dump(store, "usage_days")}


def set_watermark(store: Store, day: date) -> None:
    with store.write() as connection:
        retention.raise_watermark(connection, day)


def rejected(day: date | None = TODAY) -> RejectedRow:
    return RejectedRow("not believed", day)


def test_a_row_is_stored_with_everything_that_it_tells(store: Store) -> None:
    row = usage_row(provider="azure", cost="1.5")._replace(
        tokens_reasoning=7,
        tokens_cached=8,
        byok_cost_usd=Decimal("0.25"),
    )

    counts = write(store, usage_answer(row))

    assert (counts.rows_written, counts.rows_unchanged, counts.rows_removed) == (1, 0, 0)
    assert dump(store, "usage_stats") == [
        (to_day_number(TODAY), 1, 1, 1, 5, 50, 125, 7, 8, 1_500_000_000, 250_000_000)
    ]
    assert dump(store, "models") == [(0, None), (1, "openai/gpt-4.1")]
    assert dump(store, "providers") == [(0, None), (1, "azure")]


def test_what_a_source_does_not_tell_is_null_and_not_zero(store: Store) -> None:
    write(store, usage_answer(usage_row(model=None, requests=None, tokens_input=None, tokens_output=None)))

    assert dump(store, "usage_stats") == [
        (to_day_number(TODAY), 1, 0, 0, None, None, None, None, None, 15_000_000, None)
    ]


def test_writing_an_answer_again_changes_nothing(store: Store) -> None:
    answer = usage_answer(usage_row(), usage_row(YESTERDAY), usage_row(model="other/model", requests=None))
    write(store, answer)
    before = dump(store, "usage_stats")

    counts = write(store, answer)

    assert (counts.rows_written, counts.rows_unchanged, counts.rows_removed) == (0, 3, 0)
    assert dump(store, "usage_stats") == before


def test_more_rows_than_one_statement_takes_are_written_replaced_and_removed(store: Store) -> None:
    def answer(first: int, last: int, cost: str) -> UsageAnswer:
        return usage_answer(*(usage_row(model=f"m{number:04}", cost=cost) for number in range(first, last)))

    write(store, answer(0, 1_100, "1"))
    counts = write(store, answer(550, 1_200, "2"))

    assert (counts.rows_written, counts.rows_unchanged, counts.rows_removed) == (650, 0, 550)
    assert costs(store) == {("2026-11-20", f"m{number:04}"): "2" for number in range(550, 1_200)}
    assert scalar(store, "SELECT cost_nano FROM usage_by_key") == 1_300 * 10**9


@pytest.mark.parametrize(
    "change",
    [
        {"requests": 6},
        {"requests": None},
        {"tokens_input": 51},
        {"tokens_output": None},
        {"tokens_reasoning": 1},
        {"tokens_cached": 0},
        {"cost_usd": Decimal("0.015000001")},
        {"byok_cost_usd": Decimal(0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_correction_of_any_number_is_written(store: Store, change: dict[str, Any]) -> None:
    write(store, usage_answer(usage_row(), usage_row(model="other/model")))

    corrected = usage_answer(usage_row()._replace(**change), usage_row(model="other/model"))
    counts = write(store, corrected)

    assert (counts.rows_written, counts.rows_unchanged) == (1, 1)
    assert write(store, corrected).rows_written == 0


def test_rows_that_vanished_upstream_go_from_the_days_that_the_answer_mentions(store: Store) -> None:
    write(store, usage_answer(usage_row(model="a"), usage_row(model="b"), usage_row(YESTERDAY, "a")))

    counts = write(store, usage_answer(usage_row(model="b"), since=YESTERDAY))

    assert (counts.rows_unchanged, counts.rows_removed) == (1, 1)
    assert set(costs(store)) == {("2026-11-20", "b"), ("2026-11-19", "a")}


def test_days_that_an_answer_does_not_mention_are_left_alone_and_count_as_read(store: Store) -> None:
    write(store, usage_answer(usage_row(YESTERDAY)))

    write(store, usage_answer(usage_row(), since=BEFORE))

    assert len(costs(store)) == 2
    assert read_days(store) == {TODAY, YESTERDAY, BEFORE}


def test_an_answer_without_rows_writes_only_that_its_days_were_read(store: Store) -> None:
    write(store, usage_answer(usage_row()))

    counts = write(store, usage_answer(since=YESTERDAY, until=TODAY))

    assert (counts.rows_written, counts.rows_removed) == (0, 0)
    assert len(costs(store)) == 1
    assert read_days(store) == {TODAY, YESTERDAY}


def test_another_keys_rows_are_left_alone(store: Store) -> None:
    second = add_key(store, "second")
    write(store, usage_answer(usage_row(model="a"), usage_row(model="b")))

    write(store, usage_answer(usage_row(model="c")), second.id)

    assert set(costs(store)) == {("2026-11-20", name) for name in "abc"}


def test_a_day_of_which_a_row_was_rejected_loses_none(store: Store) -> None:
    write(store, usage_answer(*(usage_row(day, name) for day in (TODAY, YESTERDAY) for name in "ab")))

    counts = write(
        store,
        usage_answer(usage_row(TODAY, "a", cost="9"), usage_row(YESTERDAY, "a"), rejected=(rejected(),)),
    )

    assert counts.rows_removed == 1
    assert costs(store) == {
        ("2026-11-20", "a"): "9",
        ("2026-11-20", "b"): "0.015",
        ("2026-11-19", "a"): "0.015",
    }


def test_a_rejected_row_without_a_day_could_be_of_any_so_none_loses_a_row(store: Store) -> None:
    write(store, usage_answer(usage_row(model="a"), usage_row(model="b"), usage_row(YESTERDAY, "b")))

    counts = write(
        store, usage_answer(usage_row(model="a"), usage_row(YESTERDAY, "a"), rejected=(rejected(None),))
    )

    assert counts.rows_removed == 0
    assert len(costs(store)) == 4


def test_a_row_of_a_day_that_was_not_asked_for_casts_no_doubt_on_those_that_were(store: Store) -> None:
    write(store, usage_answer(usage_row(model="a"), usage_row(model="b")))
    outside = RejectedRow("outside", BEFORE, is_outside_window=True)

    counts = write(store, usage_answer(usage_row(model="a"), since=YESTERDAY, rejected=(outside,)))

    assert counts.rows_removed == 1
    assert read_days(store) == {TODAY, YESTERDAY}


@pytest.mark.parametrize(("day", "read"), [(YESTERDAY, {TODAY, BEFORE}), (None, {TODAY})])
def test_a_day_of_which_only_rejected_rows_came_does_not_count_as_read(
    store: Store, day: date | None, read: set[date]
) -> None:
    write(store, usage_answer(usage_row(), since=BEFORE, rejected=(rejected(day),)))

    assert read_days(store) == read


def test_a_day_that_was_read_before_stays_so_when_its_row_is_rejected_later(store: Store) -> None:
    write(store, usage_answer(since=YESTERDAY, until=TODAY))

    write(store, usage_answer(since=YESTERDAY, until=TODAY, rejected=(rejected(None),)))

    assert read_days(store) == {TODAY, YESTERDAY}


def test_a_day_that_has_not_begun_does_not_count_as_read(store: Store) -> None:
    write(store, usage_answer(usage_row(), until=TODAY + timedelta(days=30)))

    assert read_days(store) == {TODAY}


def test_a_better_source_replaces_the_days_of_a_worse_one_whole(store: Store) -> None:
    write(
        store,
        from_source(UsageSource.COUNTERS, usage_answer(usage_row(model=None), usage_row(YESTERDAY, None))),
    )

    better = usage_answer(usage_row(model="a", provider="azure"), since=YESTERDAY)
    counts = write(store, from_source(UsageSource.USAGE, better))

    assert (counts.rows_written, counts.rows_removed) == (1, 1)
    assert set(costs(store)) == {("2026-11-20", "a"), ("2026-11-19", None)}
    sources = {row[0]: row[2] for row in dump(store, "usage_days")}
    assert sources == {to_day_number(TODAY): "usage", to_day_number(YESTERDAY): "counters"}


@sqlite_only
@pytest.mark.parametrize("doubted", [TODAY, None])
@pytest.mark.parametrize(
    ("worse", "better"),
    [(one, other) for one in UsageSource for other in UsageSource if one.rank < other.rank],
)
def test_a_day_with_a_rejected_row_replaces_nothing_of_another_source(
    store: Store, worse: UsageSource, better: UsageSource, doubted: date | None
) -> None:
    write(store, from_source(worse, usage_answer(usage_row(model="a", cost="3"), usage_row(model="b"))))
    part = usage_answer(usage_row(model="a", cost="9"), rejected=(rejected(doubted),))

    counts = write(store, from_source(better, replace(part, whole_days=frozenset({TODAY}))))

    assert counts == WriteCounts()
    assert costs(store) == {("2026-11-20", "a"): "3", ("2026-11-20", "b"): "0.015"}
    assert {row[2] for row in dump(store, "usage_days")} == {worse.value}
    assert write(store, from_source(better, replace(part, rejected=()))).rows_removed == 1
    assert costs(store) == {("2026-11-20", "a"): "9"}


def test_a_day_with_a_rejected_row_takes_nothing_from_a_sum_of_days(store: Store) -> None:
    for day, spent in ((BEFORE, "1"), (TODAY, "11")):
        with store.write() as connection:
            reading = CounterReading(day, Decimal(spent), Decimal(0))
            ledger.write_counters(connection, 1, reading, NOW)
    part = usage_answer(
        usage_row(BEFORE, cost="4"), usage_row(YESTERDAY, cost="2"), rejected=(rejected(YESTERDAY),)
    )

    write(store, part)

    assert costs(store) == {("2026-11-18", "openai/gpt-4.1"): "4", ("2026-11-20", None): "0"}
    with store.read() as connection:
        [left] = spans.list_spans(connection, BEFORE, TODAY)
    assert left.span.cost_usd == 6


def test_a_worse_source_never_replaces_a_better_one(store: Store) -> None:
    write(store, from_source(UsageSource.ACTIVITY, usage_answer(usage_row(model="a"))))

    worse = usage_answer(usage_row(model="a", cost="9"), usage_row(model="b"), usage_row(YESTERDAY, "a"))
    counts = write(store, from_source(UsageSource.USAGE, worse))

    assert (counts.rows_written, counts.rows_unchanged, counts.rows_removed) == (1, 0, 0)
    assert costs(store) == {("2026-11-20", "a"): "0.015", ("2026-11-19", "a"): "0.015"}
    assert (to_day_number(TODAY), 1, "activity", int(NOW.timestamp()), 0) in dump(store, "usage_days")


def test_a_write_names_the_rows_that_it_wrote_and_those_that_it_replaced(store: Store) -> None:
    cells = {
        model: (to_day_number(TODAY), 1, number, 0) for number, model in enumerate(("a", "b", "c", "d"), 1)
    }
    write(store, usage_answer(*(usage_row(model=model) for model in ("a", "b", "c"))))

    counts = write(
        store, usage_answer(usage_row(model="a"), usage_row(model="b", cost="9"), usage_row(model="d"))
    )

    assert {row[:4] for row in counts.written} == {cells["b"], cells["d"]}
    assert {row[:4] for row in counts.replaced} == {cells["b"], cells["c"]}


def test_a_better_source_that_found_no_use_keeps_a_worse_one_away(store: Store) -> None:
    write(store, from_source(UsageSource.ACTIVITY, usage_answer(since=TODAY, until=TODAY)))

    counts = write(store, from_source(UsageSource.COUNTERS, usage_answer(usage_row())))

    assert (counts.rows_written, counts.rows_unchanged) == (0, 0)


def test_days_before_the_watermark_are_never_written(store: Store) -> None:
    set_watermark(store, YESTERDAY)

    counts = write(store, usage_answer(usage_row(BEFORE), usage_row(YESTERDAY), usage_row()))

    assert (counts.rows_written, counts.rows_unchanged) == (2, 0)
    assert {day for day, _ in costs(store)} == {"2026-11-19", "2026-11-20"}
    assert read_days(store) == {YESTERDAY, TODAY}


@pytest.mark.parametrize("cost", ["0", "1e-9", "0.000000001", "9999999.999999999", "1E+6", "0.1"])
def test_amounts_are_kept_to_the_nano_dollar(store: Store, cost: str) -> None:
    write(store, usage_answer(usage_row(cost=cost), usage_row(model="b", cost=cost)))

    total = scalar(store, "SELECT sum(cost_nano) FROM usage_stats")

    assert isinstance(total, int)
    assert from_nano(total) == 2 * Decimal(cost)


def test_a_name_is_stored_once_however_often_it_comes(store: Store) -> None:
    for _ in range(2):
        write(store, usage_answer(usage_row(model="a"), usage_row(YESTERDAY, "a"), usage_row(model="b")))
    write(store, usage_answer(usage_row(model="c"), usage_row(model="a"), usage_row(model=None)))

    assert dump(store, "models") == [(0, None), (1, "a"), (2, "b"), (3, "c")]


def test_names_may_hold_anything(store: Store) -> None:
    names = ["a'; DROP TABLE models; --", "ünïcödé/模型", "%_\\", "A", "a"]
    with store.write() as connection:
        ids = ledger.name_ids(connection, models, {*names, None})

    assert len(set(ids.values())) == 6
    assert ids[None] == 0
    assert {row[1] for row in dump(store, "models")} == {*names, None}


@sqlite_only
def test_a_first_answer_of_many_rows_takes_few_statements(store: Store) -> None:
    statements = []
    rows = [usage_row(TODAY - timedelta(days=n), f"m{m}") for n in range(30) for m in range(40)]
    with store.write() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        counts = ledger.write_usage(connection, 1, usage_answer(*rows), NOW)

    assert counts.rows_written == 1200
    assert sum("INSERT INTO usage_stats" in statement for statement in statements) == 3


def test_totals_of_a_day_that_changes_are_written_once(store: Store) -> None:
    write(store, usage_answer(usage_row(model="a"), usage_row(model="b"), usage_row(model="c")))
    statements = []
    with store.write() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: statements.append(given[2]))
        answer = usage_answer(usage_row(model="a", cost="7"), usage_row(model="c"), usage_row(model="d"))
        ledger.write_usage(connection, 1, answer, NOW)

    for table in ("usage_by_model", "usage_by_key", "usage_months"):
        assert sum(f"INSERT INTO {table}" in statement for statement in statements) == 1
    with store.read() as connection:
        assert rollups.wrong_days(connection) == set()
        assert rollups.check_months(connection, None).wrong == set()


def test_the_watermark_and_the_birthday_are_told(store: Store) -> None:
    with store.read() as connection:
        assert ledger.kept_from(connection) is None
        assert ledger.created_at(connection) == NOW
    execute(store, "UPDATE ledger_state SET kept_from = ?", to_day_number(TODAY))
    with store.read() as connection:
        assert ledger.kept_from(connection) == TODAY


def test_days_that_the_api_has_forgotten_are_not_days_without_use(store: Store) -> None:
    mentioned = TODAY - timedelta(days=40)

    write(store, usage_answer(since=TODAY - timedelta(days=100), until=TODAY))
    assert scalar(store, "SELECT min(date) FROM usage_days") == to_day_number(TODAY - timedelta(days=30))
    write(store, usage_answer(usage_row(mentioned), since=TODAY - timedelta(days=100), until=TODAY))
    assert scalar(store, "SELECT min(date) FROM usage_days") == to_day_number(mentioned)
    assert scalar(store, "SELECT count(*) FROM usage_days") == 41
