"""Fixtures for the store."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orwatch.store.database import Store, open_store
from tests.support import NOW


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a database that was just created."""
    path = tmp_path_factory.mktemp("new") / "orwatch.db"
    open_store(f"sqlite:///{path}", NOW).close()
    return path


@pytest.fixture
def store(tmp_path: Path, new_database: Path) -> Iterator[Store]:
    """A new database of its own: a copy of one, for its creation takes a tenth of a second."""
    path = tmp_path / "data" / "orwatch.db"
    path.parent.mkdir(mode=0o700)
    shutil.copy(new_database, path)
    store = open_store(f"sqlite:///{path}", NOW)
    yield store
    store.close()
