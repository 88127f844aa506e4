"""Fixtures for the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import respx

from orwatch.openrouter.client import Client
from tests.databases import filled
from tests.jobs.support import FakeApi, make_client
from tests.store.conftest import another_url as another_url
from tests.store.conftest import database_url as database_url
from tests.store.conftest import new_database as new_database
from tests.store.conftest import postgres as postgres
from tests.store.conftest import store as store
from tests.support import API_URL, FakeClock


@pytest.fixture
def engine() -> str:
    """SQLite, but for the tests marked ``on_each_engine``.

    What databases do differently is the store's, whose tests run on each. So do those of jobs whose
    statements no test of the store's sends: a new kind of statement needs one of them.
    """
    return "sqlite"


@pytest.fixture(scope="session")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database with something of everything in it, to copy."""
    path = tmp_path_factory.mktemp("filled") / "orwatch.db"
    with filled(f"sqlite:///{path}"):
        return path


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """An API behind the real client; nothing else can be reached."""
    api = FakeApi()
    with respx.mock(base_url=API_URL, assert_all_called=False) as router:
        router.route().mock(side_effect=api)
        yield api


@pytest.fixture
def client(api: FakeApi, clock: FakeClock) -> Iterator[Client]:
    """The real client, without a rate limit, on a clock that nobody has to wait for."""
    with make_client(clock) as client:
        yield client
