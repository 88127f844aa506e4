"""Secrets: what is accepted as one, and how they are sealed and opened."""

from __future__ import annotations

import base64
import hashlib
import traceback

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from orwatch.errors import EXIT_SETTINGS, EncryptionKeyError
from orwatch.secrets import MAX_SECRET_LENGTH, Vault, clean_secret, generate_encryption_key, hash_secret
from tests.support import SECRET

OLD, NEW, OTHER = (base64.urlsafe_b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
LONG = base64.urlsafe_b64encode(bytes(33)).decode()
secrets = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100)


def test_a_generated_encryption_key_is_one_that_fernet_takes_and_never_the_same() -> None:
    key = generate_encryption_key()
    token = Fernet(key).encrypt(b"text")
    assert Fernet(key.encode()).decrypt(token) == b"text"
    assert generate_encryption_key() != key


@given(secrets)
def test_what_is_sealed_is_opened_again_and_cannot_be_read_in_between(secret: str) -> None:
    vault = Vault([OLD])
    token = vault.seal(secret)
    assert vault.open(token) == secret
    assert len(secret) < 8 or secret not in token


def test_sealing_twice_gives_different_tokens() -> None:
    assert Vault([OLD]).seal(SECRET) != Vault([OLD]).seal(SECRET)


def test_any_of_several_encryption_keys_opens_and_the_first_one_seals() -> None:
    rotated = Vault([NEW, OLD])
    assert rotated.open(Vault([OLD]).seal(SECRET)) == SECRET
    assert Vault([NEW]).open(rotated.seal(SECRET)) == SECRET
    with pytest.raises(EncryptionKeyError):
        Vault([OLD]).open(rotated.seal(SECRET))


def test_of_several_tokens_those_that_open_are_opened_and_none_at_all_is_an_error() -> None:
    vault = Vault([OLD])
    secrets, unopened = vault.open_all({1: vault.seal(SECRET), 2: "rubbish", 3: None})
    assert (secrets, set(unopened)) == ({1: SECRET}, {2, 3})
    with pytest.raises(EncryptionKeyError):
        vault.open_all({2: "rubbish"})
    assert vault.open_all({}) == ({}, {})


@pytest.mark.parametrize(
    "token",
    [
        Fernet(OTHER).encrypt(SECRET.encode()).decode(),
        Fernet(OLD).encrypt(SECRET.encode()).decode()[:-4],
        Fernet(OLD).encrypt(b"\xff\xfe").decode(),
        "",
        "rubbish",
        "ünreadable",
        SECRET,
    ],
    ids=["another key", "cut", "not text", "empty", "rubbish", "not ASCII", "never sealed"],
)
def test_a_token_that_no_encryption_key_opens_is_an_error_that_shows_nothing_of_it(token: str) -> None:
    with pytest.raises(EncryptionKeyError, match="does not open the stored secret") as raised:
        Vault([NEW, OLD]).open(token)
    assert raised.value.exit_code == EXIT_SETTINGS
    shown = "".join(traceback.format_exception(raised.value))
    assert not token or token not in shown
    assert OLD not in shown


@pytest.mark.parametrize(
    "key",
    ["", "short", "not base64!", OLD[:-4], LONG, OLD[:-1], "schlüssel", SECRET],
    ids=["empty", "short", "no base64", "31 bytes", "33 bytes", "no padding", "not ASCII", "an API key"],
)
@pytest.mark.parametrize("others", [[], [OLD]], ids=["alone", "beside a good one"])
def test_a_malformed_encryption_key_is_refused_without_being_shown(key: str, others: list[str]) -> None:
    with pytest.raises(EncryptionKeyError, match="ORWATCH_ENCRYPTION_KEY is not a Fernet key") as raised:
        Vault([*others, key])
    shown = "".join(traceback.format_exception(raised.value))
    assert not key or key not in shown
    assert OLD not in shown


def test_without_an_encryption_key_there_is_no_vault() -> None:
    with pytest.raises(EncryptionKeyError, match="ORWATCH_ENCRYPTION_KEY is not set"):
        Vault([])


def test_a_vault_does_not_show_its_keys() -> None:
    assert OLD not in repr(Vault([OLD]))
    assert OLD not in repr(vars(Vault([OLD])))


def test_a_hash_is_sha_256_in_lower_case_hex() -> None:
    assert hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_secret(SECRET) == hashlib.sha256(SECRET.encode()).hexdigest()


@given(secrets, st.text(" \t\r\n", max_size=4), st.text(" \t\r\n", max_size=4))
def test_white_space_and_line_ends_around_a_secret_are_stripped(secret: str, before: str, after: str) -> None:
    assert clean_secret(f"{before}{secret}{after}") == secret


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \r\n\t", "is empty"),
        ("sk-or-v1-0123456\n789", "control characters or line ends"),
        ("sk-or-v1-0123456\r\nX-Other: 1", "control characters or line ends"),
        ("sk-or-v1-0123456\t789", "control characters"),
        ("sk-or-v1-0123456\x00789", "control characters"),
        ("sk-or-v1-0123456\x1b[2J", "control characters"),
        ("sk-or-v1-0123456\x7f", "control characters"),
        ("\ufeffsk-or-v1-0123456", "control characters"),
        ("sk-or-v1-0123\u202e456", "control characters"),
        ("sk-or-v1-0123\ud800456", "control characters"),
        ("sk-or-v1-0123 456", "spaces or other characters"),
        ("sk-or-v1-0123é456", "spaces or other characters"),
        ("sk-or-v1-0123…456", "spaces or other characters"),
        ("s" * (MAX_SECRET_LENGTH + 1), "has 513 characters"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_without_being_shown(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        clean_secret(text)
    assert not text.strip() or text.strip()[:8] not in str(raised.value)


def test_the_longest_secret_is_accepted() -> None:
    assert clean_secret("s" * MAX_SECRET_LENGTH) == "s" * MAX_SECRET_LENGTH
