"""An account that is watched for weeks, whatever happens: nothing is lost, and nothing is counted twice."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orwatch.domain.keys import StoredKey
from orwatch.errors import WrongClockError
from orwatch.jobs.sync.result import SyncKeyStatus
from orwatch.store.engine.database import open_store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import CLAUDE, GPT, MANAGEMENT, AccountWatcher, Spot, Use
from tests.support import NOW, FakeClock, examples, secret_of

MODELS = (GPT, CLAUDE)
PROVIDERS = ("OpenAI", "Azure")
NAMES = ("red", "blue", "red")

Step: TypeAlias = tuple[Any, ...]


class World:
    """An account, its watcher, and the most that any day was ever told to have cost."""

    def __init__(self, folder: Path, template: Path) -> None:
        shutil.copy(template, folder / "orwatch.db")
        self.store = open_store(f"sqlite:///{folder}/orwatch.db", NOW)
        self.clock = FakeClock(NOW)
        self.watcher = AccountWatcher(self.store, self.clock)
        self.server = self.watcher.server
        self.most: dict[date, int] = {}

    def key(self, number: int) -> str | None:
        """A key of the account that is not deleted; for some numbers the chat room."""
        listed = [key.key_hash for key in self.server.keys.values() if not key.is_deleted]
        return [*listed, None][number % (len(listed) + 1)]

    def do(self, step: Step) -> None:
        getattr(self, step[0])(*step[1:])
        for day in {day for day, *_ in self.server.usage}:
            self.most[day] = max(self.most.get(day, 0), self.server.spent(day=day).cost_nano)

    def use(self, key: int, model: int, provider: int, nano: int, byok: int) -> None:
        self.server.use(
            self.key(key),
            nano,
            model=MODELS[model],
            provider=PROVIDERS[provider],
            byok=byok,
            requests=nano % 3 + 1,
        )

    def correct(self, days_ago: int, row: int, nano: int) -> None:
        day = self.server.today - timedelta(days=days_ago)
        # Deleted keys are asked about for three days only: what is corrected after that stays.
        spots = sorted((spot for spot in self.server.usage if spot[0] == day and self.lives(spot)), key=repr)
        if spots:
            self.server.correct(spots[row % len(spots)], Use(1, 2, 3, nano, nano // 2))

    def lives(self, spot: Spot) -> bool:
        return spot[1] is None or not self.server.keys[spot[1]].is_deleted

    def create(self, name: int) -> None:
        self.server.create(NAMES[name])

    def rename(self, key: int, name: int) -> None:
        if (key_hash := self.key(key)) is not None:
            self.server.keys[key_hash].name = NAMES[name]

    def delete(self, key: int) -> None:
        # Without a key and without workspaces nothing tells that two management keys are of one account.
        first = next(iter(self.server.keys))
        key_hash = self.key(key)
        if key_hash is not None and key_hash != first:
            self.server.keys[key_hash].is_deleted = True

    def wait(self, hours: int) -> None:
        self.clock.advance(hours=hours)

    def lose(self, path: str, status: int) -> None:
        self.server.missing[path] = status

    def fail(self, path: str) -> None:
        self.server.failing[path] = 500

    def fail_for_a_key(self, key: int) -> None:
        if (key_hash := self.key(key)) is not None:
            self.server.failing[key_hash] = 500

    def replace_management_key(self) -> None:
        """From now on another management key is the one that is valid."""
        valid, other = sorted(["boss", "deputy"], key=lambda name: secret_of(name) in self.server.revoked)
        self.server.managers = {secret_of(other)}
        self.server.revoked = {secret_of(valid)}
        if other not in self.watcher.names():
            add_key(self.store, other, facts=MANAGEMENT)
        self.watcher.validate()

    def keep_both_management_keys(self) -> None:
        """Those that were invalid are valid again."""
        self.server.managers |= self.server.revoked
        self.server.revoked = set()
        self.watcher.validate()

    def mend(self) -> None:
        self.server.missing.clear()
        self.server.failing.clear()

    def clean_up(self, days: int) -> None:
        # Of a clock that nobody has compared with the API's for a month, nothing is believed.
        with suppress(WrongClockError):
            self.watcher.clean_up(days)

    def sync(self) -> None:
        self.watcher.sync()
        self.check_nothing_is_counted_twice()

    def sync_and_die(self, requests: int) -> None:
        self.server.dies_after = requests
        with suppress(KeyboardInterrupt):
            self.watcher.sync()
        self.server.dies_after = None
        self.check_nothing_is_counted_twice()

    def stored(self, day: date) -> Use:
        return sum(self.watcher.rows(day).values(), Use())

    def check_nothing_is_counted_twice(self) -> None:
        for day, most in self.most.items():
            assert self.stored(day).cost_nano <= most, day
        assert self.watcher.total_nano() <= sum(self.most.values())

    def check_all_is_there(self) -> None:
        names = {key.key_hash: key.name for key in self.watcher_keys()}
        kept = self.watcher.kept_from()
        for number in range(1, 31):
            day = self.server.today - timedelta(days=number)
            if day < kept:
                continue
            assert self.stored(day) == self.server.spent(day=day), day
            rows = self.watcher.rows(day)
            for key in self.server.keys.values():
                if not key.is_deleted:
                    own = [use for (name, *_), use in rows.items() if name == names[key.key_hash]]
                    assert sum(own, Use()) == self.server.spent(day=day, key_hash=key.key_hash), (day, key)

    def watcher_keys(self) -> list[StoredKey]:
        with self.store.read() as connection:
            return stored_keys.list_keys(connection)


numbers = st.integers(0, 4)
STEP = st.one_of(
    st.tuples(
        st.just("use"),
        numbers,
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(0, 10**10),
        st.sampled_from([0, 0, 7_000_000]),
    ),
    st.tuples(st.just("correct"), st.integers(1, 2), numbers, st.integers(0, 10**10)),
    st.tuples(st.sampled_from(["create", "delete", "fail_for_a_key"]), st.integers(0, 2)),
    st.tuples(st.just("rename"), numbers, st.integers(0, 2)),
    st.tuples(st.just("wait"), st.one_of(st.integers(1, 30), st.sampled_from([24 * 9, 24 * 33, 24 * 40]))),
    st.tuples(st.just("sync")),
    st.tuples(st.just("sync")),
    st.tuples(st.just("sync_and_die"), st.integers(0, 12)),
    st.tuples(
        st.just("lose"), st.sampled_from(["/activity", "/analytics/query"]), st.sampled_from([404, 403])
    ),
    st.tuples(st.just("fail"), st.sampled_from(["/activity", "/analytics/query", "/keys", "/credits"])),
    st.tuples(st.sampled_from(["mend", "replace_management_key", "keep_both_management_keys"])),
    st.tuples(st.just("clean_up"), st.sampled_from([5, 20, 35, 60])),
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once."""
    path = tmp_path_factory.mktemp("template") / "orwatch.db"
    open_store(f"sqlite:///{path}", NOW).close()
    return path


def run_world(tmp_path_factory: pytest.TempPathFactory, template: Path, steps: list[Step]) -> None:
    world = World(tmp_path_factory.mktemp("world"), template)
    try:
        world.server.create("red")
        for step in steps:
            world.do(step)
        world.mend()
        for days in (3, 1):
            world.watcher.next_day(days)
            world.sync()
            assert {key.status for key in world.watcher.result.keys} == {SyncKeyStatus.OK}
        world.check_all_is_there()
    finally:
        world.store.close()


@given(st.lists(STEP, max_size=30))
@settings(max_examples=examples(25))
def test_whatever_happens_every_day_within_reach_is_the_servers_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, template: Path, steps: list[Step]
) -> None:
    run_world(tmp_path_factory, template, steps)
