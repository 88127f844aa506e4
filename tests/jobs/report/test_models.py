"""What a pattern that matches no model comes near to."""

from __future__ import annotations

import pytest

from orwatch.jobs.report.models import notes_on

NAMES = ["openai/gpt-4.1", "openai/gpt-4.1-mini", "anthropic/claude-sonnet-4.5", "meta/llama", "Qwen/Qwen3"]


@pytest.mark.parametrize(
    ("glob", "near"),
    [
        ("claude", "anthropic/claude-sonnet-4.5"),
        ("OPENAI/*", "openai/gpt-4.1, openai/gpt-4.1-mini"),
        ("qwen/*", "Qwen/Qwen3"),
        ("meta/lama", "meta/llama"),
        ("anthropc/*", "anthropic/claude-sonnet-4.5"),
    ],
)
def test_a_pattern_that_matches_nothing_names_the_nearest_models(glob: str, near: str) -> None:
    assert notes_on([glob, glob, "meta/*"], NAMES) == (
        f"no model in the database matches {glob}; the nearest: {near}",
    )


@pytest.mark.parametrize("glob", ["zzz/*", "", "?"])
def test_a_pattern_that_is_like_no_model_names_none(glob: str) -> None:
    assert notes_on([glob], NAMES) == (f"no model in the database matches {glob}",)


def test_no_more_than_three_are_named_and_no_control_characters() -> None:
    (note,) = notes_on(["\x1b[1mx"], [f"\x1b[1mx-{number}" for number in range(5)])
    assert note == "no model in the database matches �[1mx; the nearest: �[1mx-0, �[1mx-1, �[1mx-2"
