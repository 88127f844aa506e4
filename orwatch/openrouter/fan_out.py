"""Several requests under way at once, their answers handled one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from orwatch.errors import ApiError, KeyRejectedError
from orwatch.openrouter.large_answers import LargeAnswers, Turn

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def ask_concurrently(
    items: Iterable[Item], ask: Callable[[Item], Answer], concurrency: int
) -> Iterator[tuple[Item, Answer | ApiError]]:
    """Each item with its answer, or with the ``ApiError`` that asking raised, as they come."""
    for answers in ask_in_groups(items, ask, concurrency):
        yield from answers


def ask_in_groups(
    items: Iterable[Item], ask: Callable[[Item], Answer], concurrency: int
) -> Iterator[list[tuple[Item, Answer | ApiError]]]:
    """As ``ask_concurrently``, together what has come meanwhile, so that it can be handled at once.

    At most ``concurrency`` are asked, wait or are handled at once, so that memory does not grow with the
    number of items; of large answers one is read, parsed and handled at a time. Any other exception ends
    it all.
    """
    waiting = iter(items)
    under_way: dict[Future[Answer], tuple[Item, Turn]] = {}
    large_answers = LargeAnswers()
    executor = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="ask")

    def begin(count: int) -> None:
        for item in islice(waiting, count):
            turn = Turn(large_answers)
            under_way[executor.submit(turn.ask, ask, item)] = (item, turn)

    try:
        begin(concurrency)
        while under_way:
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            come = [(future, *under_way.pop(future)) for future in done]
            answers: list[tuple[Item, Answer | ApiError]] = []
            for future, item, _ in come:
                try:
                    answers.append((item, future.result()))
                except ApiError as error:
                    answers.append((item, error))
            yield answers
            for _, _, turn in come:
                turn.give_back()
            begin(len(come))
    finally:
        large_answers.end()
        executor.shutdown(wait=False, cancel_futures=True)


def ask_twice(
    items: Iterable[Item],
    ask: Callable[[Item], Answer],
    concurrency: int,
    wait: Callable[[int], None],
    is_doubted: Callable[[Item], bool] = lambda _item: True,
) -> Iterator[tuple[Item, Answer | ApiError]]:
    """As ``ask_concurrently``; of what is refused (401) and doubted the answer is that to a second question.

    Good keys are refused now and then. These questions come at the end, after ``wait`` with their number.
    """
    refused = []
    for item, answer in ask_concurrently(items, ask, concurrency):
        if isinstance(answer, KeyRejectedError) and is_doubted(item):
            refused.append(item)
        else:
            yield item, answer
    if refused:
        wait(len(refused))
        yield from ask_concurrently(refused, ask, concurrency)
