"""Packed answers: once, with what was asked for, and within the bound while they are unpacked."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
import respx

from orwatch.errors import ApiError, ApiUnavailableError, UnexpectedAnswerError
from orwatch.openrouter import client as client_module
from orwatch.openrouter.client import Client
from orwatch.openrouter.unpacking import Body
from tests.support import API_URL, SECRET

KEY_URL = f"{API_URL}/key"
TEXT = b'{"data": "' + b"x" * 1000 + b'"}'


def bare_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def packed(content: bytes, packing: str, status: int = 200, size: int = 7) -> httpx.Response:
    """An answer that comes in pieces."""
    pieces = (content[place : place + size] for place in range(0, len(content), size))
    return httpx.Response(status, headers={"Content-Encoding": packing}, content=pieces)


@pytest.mark.parametrize(
    ("packing", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
        ("", bytes),
        ("identity, gzip", gzip.compress),
    ],
)
def test_an_answer_that_is_packed_as_asked_is_unpacked(
    client: Client, respx_mock: respx.MockRouter, packing: str, pack: Callable[[bytes], bytes]
) -> None:
    route = respx_mock.get(KEY_URL).mock(return_value=packed(pack(TEXT), packing))
    assert client.get("/key", SECRET) == TEXT
    assert route.calls.last.request.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("packing", ["gzip, gzip", "gzip,deflate", "br", "zstd", "compress", f"\x1b{SECRET}"])
def test_an_answer_that_is_packed_twice_or_otherwise_is_unexpected(
    client: Client, respx_mock: respx.MockRouter, packing: str
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=packed(gzip.compress(gzip.compress(TEXT)), packing))
    with pytest.raises(
        UnexpectedAnswerError, match="the answer to GET /key cannot be read: it is pack"
    ) as raised:
        client.get("/key", SECRET)
    assert SECRET[:12] not in str(raised.value)
    assert str(raised.value).isprintable()


def test_two_headers_are_two_packings(client: Client, respx_mock: respx.MockRouter) -> None:
    headers = [("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")]
    respx_mock.get(KEY_URL).mock(return_value=httpx.Response(200, headers=headers, content=iter([b"x"])))
    with pytest.raises(UnexpectedAnswerError, match="packed as gzip, gzip"):
        client.get("/key", SECRET)


@pytest.mark.parametrize(("status", "error"), [(503, ApiUnavailableError), (403, ApiError)])
def test_a_status_that_says_enough_needs_no_unpacking(
    client: Client, respx_mock: respx.MockRouter, status: int, error: type[ApiError]
) -> None:
    respx_mock.get(KEY_URL).mock(side_effect=lambda _request: packed(b"x", "br", status))
    with pytest.raises(error, match=f"GET /key answered {status}"):
        client.get("/key", SECRET)


@pytest.mark.parametrize("cut", [1, 9, 11, 20, -1])
def test_a_packed_answer_that_ends_too_early_is_unexpected(
    client: Client, respx_mock: respx.MockRouter, cut: int
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=packed(gzip.compress(TEXT)[:cut], "gzip"))
    with pytest.raises(UnexpectedAnswerError, match="cannot be read: the packed body ends too early"):
        client.get("/key", SECRET)


def test_an_empty_answer_is_not_packed(client: Client, respx_mock: respx.MockRouter) -> None:
    respx_mock.get(KEY_URL).mock(return_value=packed(b"", "gzip"))
    assert client.get("/key", SECRET) == b""


def test_what_follows_a_packed_answer_is_not_read_as_one(
    client: Client, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get(KEY_URL).mock(return_value=packed(gzip.compress(TEXT) + b"padding" * 9, "gzip"))
    assert client.get("/key", SECRET) == TEXT


@pytest.mark.parametrize(("size", "is_within"), [(999, True), (1000, True), (1001, False), (10**6, False)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_the_bound_is_exact(pack: Callable[[bytes], bytes], size: int, is_within: bool) -> None:
    body = Body("" if pack is bytes else "gzip", 1000)
    assert body.add(pack(b"x" * size)) is is_within


def test_a_bomb_takes_no_more_memory_than_the_bound() -> None:
    bomb = gzip.compress(bytes(64 * 1024**2))
    body = Body("gzip", 1024**2)
    tracemalloc.start()
    try:
        assert not body.add(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024**2
    finally:
        tracemalloc.stop()


def test_an_answer_that_is_packed_into_too_much_or_out_of_too_much_is_unexpected(
    client: Client, respx_mock: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_at_length() -> Iterator[bytes]:
        packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        yield packer.compress(b"")
        while True:
            yield packer.flush(zlib.Z_FULL_FLUSH)  # a block without content
            packer.compress(b"")
            yield b"\x00\x00\x00\xff\xff" * 10

    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", 100_000)
    headers = {"Content-Encoding": "gzip"}
    for content in (nothing_at_length(), iter([gzip.compress(bytes(100_001))])):
        respx_mock.get(KEY_URL).mock(return_value=httpx.Response(200, headers=headers, content=content))
        with pytest.raises(UnexpectedAnswerError, match="the answer is larger than"):
            client.get("/key", SECRET)
