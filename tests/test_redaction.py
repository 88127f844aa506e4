"""The one redaction: which secrets it knows, in which forms, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from orwatch import redaction
from orwatch.config.settings import load_settings
from orwatch.errors import UnexpectedAnswerError
from orwatch.openrouter.parse import parse_error
from orwatch.openrouter.values import load_json
from orwatch.redaction import (
    keep_api_key,
    keep_secret,
    may_hold_secret,
    presentable,
    redact,
    without_echo,
)
from orwatch.secrets import Vault, clean_secret, generate_encryption_key
from tests.support import SECRET, secret_of

HINT = "sk-or-…a29f"
AWKWARD = 'Gateway/key+"with"\\odd=letters'


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def test_nothing_is_known_at_first_and_nothing_is_changed() -> None:
    assert redact(f"key {SECRET}") == f"key {SECRET}"


def test_a_secret_is_shown_as_its_hint() -> None:
    keep_api_key(SECRET)
    keep_secret("of another kind")
    assert redact(f"{SECRET}, {SECRET} and of another kind.") == f"{HINT}, {HINT} and …."


@pytest.mark.parametrize("change", [str.upper, lambda secret: secret.removeprefix("sk-or-v1-"), str.lower])
def test_an_api_key_is_known_in_capitals_and_without_what_all_keys_begin_with(
    change: Callable[[str], str],
) -> None:
    keep_api_key(SECRET)
    assert redact(f"key {change(SECRET)}") == f"key {HINT}"
    assert (
        without_echo(f'{{"model": "{change(SECRET)}"}}'.encode(), SECRET) == f'{{"model": "{HINT}"}}'.encode()
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("spaces", [0, 1900, 1965, 3950, 5000])
def test_no_part_of_a_secret_is_quoted_from_what_is_not_json(encoding: str, spaces: int) -> None:
    keep_api_key(SECRET)
    with pytest.raises(UnexpectedAnswerError) as raised:
        load_json((" " * spaces + SECRET + " " * 5000).encode(encoding))
    random = SECRET.rpartition("-")[2]
    assert not any(random[place : place + 8] in str(raised.value) for place in range(len(random) - 8))


def test_a_message_of_megabytes_is_none() -> None:
    body = json.dumps({"error": {"message": "ab " * 1_000_000}}).encode()
    assert parse_error(body) is None


def test_the_beginning_of_a_secret_alone_is_left_as_it_is() -> None:
    keep_api_key(SECRET)
    assert redact("sk-or-v1-012...a29f") == "sk-or-v1-012...a29f"


def test_a_secret_within_another_one_leaves_nothing_of_it() -> None:
    keep_secret("inner-secret")
    keep_secret("inner-secret-and-outer")
    assert redact("an inner-secret-and-outer one") == "an … one"


@pytest.mark.parametrize(
    "written", [str, str.lower, repr, json.dumps, lambda text: quote(text, safe=""), lambda text: f"{[text]}"]
)
def test_a_secret_is_found_as_hosts_literals_json_and_addresses_write_it(
    written: Callable[[str], str],
) -> None:
    keep_api_key(AWKWARD)
    text = redact(f"<{written(AWKWARD)}>")
    assert "odd" not in text
    assert "…ters" in text


@pytest.mark.parametrize("word", ["", "key", "sk-12", "secret", "openai"])
def test_what_is_too_short_to_be_told_from_words_is_left_alone(word: str) -> None:
    keep_api_key(word)
    assert redact("this key sk-12 of openai is no secret") == "this key sk-12 of openai is no secret"


def test_several_lines_stay_lines_and_are_made_printable() -> None:
    keep_api_key(SECRET)
    assert presentable(f"a\x1b[1m {SECRET}\nb\r") == f"a\ufffd[1m {HINT}\nb\ufffd"


# Who keeps them.


def test_secrets_that_are_opened_typed_or_made_are_known() -> None:
    encryption_key, later_key = generate_encryption_key(), generate_encryption_key()
    assert redact(f"{encryption_key} {later_key}") == "… …"
    assert redact(f"key {clean_secret(secret_of('typed'))}.").startswith("key sk-or-…")


def test_a_secret_is_known_when_it_is_opened() -> None:
    key = generate_encryption_key()
    token = Vault([key]).seal(SECRET)
    assert redact(SECRET) == SECRET
    Vault([key]).open(token)
    assert redact(SECRET) == HINT


def test_an_encryption_key_is_known_when_it_is_used() -> None:
    key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
    Vault([key])
    assert redact(f"is {key} wrong?") == "is … wrong?"


@pytest.mark.parametrize(
    ("name", "value", "secrets"),
    [
        ("ENCRYPTION_KEY", "first-encryption-key,second-one", ["first-encryption-key", "second-one"]),
        ("DATABASE_URL", "postgresql://me:p%40ss-word1@db/orwatch", ["p@ss-word1", "p%40ss-word1"]),
        ("DATABASE_URL", "postgresql://db/orwatch?password=p-word12", ["p-word12"]),
        ("DATABASE_URL", "postgresql://me:correcthorsebattery@db/orwatch", ["correcthorsebattery"]),
        ("HEARTBEAT_URL", "https://hc.example/0b1c-uuid/?token=t0k3n-1", ["0b1c-uuid", "t0k3n-1"]),
        ("HEARTBEAT_URL", "https://hc.example/ping-k3y-1/orwatch-{job}", ["ping-k3y-1"]),
        ("HEARTBEAT_URL", "https://me:pa55-word@hc.example/x", ["pa55-word"]),
    ],
)
def test_secrets_among_the_settings_are_known(name: str, value: str, secrets: list[str]) -> None:
    load_settings({"HOME": "/", f"ORWATCH_{name}": value})
    assert [redact(f"said {secret}.") for secret in secrets] == ["said …."] * len(secrets)
    assert redact("orwatch-sync at hc.example, db/orwatch") == "orwatch-sync at hc.example, db/orwatch"


def test_a_password_that_is_a_plain_word_does_not_garble_every_message() -> None:
    load_settings({"HOME": "/", "ORWATCH_DATABASE_URL": "postgresql://postgres:postgres@db/orwatch"})
    assert redact("cannot open postgresql://postgres@db") == "cannot open postgresql://postgres@db"


# Where text enters.


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("write", [str, escaped], ids=["plain", "escaped"])
def test_an_echo_is_taken_out_of_whatever_an_answer_says_in_whatever_encoding(
    encoding: str, write: Callable[[str], str]
) -> None:
    keep_api_key(SECRET)
    keep_api_key(secret_of("another"))
    text = f"""{{"error": {{"message": "no {write(SECRET)}"}},
        "data": [["{write(SECRET)}", 1, {{"name": "{write(secret_of("another"))}"}}]]}}"""
    body = text.encode(encoding)
    assert parse_error(body) == f"no {HINT}"
    assert load_json(body)["data"] == [[HINT, 1, {"name": redact(secret_of("another"))}]]


def test_a_whole_answer_that_is_one_text_is_redacted_too() -> None:
    keep_api_key(SECRET)
    assert load_json(f'"{escaped(SECRET)}"'.encode()) == HINT


@pytest.mark.parametrize("body", [b'{"data": []}', b'"sk-or-"', b"", b'{"key": "an0ther-start"}'])
def test_the_answers_that_come_are_not_searched_word_by_word(body: bytes) -> None:
    keep_api_key("gateway-" + SECRET)
    assert not may_hold_secret(body)


def test_an_answer_of_any_depth_is_searched() -> None:
    keep_api_key(SECRET)
    value = load_json(b"[" * 900 + f'"{escaped(SECRET)}"'.encode() + b"]" * 900)
    while isinstance(value, list):
        (value,) = value
    assert value == HINT


def test_what_is_looked_for_in_an_answer_does_not_grow_with_the_number_of_keys() -> None:
    for number in range(300):
        keep_api_key(f"sk-or-v1-{number:064x}")
    assert len(redaction._known.sent_starts) == 2
