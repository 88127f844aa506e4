"""Where alerts go: addresses of Apprise, each of which may be a secret as a whole, and a command."""

from __future__ import annotations

import re
import shlex
from urllib.parse import unquote, urlsplit

from orwatch.errors import SettingsError
from orwatch.redaction import keep_password, keep_secret

# As Apprise takes them apart: what stands between two of them may also be a part of one.
_BETWEEN = re.compile(r"[\s,;]+(?=[a-z0-9]+://)", re.IGNORECASE | re.ASCII)
_ADDRESS = re.compile(r"[a-z0-9]+://\S.*", re.IGNORECASE | re.ASCII)
_MARKS = re.compile(r"[/:@?&=#,;\s]+")
# Hosts are named in messages about other things, too.
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,12}|\d+(?:\.\d+){3}|\d+", re.ASCII)


def notify_urls(text: str, _name: str) -> tuple[str, ...]:
    """The addresses, each once. What is none is one of them: nothing that fails to be sent may end a job."""
    urls = tuple(dict.fromkeys(url.strip(" \t\r\n,;") for url in _BETWEEN.split(text)))
    for url in urls:
        _keep_secrets(url)
    return urls


def command_words(text: str, name: str) -> tuple[str, ...]:
    """A program and its arguments, taken apart as a shell does. No error shows them."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SettingsError(
            f"{name} cannot be run ({error})", "Write a program and its arguments, no shell."
        ) from None
    return tuple(words)


def is_address(url: str) -> bool:
    """Whether it has the form of an address."""
    return bool(_ADDRESS.fullmatch(url)) and url.isprintable()


def scheme(url: str) -> str:
    """What an address begins with, and all of it that may be shown."""
    return url.partition("://")[0].lower() if is_address(url) else "address"


def parts(url: str) -> set[str]:
    """What an address is made of, behind its scheme, as it is written and as it is meant."""
    raw = {part for part in _MARKS.split(url.partition("://")[2]) if part}
    return raw | {unquote(part) for part in raw}


def _keep_secrets(url: str) -> None:
    keep_secret(url)
    for part in parts(url):
        if not _HOST.fullmatch(part):
            keep_password(part)
    try:
        password = urlsplit(url).password
    except ValueError:
        return
    for form in (password, unquote(password or "")):
        keep_password(form)
