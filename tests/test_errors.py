"""The errors: what each says, whole and in its parts."""

from __future__ import annotations

import pytest

from orwatch.errors import ApiError, OrwatchError, SettingsError


@pytest.mark.parametrize(
    ("error", "text", "problem", "advice"),
    [
        (OrwatchError("The disk is full."), "The disk is full.", "The disk is full", None),
        (
            OrwatchError("the disk is full", "Make room."),
            "the disk is full. Make room.",
            "the disk is full",
            "Make room.",
        ),
        (SettingsError("no file.", advice="Make one."), "no file. Make one.", "no file", "Make one."),
        (ApiError("HTTP 500: …", 500), "HTTP 500: …", "HTTP 500: …", None),
    ],
)
def test_an_error_is_a_text_and_the_problem_and_the_advice_in_it(
    error: OrwatchError, text: str, problem: str, advice: str | None
) -> None:
    assert (str(error), error.problem, error.advice, error.setting) == (text, problem, advice, None)


def test_an_error_may_name_the_setting_that_is_wrong() -> None:
    assert OrwatchError("no such folder", setting="ORWATCH_LOG_FILE").setting == "ORWATCH_LOG_FILE"
