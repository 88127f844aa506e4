"""Alerts to an address of Apprise, an extra that is imported only where there is one.

Nothing of an address leaves this module: what Apprise says of it is heard, and told without its parts.
"""

from __future__ import annotations

import logging
import threading
import warnings
from typing import Any

from orwatch.config.notify import parts
from orwatch.jobs.alert.outgoing import Failure, Outgoing
from orwatch.redaction import redact
from orwatch.text import printable

NOT_INSTALLED = (
    "Apprise is not installed: in a clone, pip install '.[notify]' (pipx: pipx inject orwatch apprise)"
)
_NO_ADDRESS = (
    "Apprise can make nothing of the address: it is wrong, or needs a library that is missing; that of a "
    "webhook begins with json:// or jsons://"
)
_MAX_SHOWN = 200
_LEAST_PART = 3


def problem(url: str) -> str | None:
    """Why the address cannot be used, as far as that is seen without sending anything."""
    try:
        return None if _service(url) else _NO_ADDRESS
    except ImportError:
        return NOT_INSTALLED


def deliver(url: str, outgoing: Outgoing, seconds: float) -> Failure | None:
    """Send a message, and wait so long at most; why it failed, or None."""
    ends: list[str | None] = []
    # Whatever the server does: neither every service of Apprise nor a name that is looked up has a limit.
    thread = threading.Thread(target=lambda: ends.append(_send(url, outgoing)), name="alert", daemon=True)
    thread.start()
    thread.join(seconds)
    if not ends:
        return Failure(f"no answer in {seconds:g} s", is_late=True)
    return None if ends[0] is None else Failure(ends[0])


def _send(url: str, outgoing: Outgoing) -> str | None:
    heard = _Heard(logging.WARNING)
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    try:
        service = _service(url)
        if service is None:
            return _NO_ADDRESS
        import apprise

        sender = apprise.Apprise(asset=service.asset)
        sender.add(service)
        kind = apprise.NotifyType.SUCCESS if outgoing.message.is_recovery else apprise.NotifyType.WARNING
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_sent = sender.notify(
                title=outgoing.message.title,
                body=outgoing.message.body,
                body_format=apprise.NotifyFormat.TEXT,
                notify_type=kind,
            )
    except ImportError:
        return NOT_INSTALLED
    except Exception as error:
        # Whatever it is, and whatever it says: the address may be in it.
        return type(error).__name__
    finally:
        logger.removeHandler(heard)
    return None if is_sent else _without(url, heard.last or "not accepted")


def _service(url: str) -> Any:
    """Apprise's object for the address, or None. Raises ``ImportError``."""
    # Apprise and its services warn of what only their authors can change.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import apprise

        asset = apprise.AppriseAsset(
            app_id="orwatch",
            app_desc="orwatch",
            async_mode=False,
            storage_mode=apprise.PersistentStoreMode.MEMORY,  # nothing on the disk
        )
        return apprise.Apprise.instantiate(url, asset=asset)


class _Heard(logging.Handler):
    """Keeps the last thing that Apprise said."""

    last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = record.getMessage()


def _without(url: str, text: str) -> str:
    """What Apprise says, without any part of the address."""
    text = redact(text)
    for part in sorted(parts(url), key=len, reverse=True):
        if len(part) >= _LEAST_PART and not part.isdecimal():
            text = text.replace(part, "…")
    return printable(text)[:_MAX_SHOWN].rstrip(". ")
