"""What is printed without a terminal, in narrow and wide ones, in colour and not, into closed pipes."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, json_response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import Machine, finish, told, utc_today
from tests.end_to_end.terminal import read_rest

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|38|9[0-7])[;m]")
BARE = {"LANG": "C", "TERM": "dumb"}


def dollars(amount: Decimal) -> str:
    return f"${amount:,.2f}"


@pytest.mark.real_clock
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_numbers_of_a_report_are_never_cut(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], columns: int
) -> None:
    usage = told(api.answer, keys)
    finished = synced.run("report", COLUMNS=str(columns), **BARE)

    assert (finished.code, finished.stderr, ESCAPE in finished.stdout) == (0, "", False)
    lines = finished.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    by_place: dict[str, Decimal] = {}
    for (name, day, model), numbers in usage.items():
        for place in (day, model, name):
            by_place[place] = by_place.get(place, Decimal(0)) + numbers[3]
    days = {line.split()[0]: line.split() for line in lines if re.match(r"\d{4}-\d\d-\d\d  ", line)}
    assert len(days) == 30
    for day, cells in days.items():
        assert dollars(by_place[day]) in cells
    for key in keys:
        (row,) = (line for line in lines if line.startswith(f"{key.name} "))
        assert dollars(by_place[key.name]) in row
    totals = [line.split() for line in lines if line.startswith("Total")]
    assert len(totals) == 3
    assert all(
        dollars(sum((numbers[3] for numbers in usage.values()), Decimal(0))) in cells for cells in totals
    )
    if columns > 40:
        assert f"{sum(numbers[1] for numbers in usage.values()):,}" in totals[0]


def test_huge_numbers_and_long_names_leave_the_numbers_whole(
    watching: Machine, serve: Callable[[Answer], FakeServer]
) -> None:
    row = {
        "date": f"{utc_today()}",
        "model": "a-maker-with-a-long-name/" + "a-model-with-a-long-name-" * 5,
        "requests_count": 9_999_999_999_999,
        "tokens_input": 9_999_999_999_998,
        "tokens_output": 9_999_999_999_997,
        "cost": Decimal("9999999.123456789"),
    }

    def answer(_request: Request) -> Response:
        return json_response({"data": [row]})

    watching.api_url = serve(answer).url
    assert watching.run("sync", "--key", "ci").code == 0

    for columns in ("40", "80", "200"):
        finished = watching.run("report", "--by", "model", COLUMNS=columns, **BARE)
        assert finished.code == 0
        assert finished.stdout.count("$9,999,999.12") == 2
        assert max(map(len, finished.stdout.splitlines())) <= int(columns)
    assert finished.stdout.count("9,999,999,999,999") == 2
    exact = watching.run("report", "--by", "model", "--json").json["totals"]
    assert (exact["cost"], exact["requests"]) == (Decimal("9999999.123456789"), 9_999_999_999_999)


def test_a_poor_locale_breaks_no_command(synced: Machine) -> None:
    assert synced.run("key", "rename", "ci", "büro-日本").code == 0
    ascii_only = {"PYTHONIOENCODING": "ascii", "LANG": "C", "TERM": "dumb"}
    no_utf_8 = {"LC_ALL": "POSIX", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    for environment in (ascii_only, no_utf_8):
        for command in (("sync",), ("report",)):
            finished = synced.run(*command, **environment)
            assert (finished.code, finished.stderr) == (0, ""), command
            assert finished.stdout.isascii()
            assert ESCAPE not in finished.stdout
    assert synced.run("key", "list", "--json", **no_utf_8).json["keys"][1]["name"] == "büro-日本"


def test_colour_is_for_terminals_and_for_those_who_force_it(synced: Machine) -> None:
    plain = synced.run("report", TERM="xterm-256color").stdout
    forced = synced.run("report", TERM="xterm-256color", FORCE_COLOR="1").stdout
    both = synced.run("report", TERM="xterm-256color", FORCE_COLOR="1", NO_COLOR="1").stdout

    assert ESCAPE not in plain
    assert COLOUR.search(forced)
    assert not COLOUR.search(both)
    # Colour says nothing that words do not say as well.
    assert re.sub(r"\x1b\[[\d;]*m", "", forced) == plain


@pytest.mark.parametrize(("variables", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_on_a_terminal_there_is_colour_and_progress_unless_not_wanted(
    synced: Machine, variables: dict[str, str], is_coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    process = synced.start(
        "sync", stdout=theirs, stderr=theirs, TERM="xterm-256color", COLUMNS="100", **variables
    )
    os.close(theirs)
    shown = read_rest(ours).decode()
    os.close(ours)

    assert finish(process).code == 0
    assert "Syncing" in shown
    assert "3/3" in shown
    assert "for 3 keys" in shown
    assert bool(COLOUR.search(shown)) == is_coloured


def test_a_reader_that_goes_away_early_is_no_error(synced: Machine) -> None:
    head = synced.run(launcher=("/bin/bash", "-c", '"$0" report | head -1; echo "${PIPESTATUS[0]}"'))
    lines = head.stdout.splitlines()
    assert len(lines) == 2
    assert "30 days (UTC)" in lines[0]
    assert lines[1] in {"0", "141"}
    assert head.stderr == ""

    # A pipe that nobody reads any more, without a race.
    for command in (("report",), ("report", "--json"), ("--help",)):
        ours, theirs = os.pipe()
        os.close(ours)
        process = synced.start(*command, stdout=theirs)
        os.close(theirs)
        finished = finish(process)
        assert (finished.code, finished.stderr) == (141, ""), command


def test_an_output_that_takes_nothing_is_told(synced: Machine) -> None:
    for command in (("report",), ("report", "--csv"), ("sync",), ("--help",)):
        with Path("/dev/full").open("w") as full:
            finished = synced.run(*command, stdout=full)
        assert finished.code == 75, command
        assert finished.stderr == "orwatch: cannot write: No space left on device.\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_quiet_sync_needs_no_standard_streams(
    watching: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], closed: str
) -> None:
    launcher = ("/bin/sh", "-c", f'exec "$0" "$@" {closed}')

    finished = watching.run("sync", "--days", "30", "--quiet", launcher=launcher)

    assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")
    assert watching.stored() == told(api.answer, keys)
