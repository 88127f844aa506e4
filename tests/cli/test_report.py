"""``orwatch report``: what is counted, in which form, and where it goes."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.support import Home, Orwatch, write_usage
from tests.support import usage_row

DAY = date(2026, 11, 19)


@pytest.fixture(autouse=True)
def two_keys_with_usage(home: Home) -> None:
    home.set_up("production", "ci")
    write_usage(
        home,
        "production",
        usage_row(DAY, "anthropic/claude-sonnet-4.5", cost="10.000000001"),
        usage_row(model="anthropic/claude-sonnet-4.5", cost="5"),
        usage_row(model="openai/gpt-4.1", cost="0.5"),
    )
    write_usage(home, "ci", usage_row(model="openai/gpt-4.1", cost="0.25"))


def document(orwatch: Orwatch, *arguments: str) -> Any:
    code, out, err = orwatch("report", *arguments, "--json")
    assert (code, err) == (0, "")
    return json.loads(out, parse_float=Decimal)


def test_the_bare_command_is_thirty_days_by_day_with_the_top_beneath(orwatch: Orwatch) -> None:
    code, out, err = orwatch("report")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2026-10-22 to 2026-11-20 · 30 days (UTC)"
    assert sum(line.startswith("2026-") for line in lines[2:]) == 30
    assert lines.index("Top models") < lines.index("Top keys")
    assert "█" in out


def test_a_terminal_gets_the_story_and_a_pipe_all_digits(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = orwatch("report", "--by", "model", "--last", "2d").out
    monkeypatch.setattr("orwatch.cli.report.is_terminal", lambda _stream: True)
    shown = orwatch("report", "--by", "model", "--last", "2d").out
    monkeypatch.setenv("COLUMNS", "120")
    exact = orwatch("report", "--by", "model", "--last", "2d", "--exact").out
    assert shown.splitlines()[1].startswith("Total $15.75")
    assert "█" in shown.splitlines()[2]
    assert ["anthropic/claude" in text for text in (piped, shown, exact)] == [True, False, True]


def test_a_day_that_no_sync_covered_is_unknown_and_no_zero(orwatch: Orwatch) -> None:
    days = {row["day"]: row["cost"] for row in document(orwatch)["rows"]}
    assert days["2026-11-18"] is None
    assert days["2026-11-19"] == Decimal("10.000000001")
    assert days["2026-11-20"] == Decimal("5.75")


def test_json_has_exact_totals(orwatch: Orwatch) -> None:
    answer = document(orwatch, "--by", "key")
    assert [(row["key"], row["cost"]) for row in answer["rows"]] == [
        ("production", Decimal("15.500000001")),
        ("ci", Decimal("0.25")),
    ]
    assert answer["totals"] == {
        "requests": 20,
        "tokens_input": 200,
        "tokens_output": 500,
        "cost": Decimal("15.750000001"),
        "byok_cost": None,
    }


DETAILS = {
    "tokens_cached": None,
    "cache_rate": None,
    "tokens_reasoning": None,
    "cost_per_request": Decimal("0.7875"),
    "cost_per_million_tokens": Decimal("22500.000001429"),
}


def test_columns_that_are_asked_for_are_in_json_and_csv(orwatch: Orwatch) -> None:
    usual = document(orwatch, "--last", "2d")["totals"]
    assert document(orwatch, "--last", "2d", "--columns", "all")["totals"] == usual | DETAILS
    chosen = (
        "report",
        "--by",
        "model",
        "--columns",
        "cost_per_request, prices",
        "--sort",
        "cost_per_request",
    )
    assert orwatch(*chosen, "--csv").out.splitlines() == [
        "model,cost_per_request,tokens_input,tokens_output,cost,cost_per_million_tokens,byok_cost",
        "anthropic/claude-sonnet-4.5,1.5,100,250,15.000000001,42857.142860000,".replace("0000,", ","),
        "openai/gpt-4.1,0.075,100,250,0.75,2142.857142857,",
    ]
    assert "$/M tokens" in orwatch("report", "--columns", "prices").out


def test_a_column_that_does_not_exist_is_a_usage_error(orwatch: Orwatch) -> None:
    assert orwatch("report", "--columns", "cost,cache") == (
        2,
        "",
        "orwatch: there is no column 'cache'. Did you mean 'cache_rate'? Write tokens, prices, all, or some "
        "of requests, tokens_input, tokens_cached, cache_rate, tokens_output, tokens_reasoning, cost, "
        "cost_per_request, cost_per_million_tokens, byok_cost.\n",
    )


def test_several_dimensions_are_combined_in_the_order_of_asking(orwatch: Orwatch) -> None:
    answer = document(orwatch, "--by", "model", "-b", "key", "--by", "model")
    assert answer["by"] == ["model", "key"]
    assert len(answer["rows"]) == 3


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ([], ("2026-10-22", "2026-11-20")),
        (["--last", "7d"], ("2026-11-14", "2026-11-20")),
        (["--last", "all"], ("2026-11-19", "2026-11-20")),
        (["--since", "20261101"], ("2026-11-01", "2026-11-20")),
        (["--since", "3d", "--until", "yesterday"], ("2026-11-17", "2026-11-19")),
        (["--until", "2026-11-10"], ("2026-10-12", "2026-11-10")),
    ],
)
def test_the_window_that_is_shown(orwatch: Orwatch, arguments: list[str], window: tuple[str, str]) -> None:
    answer = document(orwatch, *arguments)
    assert (answer["since"], answer["until"]) == window


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--last", "7d", "--since", "7d"], "--last and --since/--until exclude each other."),
        (["--last", "all", "--until", "today"], "--last and --since/--until exclude each other."),
        (
            ["--sort", "price"],
            "cannot sort by 'price': the columns are day, requests, tokens_input, tokens_output, cost, "
            "byok_cost.",
        ),
        (
            ["--by", "key", "--by", "model", "--sort", "day"],
            "cannot sort by 'day': the columns are key, model, requests, tokens_input, tokens_output, cost, "
            "byok_cost.",
        ),
        (
            ["--since", "today", "--until", "yesterday"],
            "the report would end (2026-11-19) before it begins (2026-11-20).",
        ),
        (["--key", "prodution"], "there is no key named 'prodution'. Did you mean 'production'?"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(
    orwatch: Orwatch, arguments: list[str], message: str
) -> None:
    assert orwatch("report", *arguments) == (2, "", f"orwatch: {message}\n")


@pytest.mark.parametrize(
    "arguments", [["--by", "hour"], ["--top", "0"], ["--top", "x"], ["--last", "0d"], ["--since", "soon"]]
)
def test_values_that_are_none_are_a_usage_error(orwatch: Orwatch, arguments: list[str]) -> None:
    code, out, err = orwatch("report", *arguments)
    assert (code, out) == (2, "")
    assert arguments[0] in err


def test_keys_and_models_can_be_chosen(orwatch: Orwatch) -> None:
    assert document(orwatch, "-k", "ci", "--by", "key")["totals"]["cost"] == Decimal("0.25")
    both = document(orwatch, "--model", "openai/*", "--by", "model")
    assert both["totals"]["cost"] == Decimal("0.75")
    assert [row["model"] for row in both["rows"]] == ["openai/gpt-4.1"]
    none = document(orwatch, "--model", "nobody/*", "--by", "model")
    assert none["rows"] == []
    assert none["notes"] == ["known: 2 of 30 days", "no model in the database matches nobody/*"]


def test_the_order_can_be_chosen(orwatch: Orwatch) -> None:
    names = [row["key"] for row in document(orwatch, "--by", "key", "--sort", "key")["rows"]]
    assert names == ["ci", "production"]
    days = [row["day"] for row in document(orwatch, "--last", "2d", "--sort", "cost")["rows"]]
    assert days == ["2026-11-19", "2026-11-20"]


def test_only_the_first_rows_are_shown_and_the_total_is_of_all(orwatch: Orwatch) -> None:
    out = orwatch("report", "--by", "model", "--by", "key", "--top", "1").out
    assert "2 others" in out
    assert "$15.75" in out.splitlines()[-2]
    assert out.splitlines()[-1] == "Note: known: 2 of 30 days"


def test_csv_has_a_header_and_exact_money(orwatch: Orwatch) -> None:
    code, out, err = orwatch("report", "--by", "key", "--csv")
    assert (code, err) == (0, "")
    assert list(csv.reader(io.StringIO(out))) == [
        ["key", "requests", "tokens_input", "tokens_output", "cost", "byok_cost"],
        ["production", "15", "150", "375", "15.500000001", ""],
        ["ci", "5", "50", "125", "0.25", ""],
    ]
    assert not out.endswith("\n\n")


def test_a_file_is_a_picture_when_its_ending_says_so(orwatch: Orwatch, tmp_path: Path) -> None:
    assert orwatch("report", "--output", str(tmp_path / "usage.svg")) == (0, "", "")
    text = "".join(ElementTree.parse(tmp_path / "usage.svg").getroot().itertext()).replace("\xa0", " ")
    assert "orwatch report" in text
    assert "$15.75" in text


@pytest.mark.parametrize("name", ["usage.txt", "usage"])
def test_any_other_file_is_plain_text(orwatch: Orwatch, tmp_path: Path, name: str) -> None:
    assert orwatch("report", "--output", str(tmp_path / name)) == (0, "", "")
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.startswith("2026-10-22 to 2026-11-20 · 30 days (UTC)\n")
    assert "\x1b" not in text


@pytest.mark.parametrize("name", ["report.xlsx", "report.pdf", "a.report"])
def test_an_ending_that_no_form_has_is_a_usage_error(orwatch: Orwatch, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert orwatch("report", "--output", str(file)) == (
        2,
        "",
        f"orwatch: --output {str(file)!r}: cannot write {file.suffix}; use .svg, .csv, .json or .txt. "
        "With --json or --csv any name will do.\n",
    )
    assert not file.exists()
    assert orwatch("report", "--csv", "--output", str(file)).code == 0


@pytest.mark.parametrize(("option", "start"), [("--json", "{\n"), ("--csv", "day,")])
@pytest.mark.parametrize("name", ["usage.txt", "usage", "usage.old"])
def test_an_ending_of_no_other_form_takes_what_is_asked_for(
    orwatch: Orwatch, tmp_path: Path, option: str, start: str, name: str
) -> None:
    assert orwatch("report", option, "--output", str(tmp_path / name)) == (0, "", "")
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize(("name", "form"), [("usage.json", "--json"), ("usage.CSV", "--csv")])
def test_a_file_gets_what_standard_output_would(
    orwatch: Orwatch, tmp_path: Path, name: str, form: str
) -> None:
    assert orwatch("report", "--output", str(tmp_path / name)) == (0, "", "")
    assert (tmp_path / name).read_text(encoding="utf-8") == orwatch("report", form).out


def test_a_file_that_cannot_be_written_is_told(orwatch: Orwatch, tmp_path: Path) -> None:
    file = tmp_path / "missing" / "usage.csv"
    code, out, err = orwatch("report", "--output", str(file))
    assert code == 2
    assert out == ""
    assert err == f"orwatch: cannot write {str(file)!r}: No such file or directory.\n"
    assert orwatch("report", "--output", str(tmp_path)).code == 2


def test_where_no_model_matches_the_note_stands_alone(orwatch: Orwatch) -> None:
    out = orwatch("report", "--last", "2d", "--model", "nobody/*").out
    assert out == "2026-11-19 to 2026-11-20 · 2 days (UTC)\nNote: no model in the database matches nobody/*\n"
    told = json.loads(orwatch("report", "--last", "2d", "--model", "nobody/*", "--json").out)
    assert [row["day"] for row in told["rows"]] == ["2026-11-19", "2026-11-20"]


def test_days_to_come_are_not_shown(orwatch: Orwatch) -> None:
    told = json.loads(orwatch("report", "--since", "yesterday", "--until", "2030-01-01", "--json").out)
    assert (told["until"], len(told["rows"])) == ("2026-11-20", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", ""], "the name of the --output file is empty."),
        (
            ["--output", "a.SVG", "--csv"],
            "--csv and --output 'a.SVG' contradict each other. Drop --csv, or name a file that ends in .csv.",
        ),
        (["-o", "a.svg", "--csv"], "-o is --sort, and 'a.svg' is no column. A file is named with --output."),
    ],
)
def test_a_file_that_cannot_be_meant_is_a_usage_error(
    orwatch: Orwatch, tmp_path: Path, options: list[str], message: str
) -> None:
    before = sorted(tmp_path.iterdir())
    assert orwatch("report", *options) == (2, "", f"orwatch: {message}\n")
    assert sorted(tmp_path.iterdir()) == before
