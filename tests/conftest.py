"""Fixtures for all rooms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orwatch.store.database import Store, open_store
from tests.support import NOW, FakeClock


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
