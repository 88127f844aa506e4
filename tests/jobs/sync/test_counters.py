"""Sync of keys whose server has no ``/usage``: exact from the counters of ``GET /key``."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from orwatch.domain.layers import Layer
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import Dimension
from orwatch.jobs.cleanup import run as cleanup_job
from orwatch.jobs.report import run as report_job
from orwatch.jobs.report.run import ReportRequest
from orwatch.jobs.sync import run as sync_job
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus
from orwatch.jobs.validate import run as validate_job
from orwatch.secrets import Keyring
from orwatch.store.engine.database import Store, open_store
from tests.jobs.support import ENCRYPTION_KEY, add_key, item, make_client, usage
from tests.jobs.sync.account_server import AccountServer, usd
from tests.store.support import dump, get_key, on_each_engine
from tests.support import API_URL, NOW, TODAY, FakeClock, examples

NANO = Decimal("1e-9")


class CountingServer(AccountServer):
    """An account of which only the key ``work`` is asked; ``/usage`` is served where that is switched on."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.work = self.create("work", secret_name="work")
        self.unknown_to_counters[self.work] = 100 * 10**9  # spent before anybody watched
        self.has_usage = False

    @property
    def paths(self) -> list[str]:
        """What was asked for."""
        return [path for path, _ in self.requests]

    def spend(self, cost: str, byok: str = "0") -> None:
        self.use(self.work, cost, byok=byok)

    def _answer(self, path: str, secret: str, params: dict[str, Any]) -> httpx.Response:
        if path != "/usage" or not self.has_usage:
            return super()._answer(path, secret, params)
        days = sorted({spot[0] for spot in self.usage})
        asked = [day for day in days if params["start_date"] <= day.isoformat() <= params["end_date"]]
        return usage(*(item(day, cost=f"{usd(self.spent(day=day).cost_nano):f}") for day in asked))


class Watcher:
    """A database with one key, and a server that counts what it spends."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock, self.server = store, clock, CountingServer(clock)
        add_key(store, "work")

    def sync(self, days: int = 7, **others: Any) -> SyncedKey:
        today = self.clock.now().date()
        options = {"reaches_back": True, **others}
        request = sync_job.SyncRequest(sync_job.last_days(today, days), today, **options)
        with respx.mock(base_url=API_URL) as router, make_client(self.clock) as client:
            router.route().mock(side_effect=self.server)
            (key,) = sync_job.run(
                self.store, lambda: client, Keyring([ENCRYPTION_KEY]), request, self.clock
            ).keys
        return key

    def validate(self) -> None:
        with respx.mock(base_url=API_URL) as router, make_client(self.clock) as client:
            router.route().mock(side_effect=self.server)
            validate_job.run(self.store, lambda: client, Keyring([ENCRYPTION_KEY]), self.clock)

    def costs(self, *by: Dimension, since: date | None = None) -> dict[str | None, Decimal | None]:
        request = ReportRequest(since, self.clock.now().date(), by or (Dimension.DAY,))
        rows = report_job.run(self.store, request).table.rows
        return {row.values[0]: row.totals.cost_usd for row in rows}

    def total(self) -> Decimal | None:
        request = ReportRequest(None, self.clock.now().date(), (Dimension.KEY,))
        return report_job.run(self.store, request).table.totals.cost_usd


@pytest.fixture
def watcher(store: Store, clock: FakeClock) -> Watcher:
    return Watcher(store, clock)


def on(day: date) -> str:
    return day.isoformat()


@on_each_engine
def test_the_first_sync_tells_what_today_has_cost_so_far(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.server.keys[watcher.server.work].more = {"budgets": [{"scope": "member"}]}
    synced = watcher.sync()
    assert (synced.status, synced.rows_written) == (SyncKeyStatus.OK, 1)
    assert get_key(watcher.store).facts.layers == (Layer("member"),)
    assert watcher.costs() == {on(TODAY): Decimal("2.5")}
    assert get_key(watcher.store).source is UsageSource.COUNTERS


def test_one_good_sync_a_day_closes_the_day_before_to_the_cent(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    watcher.clock.advance(hours=8)
    watcher.server.spend("4.123456789")  # after the last sync of the day
    watcher.clock.advance(hours=12)
    watcher.server.spend("1")
    watcher.sync()
    assert watcher.costs() == {on(TODAY): Decimal("6.623456789"), on(TODAY + timedelta(1)): Decimal(1)}


def test_syncing_again_changes_nothing(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    watcher.clock.advance(days=3)
    watcher.server.spend("1")
    watcher.sync()
    before = [dump(watcher.store, table) for table in ("usage_stats", "usage_spans", "usage_days")]
    assert watcher.sync().rows_written == 0
    assert [dump(watcher.store, table) for table in ("usage_stats", "usage_spans", "usage_days")] == before


@on_each_engine
def test_days_that_were_missed_show_as_one_span_with_their_exact_sum(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    for _ in range(4):
        watcher.clock.advance(days=1)
        watcher.server.spend("1.25")
    watcher.sync()
    today = TODAY + timedelta(days=4)
    assert watcher.costs() == {
        f"{TODAY}/{today - timedelta(days=1)}": Decimal("6.25"),
        on(today): Decimal("1.25"),
    }
    assert watcher.costs(Dimension.MONTH) == {"2026-11": Decimal("7.5")}
    assert watcher.costs(Dimension.KEY) == {"work": Decimal("7.5")}
    assert watcher.costs(Dimension.MODEL) == {None: Decimal("7.5")}


def test_a_report_that_cuts_a_span_says_so_and_leaves_it_out(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    watcher.clock.advance(days=3)
    watcher.sync()
    today = watcher.clock.now().date()
    result = report_job.run(watcher.store, ReportRequest(today - timedelta(days=1), today))
    assert result.table.totals.cost_usd == 0
    assert any("work spent $2.5 from 2026-11-20 to 2026-11-22" in note for note in result.notes)


def test_a_counter_that_goes_down_starts_anew_and_says_so(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    watcher.clock.advance(days=1)
    watcher.server.unknown_to_counters[watcher.server.work] = -watcher.server.spent().cost_nano
    watcher.server.spend("1")
    assert any("went down" in note for note in watcher.sync().notes)
    assert watcher.costs() == {on(TODAY): Decimal("2.5"), on(TODAY + timedelta(days=1)): Decimal(1)}
    watcher.clock.advance(days=1)
    watcher.server.spend("3")
    assert watcher.sync().notes == ()
    assert watcher.costs()[on(TODAY + timedelta(days=1))] == 1


@on_each_engine
def test_the_day_is_the_servers_when_the_clocks_differ_around_midnight(watcher: Watcher) -> None:
    watcher.clock.current = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
    watcher.server.spend("5")
    watcher.sync()
    watcher.server.clock_is_ahead = -timedelta(minutes=2)
    watcher.clock.current = datetime(2026, 11, 21, 0, 1, tzinfo=UTC)
    watcher.server.spend("1")  # at 23:59 by the server's clock
    watcher.sync()
    watcher.clock.current = datetime(2026, 11, 21, 1, 0, tzinfo=UTC)
    watcher.sync()
    assert watcher.costs() == {"2026-11-20": Decimal(6), "2026-11-21": Decimal(0)}


def test_a_server_without_usage_is_asked_for_it_once_and_again_after_validate(watcher: Watcher) -> None:
    watcher.sync()
    watcher.sync()
    assert watcher.server.paths == ["/usage", "/key", "/key"]
    watcher.server.requests.clear()
    watcher.validate()
    watcher.sync()
    watcher.sync()
    assert watcher.server.paths == ["/key", "/usage", "/key", "/key"]


def test_a_server_without_usage_is_asked_for_it_again_after_a_day_without_validate(watcher: Watcher) -> None:
    watcher.sync()
    watcher.clock.advance(hours=25)
    watcher.sync()
    assert watcher.server.paths == ["/usage", "/key", "/usage", "/key"]


@on_each_engine
def test_better_days_replace_counted_ones_and_go_out_of_the_span(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    for _ in range(4):
        watcher.clock.advance(days=1)
        watcher.server.spend("1.25")
    watcher.sync()
    watcher.server.has_usage = True
    watcher.validate()
    watcher.sync(days=2, reaches_back=False)  # of the two days one lies in the span
    today = TODAY + timedelta(days=4)
    assert watcher.total() == Decimal("7.5")
    assert watcher.costs() == {
        f"{TODAY}/{today - timedelta(days=1)}": Decimal(5),
        on(today - timedelta(days=1)): Decimal("1.25"),
        on(today): Decimal("1.25"),
    }
    watcher.sync(days=7)
    assert dump(watcher.store, "usage_spans") == []
    assert watcher.total() == Decimal("7.5")


def test_counters_never_replace_days_that_usage_has_told(watcher: Watcher) -> None:
    watcher.server.has_usage = True
    watcher.server.spend("2.5")
    watcher.sync()
    watcher.server.has_usage = False
    watcher.server.spend("9")
    watcher.sync()
    assert watcher.costs(Dimension.MODEL) == {"openai/gpt-4.1": Decimal("2.5")}


@pytest.mark.parametrize("source", [UsageSource.USAGE, UsageSource.COUNTERS])
def test_a_source_that_is_set_is_the_only_one_that_is_asked(watcher: Watcher, source: UsageSource) -> None:
    synced = watcher.sync(source=source)
    assert watcher.server.paths == [{"usage": "/usage", "counters": "/key"}[source]]
    assert synced.status is (SyncKeyStatus.FAILED if source is UsageSource.USAGE else SyncKeyStatus.OK)


def test_byok_is_kept_apart(watcher: Watcher) -> None:
    watcher.server.spend("2", byok="7")
    watcher.sync()
    totals = report_job.run(watcher.store, ReportRequest(TODAY, TODAY)).table.totals
    assert (totals.cost_usd, totals.byok_cost_usd) == (Decimal(2), Decimal(7))


def test_an_answer_without_the_counters_is_an_error_of_the_key(watcher: Watcher) -> None:
    with respx.mock(base_url=API_URL) as router, make_client(watcher.clock) as client:
        router.get("/usage").respond(404)
        router.get("/key").respond(json={"data": {"label": "a"}})
        request = sync_job.SyncRequest(TODAY, TODAY)
        (synced,) = sync_job.run(
            watcher.store, lambda: client, Keyring([ENCRYPTION_KEY]), request, watcher.clock
        ).keys
    assert synced.status is SyncKeyStatus.FAILED
    assert "does not report the counters" in (synced.error or "")


def test_a_dry_run_writes_no_reading(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    assert watcher.sync(is_dry_run=True).rows_written == 1
    assert dump(watcher.store, "key_counters") == dump(watcher.store, "usage_stats") == []


@on_each_engine
def test_cleanup_leaves_a_span_as_it_is_and_no_sync_counts_it_again(watcher: Watcher) -> None:
    watcher.server.spend("2.5")
    watcher.sync()
    watcher.clock.advance(days=3)
    watcher.server.spend("1")
    watcher.sync()
    before = [watcher.costs(by) for by in (Dimension.MONTH, Dimension.WEEK, Dimension.KEY)]
    cleanup_job.run(watcher.store, 1, watcher.clock)
    watcher.sync()
    assert [watcher.costs(by) for by in (Dimension.MONTH, Dimension.WEEK, Dimension.KEY)] == before
    assert watcher.total() == Decimal("3.5")


def test_a_span_of_two_months_is_booked_to_neither_by_cleanup(watcher: Watcher) -> None:
    watcher.clock.advance(days=8)  # 28 November
    watcher.sync()
    watcher.server.spend("1")
    watcher.clock.advance(days=6)
    watcher.server.spend("2")
    watcher.sync()
    cleanup_job.run(watcher.store, 1, watcher.clock)
    assert watcher.costs(Dimension.MONTH)["2026-11/2026-12"] == Decimal(1)


def test_days_of_a_span_that_are_told_after_a_cleanup_are_not_counted_twice(watcher: Watcher) -> None:
    watcher.sync()
    for cost in ("1", "2", "4", "8"):
        watcher.server.spend(cost)
        watcher.clock.advance(days=1)
    watcher.sync()
    assert watcher.total() == Decimal(15)
    cleanup_job.run(watcher.store, 2, watcher.clock)

    watcher.server.has_usage = True
    watcher.validate()  # which lets the next sync look for a better source
    watcher.sync()

    assert watcher.costs()[on(watcher.clock.now().date() - timedelta(days=1))] == Decimal(8)
    assert watcher.total() == Decimal(15)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), st.integers(0, 10**10)),
        st.tuples(st.just("wait"), st.integers(1, 60)),
        st.tuples(st.sampled_from(["sync", "validate", "cleanup", "switch"]), st.just(0)),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=examples(25))
def test_whatever_happens_the_stored_total_is_the_servers(
    tmp_path_factory: pytest.TempPathFactory, new_database: Path, steps: list[tuple[str, int]]
) -> None:
    clock = FakeClock(NOW)
    path = shutil.copy(new_database, tmp_path_factory.mktemp("counters"))
    store = open_store(f"sqlite:///{path}", NOW)
    try:
        watcher = Watcher(store, clock)
        watcher.sync()
        for step, number in [*steps, ("sync", 0)]:
            if step == "spend":
                watcher.server.spend(f"{number * NANO:f}")
            elif step == "wait":
                clock.advance(hours=number)
            elif step == "cleanup":
                cleanup_job.run(store, 40, clock)
            elif step == "switch":
                watcher.server.has_usage = not watcher.server.has_usage
                watcher.validate()
            elif step == "validate":
                watcher.validate()
            else:
                assert watcher.sync(days=30).status is SyncKeyStatus.OK
        if not any(step == "switch" for step, _ in steps):
            assert watcher.total() == usd(watcher.server.spent().cost_nano)
    finally:
        store.close()
