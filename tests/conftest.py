"""Fixtures for all rooms."""

from __future__ import annotations

import os
import select
import ssl
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from orwatch.store.engine.database import Store, open_store
from tests.support import NOW, FakeClock

_WAITING = {("end_to_end", f"test_{name}.py") for name in ("at_once", "daemons", "postgres")}


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: the end-to-end tests mostly wait, for daemons, rate limits and processes."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those first that wait for minutes, for rate limits and daemons: others run meanwhile."""
    items.sort(key=lambda item: (item.path.parent.name, item.path.name) not in _WAITING)


if "faketime" in os.environ.get("LD_PRELOAD", ""):
    # libfaketime, until its version of 2024, makes something else of a sleep until a moment of the monotonic
    # clock, which is how Python sleeps.
    time.sleep = lambda seconds: select.select((), (), (), seconds) and None


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Every client reads all the certificates, which takes longer than most of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands at NOW until somebody sleeps on it."""
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A new database in a file."""
    store = open_store(f"sqlite:///{tmp_path}/data/orwatch.db", NOW)
    yield store
    store.close()
