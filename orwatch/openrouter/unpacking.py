"""The body of an answer while it comes in: unpacked, and within its bound at every moment of that."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

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

    def __init__(self, packing: str, most: int) -> None:
        self._content = bytearray()
        self._most = most
        self._received = 0
        self._is_deflate = packing == "deflate"
        self._unpacker = zlib.decompressobj(_GZIP_OR_ZLIB) if packing else None

    def add(self, chunk: bytes) -> bool:
        """Unpack some more; whether it stays within the bound. Raises ``zlib.error``."""
        is_first = not self._received
        self._received += len(chunk)
        if self._unpacker is None:
            self._content += chunk
        elif not self._unpacker.eof:
            try:
                self._content += self._unpack(chunk)
            except zlib.error:
                if not (is_first and self._is_deflate):
                    raise
                self._unpacker = zlib.decompressobj(_BARE_DEFLATE)
                self._content += self._unpack(chunk)
        return max(self._received, len(self._content)) <= self._most

    def _unpack(self, chunk: bytes) -> bytes:
        # One byte more than there may be shows that there is too much; the rest stays packed.
        room = self._most + 1 - len(self._content)
        return b"" if self._unpacker is None else self._unpacker.decompress(chunk, room)

    def whole(self) -> bytes:
        """All of it. Raises ``zlib.error`` where it ends too early."""
        if self._unpacker is not None and self._received and not self._unpacker.eof:
            raise zlib.error("the packed body ends too early")
        return bytes(self._content)
