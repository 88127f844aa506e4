"""What no library ends in time, such as the look-up of a name, done so that time and signals end it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

Made = TypeVar("Made")


def within(seconds: float | None, make: Callable[[], Made], close: Callable[[Made], None]) -> Made:
    """What ``make`` makes in a thread of its own; ``close`` is for what comes too late.

    Raises ``TimeoutError`` when it takes longer.
    """
    made: Future[Made] = Future()

    def run() -> None:
        try:
            result = make()
        except BaseException as error:
            with suppress(InvalidStateError):
                made.set_exception(error)
            return
        try:
            made.set_result(result)
        except InvalidStateError:  # nobody waits for it any more
            close(result)

    threading.Thread(target=run, name="connect", daemon=True).start()
    try:
        return made.result(seconds)
    except TimeoutError:
        if made.cancel():
            raise
        return made.result()
    except BaseException:  # a signal
        made.cancel()
        raise
