"""Reports to files and programs, and names from a server that means harm."""

from __future__ import annotations

import csv
import io
import json
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
