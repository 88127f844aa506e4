"""Fixtures: a fake server of OpenRouter on loopback, and an account on which orwatch is installed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey
from tests.end_to_end.faked_clock import FakedClock, unpack_libfaketime
from tests.end_to_end.packages import UnavailableError, skip
from tests.end_to_end.support import Machine, copy_home, make_keys

_SECONDS_OF_A_DAY = 24 * 60 * 60
_LONGEST_TEST_SECONDS = 120


@pytest.fixture(autouse=True)
def _one_day() -> None:
    """No test begins so late that its end is on the next UTC day: the programs read the real clock."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    left = _SECONDS_OF_A_DAY - (datetime.now(UTC) - midnight).total_seconds()
    if left < _LONGEST_TEST_SECONDS:
        time.sleep(left + 1)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all of the tests' processes have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def faked_clock(shared_folder: Path) -> FakedClock:
    """What gives programs another date."""
    try:
        return unpack_libfaketime(shared_folder / "libfaketime")
    except UnavailableError as error:
        skip("libfaketime", error)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], FakeServer]]:
    """Starts servers, and closes them at the end of the test."""
    with ExitStack() as servers:
        yield lambda answer: servers.enter_context(FakeServer(answer))


@pytest.fixture
def keys() -> tuple[FakeKey, ...]:
    """``production``, ``ci`` and ``laptop``: good keys that do not expire."""
    return make_keys()


@pytest.fixture
def api(keys: tuple[FakeKey, ...]) -> FakeOpenRouter:
    """What OpenRouter answers."""
    return FakeOpenRouter(keys)


@pytest.fixture
def server(api: FakeOpenRouter, serve: Callable[[Answer], FakeServer]) -> FakeServer:
    """OpenRouter without faults."""
    return serve(api.answer)


@pytest.fixture
def machine(tmp_path: Path, server: FakeServer) -> Machine:
    """An account on which orwatch was never run."""
    return Machine(tmp_path / "machine", server.url)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Machine]:
    """Accounts to copy, with the three keys, and with their 30 days as well.

    Made anew when the hour changes: a sync of the last hour would soon be a missed one.
    """
    made: dict[tuple[datetime, bool], Machine] = {}

    def prepare(is_synced: bool) -> Machine:
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if (hour, is_synced) not in made:
            keys = make_keys()
            with FakeServer(FakeOpenRouter(keys).answer) as server:
                account = Machine(tmp_path_factory.mktemp("prepared"), server.url)
                account.set_up(keys)
                if is_synced:
                    assert account.run("sync", "--days", "30").code == 0
            made[hour, is_synced] = account
        return made[hour, is_synced]

    return prepare


@pytest.fixture
def watching(machine: Machine, prepared: Callable[[bool], Machine]) -> Machine:
    """An account with the three keys, before its first sync."""
    copy_home(prepared(False), machine)
    return machine


@pytest.fixture
def synced(machine: Machine, prepared: Callable[[bool], Machine]) -> Machine:
    """An account with the three keys and all that the fake server knows of them."""
    copy_home(prepared(True), machine)
    return machine
