"""The body of an answer while it comes in: unpacked, and within its bound at every moment of that."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence

from orwatch.openrouter.large_answers import LARGE_BYTES

PACKINGS = "gzip, deflate"  # what is asked for
_KNOWN = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_BARE_DEFLATE = -zlib.MAX_WBITS  # what some servers mean by deflate


def packing_of(encodings: Sequence[str]) -> str:
    """How a body is packed, from the values of ``Content-Encoding``; empty where it is not.

    Raises ``ValueError`` for what was not asked for, and for what is packed more than once.
    """
    packings = [each for each in map(str.lower, encodings) if each not in {"", "identity"}]
    if len(packings) > 1 or not _KNOWN.issuperset(packings):
        raise ValueError(f"it is packed as {', '.join(packings)}, and not with one of {PACKINGS}")
    return packings[0] if packings else ""


class Body:
    """A body of at most ``most`` bytes, packed and unpacked."""

    def __init__(self, packing: str, most: int, when_large: Callable[[], None] = lambda: None) -> None:
        """``when_large`` is called once, before much more than ``LARGE_BYTES`` are kept."""
        self._content = bytearray()
        self._most = most
        self._when_large = when_large
        self._is_large = False
        self._received = 0
        self._is_deflate = packing == "deflate"
        self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB) if packing else None

    def add(self, chunk: bytes) -> bool:
        """Unpack some more; whether it stays within the bound. Raises ``zlib.error``."""
        is_first = not self._received
        self._received += len(chunk)
        try:
            self._keep(self._unpacked(chunk))
        except zlib.error:
            if not (is_first and self._is_deflate):
                raise
            self._unpacker = zlib.decompressobj(_BARE_DEFLATE)
            self._keep(self._unpacked(chunk))
        return max(self._received, len(self._content)) <= self._most

    def _keep(self, parts: Iterator[bytes]) -> None:
        for part in parts:
            self._content += part
            if len(self._content) > LARGE_BYTES and not self._is_large:
                self._is_large = True
                self._when_large()

    def _unpacked(self, chunk: bytes) -> Iterator[bytes]:
        """The chunk in parts that are not large; not the rest of what is too much."""
        if self._unpacker is None:
            yield chunk
            return
        while chunk and not self._unpacker.eof and len(self._content) <= self._most:
            # One byte more than there may be shows that there is too much.
            room = self._most + 1 - len(self._content)
            yield self._unpacker.decompress(chunk, min(room, LARGE_BYTES))
            chunk = self._unpacker.unconsumed_tail

    def whole(self) -> bytes:
        """All of it. Raises ``zlib.error`` where it ends too early."""
        if self._unpacker is not None and self._received and not self._unpacker.eof:
            raise zlib.error("the packed body ends too early")
        return bytes(self._content)
