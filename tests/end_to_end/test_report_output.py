"""Reports to files and programs, and names from a server that means harm."""

from __future__ import annotations

import csv
import io
import json
import stat
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from decimal import Decimal

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response, json_response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import Machine, failing_for, told, utc_today
from tests.support import secret_of

Serve = Callable[[Answer], FakeServer]

BY_ALL = ("--by", "key", "--by", "day", "--by", "model")
HOSTILE = "=cmd()|[red]\x1b[2J\u202e\x07"
HARMLESS = "=cmd()|[red]�[2J��"


@pytest.fixture
def attacked(watching: Machine, serve: Serve) -> Machine:
    """An account whose server sends a harmful model name."""
    row = {"requests_count": 1, "tokens_input": 10, "tokens_output": 20, "cost": Decimal("0.5")}

    def answer(_request: Request) -> Response:
        names = (HOSTILE, "+1", "-1+2", "@SUM(1)", "harmless")
        return json_response({"data": [{"date": f"{utc_today()}", "model": name, **row} for name in names]})

    watching.api_url = serve(answer).url
    assert watching.run("sync", "--key", "ci").code == 0
    return watching


@pytest.mark.real_clock
def test_csv_has_openrouters_own_numbers_to_the_last_digit(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    finished = synced.run("report", *BY_ALL, "--csv")

    assert (finished.code, finished.stderr) == (0, "")
    header, *rows = csv.reader(io.StringIO(finished.stdout))
    assert header == ["key", "day", "model", "requests", "tokens_input", "tokens_output", "cost", "byok_cost"]
    usage = {(row[0], row[1], row[2]): (*map(int, row[3:6]), Decimal(row[6])) for row in rows}
    assert usage == told(api.answer, keys)
    assert "E" not in "".join(row[6] for row in rows)


def test_a_file_gets_what_its_ending_or_the_option_says_and_standard_output_nothing(synced: Machine) -> None:
    folder = synced.current_folder
    for arguments, name in (
        ((), "report.txt"),
        ((), "report"),
        ((), "report.json"),
        ((), "report.CSV"),
        ((), "report.svg"),
    ):
        finished = synced.run("report", *arguments, "--output", name)
        assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")

    assert (folder / "report.json").read_text("utf-8") == synced.run("report", "--json").stdout
    assert (folder / "report.CSV").read_text("utf-8") == synced.run("report", "--csv").stdout
    text = (folder / "report.txt").read_text("utf-8")
    assert (folder / "report").read_text("utf-8") == text
    assert ("30 days (UTC)" in text, "\x1b" in text) == (True, False)
    picture = ElementTree.fromstring((folder / "report.svg").read_text("utf-8"))
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [
        folder for folder in synced.current_folder.iterdir() if stat.S_IMODE(folder.stat().st_mode) & 0o022
    ]


def test_an_ending_that_says_nothing_is_a_usage_error_that_names_the_known_ones(synced: Machine) -> None:
    for name in ("report.xlsx", "report.pdf", "a.report"):
        finished = synced.run("report", "--output", name)
        assert (finished.code, finished.stdout) == (2, "")
        assert f"--output {name!r}" in finished.stderr
        assert "; use .svg, .csv, .json or .txt. " in finished.stderr
        assert not (synced.current_folder / name).exists()

    assert synced.run("report", "--csv", "--output", "report.tsv").code == 0
    assert (synced.current_folder / "report.tsv").read_text("utf-8") == synced.run("report", "--csv").stdout


def test_a_file_that_cannot_be_written_is_told(synced: Machine) -> None:
    finished = synced.run("report", "--output", "no/such/folder.csv")

    assert (finished.code, finished.stdout) == (1, "")
    assert finished.stderr == "orwatch: cannot write 'no/such/folder.csv': No such file or directory.\n"


def test_options_that_make_no_sense_are_usage_errors(synced: Machine) -> None:
    for options in (
        ("--json", "--csv"),
        ("--last", "7d", "--since", "today"),
        ("--by", "weather"),
        ("--sort", "weather"),
        ("--top", "0"),
        ("--since", "today", "--until", "yesterday"),
    ):
        finished = synced.run("report", *options)
        assert (finished.code, finished.stdout) == (2, ""), options
        assert finished.stderr


def test_a_harmful_name_is_shown_and_not_obeyed(attacked: Machine) -> None:
    for arguments in (("report",), ("report", "--by", "model")):
        finished = attacked.run(*arguments, COLUMNS="200", FORCE_COLOR="1", NO_COLOR="1")
        assert (finished.code, finished.stderr) == (0, "")
        assert HARMLESS in finished.stdout
        assert not {"\x07", "\u202e"} & set(finished.stdout)
        assert "\x1b[2J" not in finished.stdout
    plain = attacked.run("report", COLUMNS="200")
    assert "\x1b" not in plain.stdout


def test_a_harmful_name_does_nothing_in_a_file_either(attacked: Machine) -> None:
    as_json = attacked.run("report", "--by", "model", "--json")
    as_csv = attacked.run("report", "--by", "model", "--csv")
    assert {row["model"] for row in as_json.json["rows"]} >= {HOSTILE, "+1"}
    assert as_json.stdout.isascii()
    assert not set(map(chr, range(32))) - {"\n"} & set(as_json.stdout)

    _, *rows = csv.reader(io.StringIO(as_csv.stdout))
    assert sorted(row[0] for row in rows) == sorted([f"'{HARMLESS}", "'+1", "'-1+2", "'@SUM(1)", "harmless"])
    for name in ("report.svg", "report.txt"):
        assert attacked.run("report", "--output", name).code == 0
        text = (attacked.current_folder / name).read_text("utf-8")
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    ElementTree.parse(attacked.current_folder / "report.svg")


def test_what_a_server_says_of_an_error_is_shown_and_not_obeyed(
    synced: Machine, api: FakeOpenRouter, serve: Serve
) -> None:
    said = "[bold]\x1b[2J\u202egone\x1b]0;title\x07\r\n"
    fault = failing_for(api.answer, secret_of("ci"), lambda _: error_response(400, said))
    synced.api_url = serve(fault).url

    outputs = [
        synced.run("sync"),
        synced.run("sync", "--json"),
        synced.run("status"),
        synced.run("key", "show", "ci"),
    ]

    assert [finished.code for finished in outputs] == [1, 1, 1, 0]
    for finished in outputs:
        for text in (finished.stdout, finished.stderr):
            assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
        assert "[bold]" in finished.stdout


def test_a_log_never_gets_into_the_json(synced: Machine) -> None:
    for arguments in (("validate", "-v"), ("cleanup", "-v"), ("sync", "-v", "--days", "3")):
        finished = synced.run(*arguments, "--json")
        assert finished.code == 0
        assert finished.stderr, "nothing was logged"
        assert next(iter(json.loads(finished.stdout).items())) == ("schema_version", 1), arguments
