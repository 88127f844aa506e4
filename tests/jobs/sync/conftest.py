"""An account whose management key is watched."""

from __future__ import annotations

import pytest

from orwatch.store.engine.database import Store
from tests.jobs.sync.account_server import AccountWatcher
from tests.support import FakeClock


@pytest.fixture
def watcher(store: Store, clock: FakeClock) -> AccountWatcher:
    return AccountWatcher(store, clock)
