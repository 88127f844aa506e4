"""``orwatch sync``: the window that is asked for, and what is said where."""

from __future__ import annotations

import json
import re
import sys

import httpx
import pytest
import respx
from freezegun import freeze_time

from tests.cli.support import (
    ENCRYPTION_KEY,
    SECRET,
    Home,
    Orwatch,
    Terminal,
    refusal,
    usage_json,
    write_usage,
)
from tests.support import usage_row

GOOD = usage_json(("2026-11-19", "openai/gpt-4.1", "0.1"), ("2026-11-20", "openai/gpt-4.1", "1e-7"))


@pytest.fixture(autouse=True)
def one_key(home: Home) -> None:
    home.set_up("production")


def asked_windows(api: respx.MockRouter) -> list[tuple[str, str]]:
    return [
        (call.request.url.params["start_date"], call.request.url.params["end_date"])
        for call in api.calls
        if call.request.url.path.endswith("/usage")
    ]


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ([], ("2026-11-14", "2026-11-20")),
        (["--days", "1"], ("2026-11-20", "2026-11-20")),
        (["--days", "30"], ("2026-10-22", "2026-11-20")),
        (["--since", "2026-11-01"], ("2026-11-01", "2026-11-20")),
        (["-s", "20261101", "-u", "yesterday"], ("2026-11-01", "2026-11-19")),
        (["--since", "2w", "--until", "2w"], ("2026-11-06", "2026-11-06")),
        (["--since", "today"], ("2026-11-20", "2026-11-20")),
    ],
)
def test_the_window_that_is_asked_for(
    orwatch: Orwatch, api: respx.MockRouter, arguments: list[str], window: tuple[str, str]
) -> None:
    api.get("/usage").mock(return_value=usage_json())
    code, out, err = orwatch("sync", *arguments)
    assert (code, err) == (0, "")
    assert f"{window[0]} to {window[1]}" in out
    assert asked_windows(api) == [window]


@pytest.mark.parametrize(
    ("moment", "window"),
    [
        ("2026-11-20T23:59:59Z", ("2026-11-14", "2026-11-20")),
        ("2026-11-21T00:00:00Z", ("2026-11-15", "2026-11-21")),
        ("2027-01-01T00:00:00Z", ("2026-12-26", "2027-01-01")),
    ],
)
def test_the_window_moves_on_at_midnight_utc(
    orwatch: Orwatch, api: respx.MockRouter, moment: str, window: tuple[str, str]
) -> None:
    api.get("/usage").mock(return_value=usage_json())
    with freeze_time(moment):
        assert orwatch("sync").code == 0
    assert asked_windows(api) == [window]


def test_the_window_is_a_setting(orwatch: Orwatch, home: Home, api: respx.MockRouter) -> None:
    home.write_settings(ORWATCH_SYNC_DAYS="2")
    api.get("/usage").mock(return_value=usage_json())
    orwatch("sync")
    assert asked_windows(api) == [("2026-11-19", "2026-11-20")]


def test_a_key_that_was_not_synced_for_long_is_asked_about_the_time_since(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    write_usage(home, "production", usage_row())
    api.get("/usage").mock(return_value=usage_json())
    with freeze_time("2026-12-20T12:00:00Z"):
        orwatch("sync", "--days", "1")
        orwatch("sync")
    assert asked_windows(api) == [("2026-12-20", "2026-12-20"), ("2026-11-20", "2026-12-20")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--days", "3", "--since", "7d"], "--days and --since/--until exclude each other."),
        (["--days", "3", "--until", "7d"], "--days and --since/--until exclude each other."),
        (["--until", "7d"], "--until needs --since."),
        (
            ["--since", "7d", "--until", "2026-11-21"],
            "--until 2026-11-21 is in the future; today is 2026-11-20 (UTC).",
        ),
        (["--since", "2026-11-21"], "--since 2026-11-21 is after --until 2026-11-20."),
        (["--since", "1d", "--until", "2d"], "--since 2026-11-19 is after --until 2026-11-18."),
        (["--key", "prodution"], "there is no key named 'prodution'. Did you mean 'production'?"),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(
    orwatch: Orwatch, api: respx.MockRouter, arguments: list[str], message: str
) -> None:
    assert orwatch("sync", *arguments) == (2, "", f"orwatch: {message}\n")
    assert not api.calls


@pytest.mark.parametrize("days", ["0", "366", "-1", "x", "1.5"])
def test_days_that_are_no_days_are_a_usage_error(orwatch: Orwatch, api: respx.MockRouter, days: str) -> None:
    code, out, err = orwatch("sync", "--days", days)
    assert (code, out) == (2, "")
    assert "'--days'" in err
    assert not api.calls


def test_a_good_sync_is_told_on_standard_output_and_again_changes_nothing(
    orwatch: Orwatch, api: respx.MockRouter
) -> None:
    api.get("/usage").mock(return_value=GOOD)
    code, out, err = orwatch("sync")
    assert (code, err) == (0, "")
    assert "Wrote 2 rows (0 unchanged) for 1 key" in out
    assert "Wrote 0 rows (2 unchanged) for 1 key" in orwatch("sync").out


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_prints_nothing_when_all_is_well(orwatch: Orwatch, api: respx.MockRouter, option: str) -> None:
    api.get("/usage").mock(return_value=GOOD)
    assert orwatch("sync", option) == (0, "", "")


def test_quiet_tells_trouble_on_standard_error(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/usage").mock(return_value=refusal(403, "not allowed"))
    code, out, err = orwatch("sync", "--quiet")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"2026-11-20T12:30:00Z WARNING sync key=production.*403: not allowed\n", err)


def test_json_alone_is_on_standard_output(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/usage").mock(return_value=GOOD)
    code, out, err = orwatch("sync", "--json", "--verbose")
    document = json.loads(out)
    assert code == 0
    assert (document["status"], document["rows_written"]) == ("ok", 2)
    assert document["keys"][0]["name"] == "production"
    assert "GET /api/v1/usage 200" in err


def test_quiet_with_json_answers_in_json(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/usage").mock(return_value=GOOD)
    code, out, err = orwatch("sync", "--json", "--quiet")
    assert (code, err) == (0, "")
    assert json.loads(out)["rows_written"] == 2


def test_a_rehearsal_says_what_it_would_write_and_writes_nothing(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    api.get("/usage").mock(return_value=GOOD)
    assert "Would write 2 rows" in orwatch("sync", "--dry-run").out
    assert json.loads(orwatch("sync", "-n", "--json").out)["dry_run"] is True
    assert home.scalar("SELECT count(*) FROM usage_stats") == 0
    assert home.scalar("SELECT count(*) FROM job_runs") == 0


def test_only_the_named_keys_are_asked(orwatch: Orwatch, home: Home, api: respx.MockRouter) -> None:
    home.set_up("ci", "staging")
    api.get("/usage").mock(return_value=usage_json())
    document = json.loads(orwatch("sync", "-k", "ci", "--key", "production", "--json").out)
    assert [key["name"] for key in document["keys"]] == ["production", "ci"]
    assert api.calls.call_count == 2


def test_no_row_is_believed_that_is_impossible_and_that_is_exit_1(
    orwatch: Orwatch, api: respx.MockRouter
) -> None:
    api.get("/usage").mock(return_value=usage_json(("2026-11-20", "m", "-1"), ("2026-11-20", "n", "1")))
    code, out, err = orwatch("sync")
    assert code == 1
    assert "partial" in out
    assert "Wrote 1 row (0 unchanged, 1 rejected)" in out
    assert "WARNING sync key=production" in err


def test_when_everything_failed_in_passing_it_is_75(
    orwatch: Orwatch, api: respx.MockRouter, waits: list[float]
) -> None:
    api.get("/usage").mock(return_value=refusal(503))
    code, out, _err = orwatch("sync")
    assert code == 75
    assert "answers with errors only (503): production could not be read. " in out
    assert len(waits) == 4


@pytest.mark.parametrize("command", [["sync"], ["validate"], ["sync", "--json"]])
def test_at_a_terminal_a_dead_api_is_said_once_within_ten_seconds(
    orwatch: Orwatch,
    home: Home,
    api: respx.MockRouter,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    home.set_up(*(f"key{number}" for number in range(30)))
    api.route().mock(side_effect=httpx.ConnectError("[Errno 111] Connection refused"))
    monkeypatch.setattr("orwatch.cli.context.is_terminal", lambda _stream: True)
    code, out, _err = orwatch(*command)
    assert code == 75
    assert " ".join(out.split()).count("does not answer (connection refused): none of 31 keys") == 1
    assert sum(waits) <= 10
    assert len(waits) == 2


def test_an_encryption_key_that_does_not_fit_is_78_and_asks_nobody(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    home.env_file.write_text(f"ORWATCH_ENCRYPTION_KEY={ENCRYPTION_KEY[::-1][1:]}=\n", encoding="utf-8")
    code, out, _err = orwatch("sync")
    assert (code, out) == (78, "")
    assert not api.calls


def test_verbose_shows_each_request_without_the_secret(orwatch: Orwatch, api: respx.MockRouter) -> None:
    api.get("/usage").mock(return_value=usage_json())
    code, _out, err = orwatch("sync", "-v")
    assert code == 0
    assert re.search(r"DEBUG sync.*: GET /api/v1/usage 200 \d+ ms", err)
    assert SECRET not in err
    assert "Authorization" not in err


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def test_on_a_terminal_a_bar_shows_the_progress_and_the_summary_tells_the_trouble(
    orwatch: Orwatch, api: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.get("/usage").mock(return_value=refusal(403, "not allowed"))
    terminal = on_terminal(monkeypatch)
    out = orwatch("sync").out
    assert "Syncing" in terminal.getvalue()
    assert "1/1" in terminal.getvalue()
    assert "WARNING" not in terminal.getvalue()
    assert "403: not allowed" in out


@pytest.mark.parametrize("option", ["--quiet", "--verbose"])
def test_on_a_terminal_there_is_no_bar_where_it_is_not_wanted(
    orwatch: Orwatch, api: respx.MockRouter, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    api.get("/usage").mock(return_value=GOOD)
    terminal = on_terminal(monkeypatch)
    orwatch("sync", option)
    assert "Syncing" not in terminal.getvalue()


def test_without_keys_it_says_how_to_get_one(orwatch: Orwatch, home: Home) -> None:
    orwatch("key", "disable", "production")
    code, out, err = orwatch("sync")
    assert (code, err) == (0, "")
    assert out.startswith("No active keys.")


@pytest.mark.parametrize("seconds", ["nan", "-1", "inf", "soon"])
def test_a_wait_that_is_none_is_a_usage_error(orwatch: Orwatch, api: respx.MockRouter, seconds: str) -> None:
    code, out, err = orwatch("sync", "--wait", seconds)
    assert (code, out) == (2, "")
    assert "'--wait'" in err
    assert not api.calls


def test_where_every_key_is_invalid_nothing_is_watched_and_that_is_exit_1(
    orwatch: Orwatch, home: Home, api: respx.MockRouter, waits: list[float]
) -> None:
    home.set_up("ci")
    api.get("/key").mock(return_value=refusal(401))
    orwatch("validate")
    told = "o key is active, so nothing is watched: 2 keys are invalid."

    code, out, err = orwatch("sync", "--quiet")
    assert (code, out) == (1, "")
    assert f"WARNING sync: n{told}" in err
    assert "store a new secret with `orwatch key replace NAME`, or remove or disable them." in err
    code, out, _err = orwatch("sync")
    assert (code, out.startswith(f"N{told}")) == (1, True)
    document = json.loads(orwatch("sync", "--json").out)
    assert (document["status"], document["keys"]) == ("partial", [])
    orwatch("key", "disable", "ci")
    assert "1 key is invalid" in orwatch("sync").out
    orwatch("key", "disable", "production")
    assert orwatch("sync", "--quiet") == (0, "", "")


def test_a_backfill_says_of_which_keys_it_reads_nothing_more(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    api.get("/usage").mock(return_value=usage_json())
    code, _out, err = orwatch("sync", "--backfill", "90d")
    assert (code, err) == (
        0,
        "orwatch: --backfill reads the past of an account, through a management key. It reads nothing more "
        "of production: no management key lists it.\n",
    )
    home.set_up(*"abcdef")
    assert "nothing more of 7 keys: no management key lists them." in orwatch("sync", "--backfill", "90d")[2]
