"""The table of settings: what the documents say of each is what the program does."""

from __future__ import annotations

import pytest

from orwatch.config.settings import SETTINGS, Setting
from tests.documents import DOCUMENTS


def row(setting: Setting) -> str:
    """The setting as a row of a table in the documents."""
    text = setting.default or ""
    default = setting.default_help or (text if text.isdecimal() or not text else f"`{text}`")
    bounds = "" if setting.bounds is None else " ({:,} to {:,})".format(*setting.bounds)
    return f"| `{setting.name}` | {default} | {setting.help}{bounds} |".replace("|  |", "| |")


@pytest.mark.parametrize("document", ["README", "settings"])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_documents_say_of_a_setting_what_the_program_does(document: str, setting: Setting) -> None:
    rows = [line for line in DOCUMENTS[document].splitlines() if line.startswith(f"| `{setting.name}` ")]
    assert rows == [row(setting)]
