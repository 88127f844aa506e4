"""Several requests under way at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from orwatch.errors import ApiError, ApiUnavailableError
from orwatch.openrouter.fan_out import ask_concurrently


class Gauge:
    """Counts how many are under way at once, and the most that ever were."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, item: int) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        with self._lock:
            self.now -= 1
        return item * 10


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_every_item_comes_with_its_own_answer(concurrency: int) -> None:
    gauge = Gauge()

    answers = dict(ask_concurrently(range(40), gauge, concurrency))

    assert answers == {number: number * 10 for number in range(40)}
    assert 1 <= gauge.most <= concurrency


def test_nothing_to_ask_gives_nothing() -> None:
    assert list(ask_concurrently([], Gauge(), 8)) == []


def test_as_many_are_asked_at_once_as_allowed() -> None:
    together = threading.Barrier(4, timeout=30)

    def ask(item: int) -> int:
        together.wait()  # passes only when four are under way
        return item

    assert len(list(ask_concurrently(range(8), ask, 4))) == 8


def test_no_more_items_are_taken_than_can_be_asked_or_wait_to_be_handled() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    handled = 0
    for _ in ask_concurrently(items(), lambda item: item, 5):
        handled += 1
        assert len(taken) <= handled + 5

    assert handled == 100


def test_an_api_error_is_that_items_answer_and_stops_no_other() -> None:
    def ask(item: int) -> int:
        if item % 2:
            raise ApiUnavailableError(f"no answer to {item}", 503)
        return item

    answers = dict(ask_concurrently(range(4), ask, 2))

    assert (answers[0], answers[2]) == (0, 2)
    for item in (1, 3):
        error = answers[item]
        assert isinstance(error, ApiError)
        assert str(error) == f"no answer to {item}"


def test_any_other_exception_ends_it_all() -> None:
    asked = []

    def ask(item: int) -> int:
        asked.append(item)
        raise ZeroDivisionError(item)

    with pytest.raises(ZeroDivisionError):
        list(ask_concurrently(range(1000), ask, 2))

    assert len(asked) < 10


def test_nothing_more_is_asked_when_the_handler_gives_up() -> None:
    asked = []
    answers = ask_concurrently(range(1000), lambda item: asked.append(item), 2)

    next(iter(answers))
    answers.close()  # type: ignore[attr-defined]

    assert len(asked) < 10
