"""The one redaction: every secret in use is taken out of texts from outside, and once more of what leaves.

Whoever opens, reads or makes a secret keeps it here; whoever logs, prints, stores or sends a text asks here.
"""

from __future__ import annotations

import re

from orwatch.text import printable, secret_hint

# Shorter ones, and short plain words, would take parts of words out of every message.
_LEAST_LENGTH = 6
_LEAST_LENGTH_OF_LETTERS = 8
_LEAST_LENGTH_OF_A_WORD = 16  # of a password: `postgres` is a common one
_START_LENGTH = _LEAST_LENGTH

# What may be the random part of an API key, with what all keys begin with or without it.
_RANDOM = re.compile(r"(?:sk-or-v\d+-)?([0-9a-z]{32,})", re.ASCII | re.IGNORECASE)


class _Known:
    """Each form of each secret and what is shown instead; and how these forms begin.

    Lists, for they can be added to while another thread reads them.
    """

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.forms: list[tuple[str, str]] = []
        self.starts: list[str] = []
        # The hints of API keys by their random parts: looked up, for there may be thousands.
        self.hints: dict[str, str] = {}
        # Of API keys: of all secrets an answer can only echo what was sent.
        self.sent_starts: list[bytes] = []


_known = _Known()


def keep_api_key(secret: str) -> None:
    """Have this API key shown as its hint from now on, also where an answer echoes it."""
    hint = secret_hint(secret)
    keep_secret(secret, hint)
    if secret not in _known.secrets:
        return
    if (random := _random_part(secret)) is not None:
        _known.hints[random.lower()] = hint
    for form in (secret, secret.upper()):
        start = form[:_START_LENGTH].encode("utf-8", "replace")
        if start not in _known.sent_starts:
            _known.sent_starts.append(start)


def _random_part(secret: str) -> str | None:
    """What follows ``sk-or-v1-``: all that is secret of an API key."""
    found = _RANDOM.search(secret)
    return None if found is None else found[1]


def keep_secret(secret: str, hint: str = "…") -> None:
    """Have this secret shown as its hint from now on."""
    if secret in _known.secrets:
        return
    if len(secret) < (_LEAST_LENGTH_OF_LETTERS if secret.isalpha() else _LEAST_LENGTH):
        return
    # Most commands keep none, and `--help` loads neither.
    import json
    from urllib.parse import quote

    _known.secrets.add(secret)
    # As it is, as a host's name, in a literal, in JSON and in an address.
    for form in {
        secret,
        secret.lower(),
        secret.upper(),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        quote(secret, safe=""),
    }:
        _known.forms.append((form, hint))
        start = form[:_START_LENGTH]
        if start not in _known.starts:
            _known.starts.append(start)


def keep_password(password: str | None) -> None:
    """Have a password shown as ``…``, unless it is a plain word."""
    if password and (len(password) >= _LEAST_LENGTH_OF_A_WORD or not password.isalpha()):
        keep_secret(password)


def keep_address(url: str) -> None:
    """Have those parts of an address shown as ``…`` that whoever knows them can use it by."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    for part in (*parts.path.split("/"), *parts.query.replace("&", "=").split("="), parts.password):
        if part and "{" not in part:
            keep_password(part)


def without_echo(body: bytes, secret: str) -> bytes:
    """An answer without the secret that was sent for it, as far as that stands there in plain letters."""
    forms = {secret, secret.upper()}
    if (random := _random_part(secret)) is not None:
        forms |= {random, random.upper()}
    for form in sorted(forms, key=len, reverse=True):
        body = body.replace(form.encode(), secret_hint(secret).encode())
    return body


def may_hold_secret(body: bytes) -> bool:
    """Whether an answer may hold a secret once it is decoded; quick, also where it is large."""
    # What is escaped, or written in more bytes than one a letter, shows only when it is decoded.
    if b"\\" in body or b"\0" in body[:4]:
        return True
    return any(start in body for start in _known.sent_starts)


def redact(text: str) -> str:
    """The text with the hint of each secret in its place."""
    if any(start in text for start in _known.starts):
        found = [(form, hint) for form, hint in _known.forms if form in text]
        # One may be a part of another.
        for form, hint in sorted(found, key=lambda pair: len(pair[0]), reverse=True):
            text = text.replace(form, hint)
    if _known.hints:
        text = _RANDOM.sub(lambda part: _known.hints.get(part[1].lower(), part[0]), text)
    return text


def presentable(text: str) -> str:
    """A text of several lines without secrets, each line safe for a terminal and a log."""
    return "\n".join(map(printable, redact(text).split("\n")))
