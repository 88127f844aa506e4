"""A home of its own for each test, a clock that stands still, and the command line as a function."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import respx
from freezegun import freeze_time
from freezegun.api import FrozenDateTimeFactory

from orwatch.cli import run
from orwatch.cli.context import SystemClock
from tests import answers
from tests.cli.support import Home, Orwatch, Outcome, piped
from tests.store.conftest import postgres as postgres
from tests.support import API_URL, NOW


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Folders that are empty, and no setting in the environment but the address of an API."""
    for name in list(os.environ):
        if name.startswith("ORWATCH_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setenv("ORWATCH_OPENROUTER_API_URL", API_URL)
    monkeypatch.setattr("sys.stdin", piped(b""))
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path)


@pytest.fixture(scope="package")
def _stopped() -> Iterator[FrozenDateTimeFactory]:
    """The real clock stands: once for all, for to stop it takes longer than most of the tests."""
    # pytest measures how long the tests take by the same functions.
    with freeze_time(NOW, ignore=["_pytest.timing"]) as factory:
        yield factory


@pytest.fixture(autouse=True)
def frozen(_stopped: FrozenDateTimeFactory) -> FrozenDateTimeFactory:
    """The real clock stands at NOW."""
    _stopped.move_to(NOW)
    return _stopped


@pytest.fixture(autouse=True)
def api() -> Iterator[respx.MockRouter]:
    """Nothing reaches the network; what is asked without an answer being set up is an error.

    But for the public list of models, which a sync asks for once a day: there is none.
    """
    with respx.mock(base_url=API_URL, assert_all_called=False) as router:
        router.get("/models").respond(404)
        yield router


@pytest.fixture
def waits(frozen: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waiting takes no time: the seconds that were waited for, each time."""
    waited: list[float] = []

    def sleep(_clock: SystemClock, seconds: float) -> None:
        waited.append(seconds)
        frozen.tick(seconds)

    monkeypatch.setattr(SystemClock, "sleep", sleep)
    return waited


@pytest.fixture
def orwatch(capsys: pytest.CaptureFixture[str]) -> Orwatch:
    """Runs a command in this process."""

    def orwatch(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = run(arguments)
        captured = capsys.readouterr()
        answers.check(arguments, captured.out, captured.err)
        return Outcome(code, captured.out, captured.err)

    return orwatch
