"""For Python under a faked clock, which loads this when it starts from a PYTHONPATH with this folder.

Python sleeps until a moment of the monotonic clock. Even where it is told not to fake that clock, libfaketime
(until 2024) makes another moment of it, or none at all: an error.
"""

import select
import time


def _sleep(seconds: float) -> None:
    select.select((), (), (), seconds)


time.sleep = _sleep
