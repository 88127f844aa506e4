"""Large answers one at a time: of several that come in at once all but one wait, most of them unread.

What an answer takes in memory, as JSON and as rows, is up to ten times its length.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from orwatch.errors import ApiError

LARGE_BYTES = 1024**2

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# Of each thread: the turn of what it asks for.
_thread = threading.local()


def wait_for_turn() -> None:
    """Wait until no other large answer of the same ``LargeAnswers`` is read, parsed or handled.

    At once in a thread of none, and for what has its turn already. Raises ``ApiError`` when all is over.
    """
    turn: Turn | None = getattr(_thread, "turn", None)
    if turn is not None:
        turn.take()


class LargeAnswers:
    """Lets one of several threads at a time go on with a large answer."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.holder: Turn | None = None
        self.is_over = False

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self.changed:
            self.is_over = True
            self.changed.notify_all()


class Turn:
    """What one question needs before it may go on with a large answer."""

    def __init__(self, answers: LargeAnswers) -> None:
        self._answers = answers

    def ask(self, ask: Callable[[Item], Answer], item: Item) -> Answer:
        """Ask in this thread; where the answer is large, the turn is kept until it is given back."""
        _thread.turn = self
        try:
            return ask(item)
        finally:
            _thread.turn = None

    def take(self) -> None:
        """Wait for it. Raises ``ApiError`` when all is over."""
        answers = self._answers
        with answers.changed:
            answers.changed.wait_for(lambda: answers.is_over or answers.holder in {None, self})
            if answers.is_over:
                raise ApiError("nobody waits for the answer any more")
            answers.holder = self

    def give_back(self) -> None:
        """Let the next one go on, if this one had its turn."""
        answers = self._answers
        with answers.changed:
            if answers.holder is self:
                answers.holder = None
                answers.changed.notify_all()
