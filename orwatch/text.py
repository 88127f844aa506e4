"""Text from outside made safe for a terminal and a log, counted nouns, and what is a terminal."""

from __future__ import annotations

from typing import IO


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


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether the stream is a terminal; one that was closed before the start is None."""
    return stream is not None and stream.isatty()


def counted(number: float, noun: str) -> str:
    """``1 key``, ``2 keys``, ``1,000 keys``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
