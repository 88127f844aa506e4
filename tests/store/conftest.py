"""Fixtures for the store."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orwatch.store.engine.database import Store, open_store
from tests.postgres import PostgresServer, running_server
from tests.support import NOW


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database that was just created."""
    path = tmp_path_factory.mktemp("new") / "orwatch.db"
    open_store(f"sqlite:///{path}", NOW).close()
    return path


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    folder = tmp_path_factory.getbasetemp()
    # Processes of one run have neighbouring folders.
    with running_server(folder.parent if os.environ.get("PYTEST_XDIST_WORKER") else folder) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """What the database is: each test runs on both, but for those that say otherwise."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> Iterator[str]:
    """A new database of its own: a copy of one, for its creation takes a tenth of a second and more."""
    if engine == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        with server.new_store_database() as url:
            yield url
        return
    path = tmp_path / "data" / "orwatch.db"
    path.parent.mkdir(mode=0o700)
    shutil.copy(request.getfixturevalue("new_database"), path)
    yield f"sqlite:///{path}"


@pytest.fixture
def another_url(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> Iterator[Callable[[], str]]:
    """Names databases in which nothing was ever created; on PostgreSQL they exist."""
    numbers = itertools.count()
    with ExitStack() as databases:

        def name_one() -> str:
            if engine == "postgres":
                server: PostgresServer = request.getfixturevalue("postgres")
                return databases.enter_context(server.database())
            return f"sqlite:///{tmp_path}/new{next(numbers)}/orwatch.db"

        yield name_one


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """A new database, open."""
    store = open_store(database_url, NOW)
    yield store
    store.close()
