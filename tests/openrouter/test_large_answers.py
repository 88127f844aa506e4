"""Large answers that come in at once: one is read, parsed and handled at a time."""

from __future__ import annotations

import gzip
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import httpx
import pytest
import respx

from orwatch.errors import ApiError
from orwatch.openrouter import large_answers
from orwatch.openrouter.client import Client
from orwatch.openrouter.columns import RowError, read_count, read_day, read_name
from orwatch.openrouter.fan_out import ask_concurrently
from orwatch.openrouter.large_answers import LARGE_BYTES
from orwatch.openrouter.unpacking import Body
from orwatch.openrouter.values import optional_time
from tests.support import API_URL, SECRET, FakeClock

SMALL, LARGE = b" " * LARGE_BYTES, b" " * (LARGE_BYTES + 1)


class Queue:
    """Sees how many questions have a large answer, and waits until so many do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._asked = threading.Semaphore(0)
        take = large_answers.Turn.take

        def counted(turn: large_answers.Turn) -> None:
            self._asked.release()
            take(turn)

        monkeypatch.setattr(large_answers.Turn, "take", counted)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._asked.acquire(timeout=30)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(monkeypatch)


@pytest.fixture
def get(client: Client, respx_mock: respx.MockRouter) -> Callable[[str], bytes]:
    respx_mock.get(url__startswith=f"{API_URL}/small").mock(return_value=httpx.Response(200, content=SMALL))
    respx_mock.get(url__startswith=f"{API_URL}/large").mock(return_value=httpx.Response(200, content=LARGE))
    return lambda path: client.get(path, SECRET)


def test_one_large_answer_is_parsed_and_handled_while_the_others_wait(
    get: Callable[[str], bytes], queue: Queue
) -> None:
    alive = []
    most = 0

    def ask(path: str) -> bytes:
        body = get(path)
        alive.append(path)
        return body

    for number, (path, answer) in enumerate(ask_concurrently([f"/large/{n}" for n in range(8)], ask, 4)):
        if not number:
            queue.wait_for(4)
        assert answer == LARGE
        most = max(most, len(alive))
        alive.remove(path)
    assert most == 1


def test_ordinary_answers_do_not_wait_for_a_large_one(get: Callable[[str], bytes]) -> None:
    together = threading.Barrier(4, timeout=30)

    def ask(path: str) -> bytes:
        body = get(path)
        together.wait()  # passes only when all four have come
        return body

    answers = dict(ask_concurrently(["/large", "/small/1", "/small/2", "/small/3"], ask, 4))
    assert sorted(map(len, answers.values())) == [LARGE_BYTES] * 3 + [LARGE_BYTES + 1]  # type: ignore[arg-type]


def test_what_is_asked_while_a_large_answer_is_handled_does_not_wait(get: Callable[[str], bytes]) -> None:
    for _ in ask_concurrently(["/large/1", "/large/2"], get, 2):
        assert get("/large") == LARGE


def test_a_question_with_several_large_answers_waits_once(get: Callable[[str], bytes]) -> None:
    def ask(path: str) -> int:
        return len(get(path)) + len(get(path))

    assert [answer for _, answer in ask_concurrently(["/large/1", "/large/2"], ask, 2)] == [
        2 * len(LARGE)
    ] * 2


def test_an_error_after_a_large_answer_keeps_no_other_waiting(get: Callable[[str], bytes]) -> None:
    def ask(path: str) -> bytes:
        get(path)
        raise ApiError(path)

    assert all(
        str(error) == path for path, error in ask_concurrently([f"/large/{n}" for n in range(4)], ask, 2)
    )


def test_to_wait_takes_no_time_from_the_request(
    get: Callable[[str], bytes], clock: FakeClock, queue: Queue
) -> None:
    answers = ask_concurrently(["/large/1", "/large/2"], get, 2)
    next(answers)
    queue.wait_for(2)
    clock.advance(seconds=10_000)
    assert next(answers)[1] == LARGE


def test_nobody_waits_once_it_is_over(get: Callable[[str], bytes], queue: Queue) -> None:
    ended = threading.Semaphore(0)

    def ask(path: str) -> bytes:
        with suppress(ApiError):
            return get(path)
        ended.release()
        return b""

    answers = ask_concurrently(["/large/1", "/large/2"], ask, 2)
    next(answers)
    queue.wait_for(2)
    answers.close()  # type: ignore[attr-defined]
    assert ended.acquire(timeout=30)


@pytest.mark.parametrize("packing", ["", "gzip"])
def test_little_of_a_large_answer_is_kept_before_its_turn(packing: str) -> None:
    def refuse() -> None:
        raise ApiError("not yet")

    content = b" " * 20 * LARGE_BYTES
    chunks = [gzip.compress(content)] if packing else [content[:65536]] * 320
    body = Body(packing, len(content), refuse)
    tracemalloc.start()
    try:
        with pytest.raises(ApiError):
            [*map(body.add, chunks)]
        assert tracemalloc.get_traced_memory()[1] < 5 * LARGE_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["\U0001f600", "x", " "])
def test_a_text_of_great_length_is_refused_before_anything_is_made_of_it(text: str) -> None:
    long = text * 1_000_000
    tracemalloc.start()
    try:
        for read in (read_day, partial(read_name, "field"), partial(read_count, "field")):
            with pytest.raises(RowError):
                read(long)
        assert optional_time(long) is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
