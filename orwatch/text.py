"""Text from outside made safe to show, what looks like a secret, near names, counted nouns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import IO

# Keys of OpenRouter, keys of others that begin alike, and encryption keys. No hint (``sk-or-…a29f``) and no
# label of OpenRouter's (``sk-or-v1-012...a29f``) is one.
_SECRET = re.compile(
    r"sk-or-v\d+-[\w-]{8,}|(?<![A-Za-z0-9])sk-(?=[\w-]{0,200}\d)[\w-]{20,}|(?<![\w-])[\w-]{43}=(?![\w=])",
    re.ASCII,
)


def printable(text: str) -> str:
    """The text with every control, format and bidirectional character replaced by U+FFFD."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "�" for character in text)


def secret_hint(secret: str) -> str:
    """How a secret is shown: its prefix and its last four characters, ``sk-or-…a29f``.

    A secret too short to stay secret without those is shown as ``…`` alone.
    """
    if len(secret) < 16:
        return "…"
    prefix = "sk-or-" if secret.startswith("sk-or-") else ""
    return f"{prefix}…{secret[-4:]}"


def has_secret(text: str) -> bool:
    """Whether something in the text looks like an API key or an encryption key."""
    return _SECRET.search(text) is not None


def without_secrets(text: str) -> str:
    """The text with the hint in the place of whatever looks like a secret."""
    return _SECRET.sub(lambda found: secret_hint(found[0]), text)


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether the stream is a terminal; one that was closed before the start is None."""
    return stream is not None and stream.isatty()


def counted(number: float, noun: str) -> str:
    """``1 key``, ``2 keys``, ``1,000 keys``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def first_of(items: Sequence[str], most: int, *, count: int | None = None, separator: str = ", ") -> str:
    """The first items, and how many more there are: ``a, b and 3 more``, ``a; b; and 3 more``.

    ``count``: how many there are, where ``items`` has not all of them.
    """
    more = (len(items) if count is None else count) - most
    listed = separator.join(items[:most])
    end = " and" if separator == ", " else f"{separator.rstrip()} and"
    return f"{listed}{end} {more:,} more" if more > 0 else listed


def nearest(text: str, names: Iterable[str], count: int = 1, likeness: float = 0.6) -> list[str]:
    """The names that are most like the text, in capitals or not, the most alike first.

    ``likeness``: how much at least, from 0 to 1.
    """
    import difflib

    by_lower = {name.lower(): name for name in sorted(names)}
    return [by_lower[near] for near in difflib.get_close_matches(text.lower(), by_lower, count, likeness)]


def holding_or_nearest(text: str, names: Iterable[str], count: int = 1) -> list[str]:
    """The names that the text is a part of, in capitals or not; else the nearest ones."""
    known, part = sorted(names), text.lower()
    holding = [name for name in known if part and part in name.lower()]
    return holding[:count] or nearest(text, known, count)
