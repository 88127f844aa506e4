"""Text from outside made safe, and hints of secrets."""

from __future__ import annotations

import base64
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orwatch.text import (
    counted,
    first_of,
    has_secret,
    holding_or_nearest,
    nearest,
    printable,
    secret_hint,
    without_secrets,
)
from tests.support import SECRET, secret_of

ENCRYPTION_KEY = base64.urlsafe_b64encode(bytes(range(224, 256))).decode()


@given(st.text())
def test_nothing_that_a_terminal_would_act_upon_is_left(text: str) -> None:
    safe = printable(text)
    assert len(safe) == len(text)
    # Control, format (bidirectional ones too), surrogate, private, unassigned; line and paragraph ends.
    assert not {unicodedata.category(character) for character in safe} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert all(new in (old, "\ufffd") for old, new in zip(text, safe, strict=True))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("", ""),
        ("openai/gpt-4.1 (free)", "openai/gpt-4.1 (free)"),
        ("模型 – Ünïcode 😀", "模型 – Ünïcode 😀"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("a\r\nb\tc", "a\ufffd\ufffdb\ufffdc"),
        ("txt\u202egnp", "txt\ufffdgnp"),
        ("zero\u200bwidth", "zero\ufffdwidth"),
        ("\x9b2J", "\ufffd2J"),
        ("\ud800", "\ufffd"),
    ],
)
def test_what_can_be_shown_is_kept_and_all_else_is_replaced(text: str, safe: str) -> None:
    assert printable(text) == safe


@pytest.mark.parametrize(
    ("secret", "hint"),
    [
        (SECRET, "sk-or-…a29f"),
        ("gateway-key-0123456789", "…6789"),
        ("sk-or-0123456789", "sk-or-…6789"),
        ("sk-or-012345678", "…"),
        ("short", "…"),
        ("", "…"),
    ],
)
def test_a_hint_shows_the_last_four_characters_of_a_secret_that_is_long_enough(
    secret: str, hint: str
) -> None:
    assert secret_hint(secret) == hint


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=80))
def test_a_hint_leaves_most_of_the_secret_untold(secret: str) -> None:
    told = secret_hint(secret).removeprefix("sk-or-").removeprefix("…")
    assert len(told) <= len(secret) // 4


@pytest.mark.parametrize(("number", "words"), [(0, "0 keys"), (1, "1 key"), (1000, "1,000 keys")])
def test_one_is_not_many(number: int, words: str) -> None:
    assert counted(number, "key") == words


@pytest.mark.parametrize(
    ("items", "more", "shown"),
    [
        ([], {}, ""),
        (["a", "b"], {}, "a, b"),
        (["a", "b", "c"], {}, "a, b and 1 more"),
        (["a", "b", "c"], {"separator": "; "}, "a; b; and 1 more"),
        (["a", "b", "c"], {"count": 1002}, "a, b and 1,000 more"),
    ],
)
def test_of_many_the_first_are_named(items: list[str], more: dict[str, Any], shown: str) -> None:
    assert first_of(items, 2, **more) == shown


@pytest.mark.parametrize(
    ("text", "near"),
    [("prodution", ["production"]), ("CI", ["ci"]), ("my-app", ["My app"]), ("zzz", []), ("", [])],
)
def test_the_nearest_name_is_found_in_capitals_or_not(text: str, near: list[str]) -> None:
    assert nearest(text, ["ci", "production", "My app"]) == near


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("prod", ["old-production", "production"]),
        ("PROD", ["old-production", "production"]),
        ("prodution", ["production", "old-production"]),
        ("app", ["My app"]),
        ("", []),
    ],
)
def test_names_that_hold_a_text_come_before_those_that_are_like_it(text: str, near: list[str]) -> None:
    assert holding_or_nearest(text, ["ci", "production", "old-production", "My app"], 2) == near


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"--key={secret_of('a')}",
        f"my key {SECRET}!",
        "sk-or-v1-01234567",
        "sk-proj-4Tb0Zq8Xk2Lm9Nv7Rw3Yc5",
        ENCRYPTION_KEY,
        f"{ENCRYPTION_KEY},{ENCRYPTION_KEY}",
    ],
)
def test_what_looks_like_a_secret_is_found_and_its_hint_is_left(text: str) -> None:
    assert has_secret(text)
    shown = without_secrets(text)
    assert not has_secret(shown)
    assert "…" in shown


def test_what_begins_like_a_secret_again_and_again_is_looked_through_once() -> None:
    assert not has_secret("-sk-" * 100_000)  # minutes, where each beginning is followed to the end


@pytest.mark.parametrize(
    "text",
    [
        "",
        "production",
        "sk-or-…a29f",
        "sk-or-v1-012...a29f",
        "sk-or-v1",
        "task-2026-11-github-actions-production",
        "sk-or-the-backend-of-production",
        "desk-0123456789-0123456789",
        "openai/gpt-4.1",
        "github-actions-production-backend-eu-central-1-a",
        "0123456789abcdef" * 4,
        "/tmp/pytest-of-root/pytest-0/popen-gw0/test_of_a_long_name_that_has_43_characters0/a.csv",
    ],
)
def test_other_names_paths_hints_and_hashes_are_no_secrets(text: str) -> None:
    assert not has_secret(text)
    assert without_secrets(text) == text
