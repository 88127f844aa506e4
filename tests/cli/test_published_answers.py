"""Whatever OpenRouter may answer by its own client's types, no command ends in a traceback."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import httpx
import pytest
import respx
from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orwatch.secrets import hash_secret
from tests.cli.support import Home, Orwatch, key_answer, piped
from tests.published import ERRORS, account_answers, mostly
from tests.support import API_URL, NOW, examples, secret_of

HASHES = tuple(hash_secret(secret_of(name)) for name in ("ops", "ci", "unknown"))
# Made before the clock is held still: the types of the client know the real one only.
ANSWERS = account_answers(HASHES)
COMMANDS = (("sync",), ("validate",), ("sync", "--days", "30"), ("doctor",), ("status",), ("report",))


@st.composite
def scripts(draw: st.DrawFn) -> dict[str, list[httpx.Response]]:
    """By the path, a few answers that are given in turn: mostly valid ones, now and then an error."""
    errors = st.sampled_from(list(ERRORS)).flatmap(lambda status: st.tuples(st.just(status), ERRORS[status]))
    script = {}
    for path, answer in ANSWERS.items():
        good = st.tuples(st.just(200), answer)
        given_in_turn = draw(st.lists(mostly(good, errors), min_size=1, max_size=3))
        script[path] = [httpx.Response(status, json=body) for status, body in given_in_turn]
    return script


@pytest.fixture
def prepared(home: Home, orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with the management key ``ops`` and the ordinary key ``ci``."""
    home.set_up("ci")
    monkeypatch.setattr("sys.stdin", piped(secret_of("ops").encode()))
    with respx.mock(base_url=API_URL) as router:
        router.get("/key").mock(return_value=key_answer(is_management_key=True))
        assert orwatch("key", "add", "ops").code == 0
    return Path(shutil.copy(home.database, home.folder / "prepared.db"))


@given(script=scripts())
@settings(max_examples=examples(5), suppress_health_check=list(HealthCheck))
def test_no_answer_is_a_bug(
    home: Home,
    orwatch: Orwatch,
    frozen: FrozenDateTimeFactory,
    waits: list[float],
    prepared: Path,
    script: dict[str, list[httpx.Response]],
) -> None:
    frozen.move_to(NOW)
    shutil.copy(prepared, home.database)
    lock = threading.Lock()
    asked: dict[str, int] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        with lock:
            number = asked[path] = asked.get(path, 0) + 1
        if path not in script:
            return httpx.Response(404, json={"error": {"code": 404, "message": "Not Found"}})
        given_answer = script[path][number % len(script[path])]
        return httpx.Response(given_answer.status_code, content=given_answer.content)

    with respx.mock(base_url=API_URL) as router:
        router.route().mock(side_effect=answer)
        for command in COMMANDS:
            ended = orwatch(*command)
            assert ended.code in {0, 1, 75, 78}, ended.err
