"""``--json-schema``: what a command answers with ``--json``, told without doing anything."""

from __future__ import annotations

import pytest
from jsonschema import ValidationError

from orwatch.render import json_schema
from tests import answers
from tests.cli.support import Home, Orwatch


@pytest.mark.parametrize("command", json_schema.ANSWERS)
def test_it_needs_no_settings_no_database_and_nothing_else_that_the_command_wants(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("ORWATCH_SYNC_DAYS", "many")
    printed = (0, f"{json_schema.text(command)}\n", "")
    assert orwatch("--env-file", "/nowhere", *command.split(), "--json-schema") == printed
    assert not any(home.folder.iterdir())


def test_an_answer_that_is_not_as_the_schema_says_would_be_seen() -> None:
    answers.check(["runs", "--json"], '{"schema_version": 1, "runs": []}', "")
    for words in (["runs", "--json"], ["--env-file", "x", "runs", "-j"]):
        for answer in ('{"schema_version": 1}', '{"schema_version": 2, "runs": []}'):
            with pytest.raises(ValidationError):
                answers.check(words, answer, "")
        with pytest.raises(ValidationError):
            answers.check(words, "", '{"error": {"code": 1}}')
