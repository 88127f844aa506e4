"""Where rich output goes."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from orwatch.render import console
from orwatch.render.console import Parts, Screen
from orwatch.render.tables import Column, make_table
from tests.render.support import HOSTILE_NAME, INERT_NAME, rendered


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def red(screen: Screen) -> Parts:
    return [Text(f"{screen.width} {'ascii' if screen.ascii_only else 'any'}", style="red")]


def test_a_terminal_gets_colour() -> None:
    terminal = Terminal()
    console.show(red, terminal)
    assert "\x1b[31m" in terminal.getvalue()


def test_a_file_gets_none() -> None:
    assert rendered(red) == "80 any\n"


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    console.show(red, terminal)
    assert "[31m" not in terminal.getvalue()


def test_force_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    console.show(red, file)
    assert "\x1b[31m" in file.getvalue()


def test_it_goes_to_standard_output_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    console.show(red)
    assert capsys.readouterr().out.endswith("any\n")


def test_columns_tells_the_width() -> None:
    assert rendered(red, 123) == "123 any\n"


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
def test_a_stream_that_is_not_unicode_asks_for_ascii(encoding: str) -> None:
    assert rendered(red, encoding=encoding) == "80 ascii\n"


def sentence(screen: Screen) -> Parts:
    return [Text("one sentence " * 20)]


def key_and_what(screen: Screen) -> Parts:
    columns = [
        Column("Key", ["a", "b" * 200], is_name=True),
        Column("Cost", ["$1.00", "$2.00"], dispensable=1),
        Column("What", ["short", "long " * 100], is_name=True, is_wrapped=True),
    ]
    return [make_table(columns, screen.width)]


def test_in_a_pipe_nothing_is_cut_and_nothing_wrapped() -> None:
    pipe = io.StringIO()
    console.show(key_and_what, pipe)
    console.show(sentence, pipe)
    head, _line, short, long, text = pipe.getvalue().splitlines()
    assert head.split() == ["Key", "Cost", "What"]
    assert long.split() == ["b" * 200, "$2.00", *["long"] * 100]
    assert text == ("one sentence " * 20).rstrip()
    # Beside a long cell a short one is not filled up.
    assert short.endswith("$1.00  short")


def test_columns_tells_a_pipe_the_width_and_a_terminal_is_as_wide_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    console.show(red, terminal)
    monkeypatch.setenv("COLUMNS", "40")
    console.show(red, pipe)
    assert str(console.UNCUT) not in terminal.getvalue()
    assert pipe.getvalue() == "40 any\n"


def test_text_for_a_file_is_as_wide_as_can_be_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert console.as_text(red) == f"{console.UNCUT} any\n"


def names(screen: Screen) -> Parts:
    return [Text('<b> & "x" ]]> :smile: 深度求索 🚀'), Text("Total", style="bold red")]


def test_a_picture_is_well_formed_and_holds_the_text() -> None:
    root = ElementTree.fromstring(console.as_svg(names, "<report> & more"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = "".join(root.itertext()).replace("\xa0", " ")
    assert '<b> & "x" ]]> :smile:' in text
    assert "<report> & more" in text


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=()), max_size=80))
def test_a_picture_is_well_formed_whatever_a_key_is_called(name: str) -> None:
    def view(screen: Screen) -> Parts:
        return [make_table([Column("Key", [name], is_name=True), Column("N", ["1"])], screen.width)]

    assert ElementTree.fromstring(console.as_svg(view, "keys", width=200)) is not None


def test_a_picture_fetches_nothing() -> None:
    picture = console.as_svg(names, "report")
    assert "@font-face" not in picture
    assert "@import" not in picture
    without_names = re.sub(r"<!--.*?-->|xmlns(:\w+)?=\"[^\"]*\"", "", picture, flags=re.DOTALL)
    assert "http" not in without_names
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", without_names))


def test_a_picture_is_the_same_each_time_and_has_colour_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = console.as_svg(red, "report")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "40")
    assert console.as_svg(red, "report") == first
    assert len(set(re.findall(r"fill: (#[0-9a-f]{6})", first))) > 1


def test_a_picture_is_as_wide_as_asked() -> None:
    assert "60&#160;any" in console.as_svg(red, "report", width=60)


def test_nothing_in_a_name_is_markup_for_any_output() -> None:
    def view(screen: Screen) -> Parts:
        return [make_table([Column("Key", [HOSTILE_NAME], is_name=True), Column("N", ["1"])], screen.width)]

    picture = "".join(ElementTree.fromstring(console.as_svg(view, "keys")).itertext()).replace("\xa0", " ")
    assert INERT_NAME in picture
    assert INERT_NAME in console.as_text(view)
    assert INERT_NAME in rendered(view)
