"""Fixtures for all rooms."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import freezegun
import pytest
from hypothesis import is_hypothesis_test

from orwatch import redaction
from orwatch.store.engine.database import Store, open_store
from tests.support import NOW, FakeClock

# Its hundreds of modules are loaded when they are first looked at, and a clock that is held still would look
# at them all: for seconds, and with its own dates in their types.
freezegun.configure(extend_ignore_list=["openrouter"])

_LONG = {("end_to_end", f"test_{name}.py") for name in ("at_once", "daemons", "demo", "postgres")}


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: the end-to-end tests mostly wait, for daemons, rate limits and processes."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each of the tests' processes begins with some of those that take long, not one with them all.

    Examples that are made up anew count for nothing in the coverage, so that it is the same each time: a case
    that is written out has to run each line. And counting takes half as long again as they do.
    """
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker("no_cover")
    processes = getattr(config, "workerinput", {"workercount": 1})["workercount"]
    long = [item for item in items if (item.path.parent.name, item.path.name) in _LONG]
    others = iter([item for item in items if item not in long])
    share = len(items) // processes  # what --dist=worksteal gives to each at first
    ordered: list[pytest.Item] = []
    for number in range(processes):
        ordered += long[number::processes]
        ordered += islice(others, max(0, (number + 1) * share - len(ordered)))
    items[:] = [*ordered, *others]


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Every client reads all the certificates, which takes longer than most of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", cache(ssl.create_default_context))
        yield


@pytest.fixture(autouse=True)
def _no_test_knows_the_secrets_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", redaction._Known())


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
