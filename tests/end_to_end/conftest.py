"""Fixtures: a fake server of OpenRouter on loopback, and an account on which orwatch is installed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey
from tests.end_to_end import dates
from tests.end_to_end.packages import once
from tests.end_to_end.support import Machine, copy_home, make_keys

_SECONDS_OF_A_DAY = 24 * 60 * 60
_LONGEST_TEST_SECONDS = 120


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests that read the real date, or could unseen, run on days unlike the others as well."""
    if metafunc.definition.get_closest_marker("real_clock"):
        metafunc.parametrize("_moment", [None, *dates.MOMENTS], ids=["today", *dates.MOMENTS], indirect=True)


@pytest.fixture(autouse=True)
def _moment(request: pytest.FixtureRequest, shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the tests' processes have the same time."""
    name: str | None = getattr(request, "param", None)
    if name is None:
        return
    folder = shared_folder / name.replace(" ", "-").replace(",", "")
    told = folder / "seconds"
    once(folder, lambda: told.write_text(f"{(dates.MOMENTS[name] - dates.now()).total_seconds()}") and None)
    ahead = float(told.read_text())
    dates.move(ahead, monkeypatch.setattr)
    monkeypatch.setattr(dates, "ahead", ahead)


@pytest.fixture(autouse=True)
def _one_day(_moment: None) -> None:
    """No test begins so late that its end is on the next UTC day: the programs read the real clock."""
    midnight = dates.now().replace(hour=0, minute=0, second=0, microsecond=0)
    left = _SECONDS_OF_A_DAY - (dates.now() - midnight).total_seconds()
    if left < _LONGEST_TEST_SECONDS:
        time.sleep(left + 1)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all of the tests' processes have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


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
def prepared(shared_folder: Path) -> Callable[[bool], Path]:
    """Homes to copy, of an account with the three keys, and with their 30 days as well.

    Made anew when the hour changes: a sync of the last hour would soon be a missed one.
    """

    def prepare(is_synced: bool) -> Path:
        folder = shared_folder / f"{'synced' if is_synced else 'watching'}-{dates.now():%Y%m%d%H}"

        def make() -> None:
            keys = make_keys()
            with FakeServer(FakeOpenRouter(keys).answer) as server:
                account = Machine(folder, server.url)
                account.set_up(keys)
                if is_synced:
                    assert account.run("sync", "--days", "30").code == 0

        once(folder, make)
        return folder / "home"

    return prepare


@pytest.fixture
def watching(machine: Machine, prepared: Callable[[bool], Path]) -> Machine:
    """An account with the three keys, before its first sync."""
    copy_home(prepared(False), machine)
    return machine


@pytest.fixture
def synced(machine: Machine, prepared: Callable[[bool], Path]) -> Machine:
    """An account with the three keys and all that the fake server knows of them."""
    copy_home(prepared(True), machine)
    return machine
