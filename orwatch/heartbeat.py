"""Pings in the form that healthchecks.io understands, so that somebody hears when a job stops running.

They never delay a job and never fail it.
"""

from __future__ import annotations

import logging
import threading

from orwatch import __version__
from orwatch.models import Job

_TIMEOUT_SECONDS = 5.0
_MAX_BODY_BYTES = 10_000

log = logging.getLogger(__name__)


class Heartbeat:
    """Tells that one run of a job began and how it ended. Without an address it does nothing."""

    def __init__(self, url: str | None, job: Job) -> None:
        """``url`` may have ``{job}`` in it."""
        self._url = None if url is None else url.replace("{job}", job.value)
        self._job = job
        self._starting: threading.Thread | None = None

    def start(self) -> None:
        """Tell that the run begins; returns at once."""
        if self._url is not None:
            self._starting = threading.Thread(
                target=self._ping, args=("/start", ""), name="heartbeat", daemon=True
            )
            self._starting.start()

    def finish(self, exit_code: int, summary: str) -> None:
        """Tell how the run ended, if it began; waits some seconds at most."""
        self._end(f"/{exit_code}", summary)

    def fail(self, reason: str) -> None:
        """Tell that the run did not come to its end, if it began."""
        self._end("/fail", reason)

    def _end(self, path: str, body: str) -> None:
        if self._starting is None:
            return
        # In their order: an end that overtakes its start would look like a run that goes on.
        self._starting.join(_TIMEOUT_SECONDS)
        self._starting = None
        self._ping(path, body)

    def _ping(self, path: str, body: str) -> None:
        import httpx

        try:
            answer = httpx.post(
                f"{self._url}{path}",
                content=body.encode("utf-8", "replace")[:_MAX_BODY_BYTES],
                headers={"User-Agent": f"orwatch/{__version__}"},
                timeout=_TIMEOUT_SECONDS,
            )
            if not answer.is_success:
                log.info("heartbeat: answered %d", answer.status_code, extra={"job": self._job})
        except Exception as error:
            # Whatever it is: the run matters, its ping does not. The address is a secret.
            log.info("heartbeat: %s", type(error).__name__, extra={"job": self._job})
