"""Pings in the form that healthchecks.io understands, so that a job that stops running is noticed.

They never fail a job, and are waited for only when it is over, for some seconds.
"""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

from orwatch import __version__
from orwatch.domain.runs import Job
from orwatch.redaction import presentable

_TIMEOUT_SECONDS = 5.0
# A server that is slow to answer has heard of the start all the same: the end need not wait for that.
_HEARD_AFTER_SECONDS = 2.0
_LAST_WAIT_SECONDS = 5.0
_MAX_BODY_BYTES = 10_000

log = logging.getLogger(__name__)


class Heartbeat:
    """Reports that one run of a job began and how it ended. Without an address it does nothing."""

    def __init__(self, url: str | None, job: Job) -> None:
        """``url`` may have ``{job}`` in it."""
        self._url = None if url is None else url.replace("{job}", job.value)
        self._starting: threading.Thread | None = None

    def start(self) -> None:
        """Report that the run begins; returns at once."""
        if self._url is not None:
            self._starting = threading.Thread(
                target=self._ping, args=("/start", ""), name="heartbeat", daemon=True
            )
            self._starting.start()

    def finish(self, exit_code: int, summary: str) -> None:
        """Report how the run ended, if it began; waits some seconds at most."""
        self._end(f"/{exit_code}", summary)

    def fail(self, reason: str) -> None:
        """Report that the run did not come to its end, if it began."""
        self._end("/fail", reason)

    def _end(self, suffix: str, body: str) -> None:
        starting, self._starting = self._starting, None
        if starting is None:
            return

        def report() -> None:
            # In their order: an end that overtakes its start would look like a run that goes on.
            starting.join(_HEARD_AFTER_SECONDS)
            self._ping(suffix, body)

        # Beside the main thread, so that a signal ends the wait at once.
        ending = threading.Thread(target=report, name="heartbeat", daemon=True)
        ending.start()
        ending.join(_LAST_WAIT_SECONDS)
        if ending.is_alive():
            log.info("heartbeat: no answer in %g s", _LAST_WAIT_SECONDS)

    def _ping(self, suffix: str, body: str) -> None:
        import httpx

        from orwatch.openrouter.certificates import trusted_certificates
        from orwatch.openrouter.proxies import proxy_for

        try:
            url = httpx.URL(_with_suffix(self._url or "", suffix))
            certificates = trusted_certificates()
            # The answer itself is not read, however long it is.
            with httpx.stream(
                "POST",
                url,
                content=presentable(body).encode("utf-8", "replace")[:_MAX_BODY_BYTES],
                headers={"User-Agent": f"orwatch/{__version__}"},
                timeout=_TIMEOUT_SECONDS,
                verify=certificates,
                proxy=proxy_for(url, certificates),
                trust_env=False,
            ) as answer:
                if not answer.is_success:
                    log.info("heartbeat: answered %d", answer.status_code)
        except Exception as error:
            # Whatever it is: the run matters, its ping does not. The address is a secret.
            log.info("heartbeat: %s", type(error).__name__)


def _with_suffix(url: str, suffix: str) -> str:
    """The address with something added to its path, whatever query follows that."""
    parts = urlsplit(url)
    return parts._replace(path=parts.path.rstrip("/") + suffix).geturl()
