"""Failures: one line that begins with the program's name, or with --json one line of JSON."""

from __future__ import annotations

import json

import click
import pytest
import respx

from orwatch.cli import notices
from orwatch.cli.interruption import StoppedBySignal
from orwatch.errors import OrwatchError, SettingsError, TryAgainError, WrongSettingsError
from orwatch.jobs.status import run as status_job
from orwatch.redaction import keep_api_key
from orwatch.secrets import Vault
from tests.cli.support import ENCRYPTION_KEY, Home, Orwatch, refusal
from tests.cli.test_command_line import raising
from tests.support import secret_of

WRONG = SettingsError("ORWATCH_A='x' is wrong", "Write a number.", setting="ORWATCH_A")


@pytest.mark.parametrize(
    ("arguments", "start", "command"),
    [
        (["snyc"], "orwatch: No such command 'snyc'. Did you mean 'sync'? See ", "orwatch"),
        (
            ["report", "--by", "planet"],
            "orwatch: Invalid value for '-b' / '--by': 'planet' ",
            "orwatch report",
        ),
        (["key", "add"], "orwatch: Missing argument 'NAME'. See ", "orwatch key add"),
        (["sync", "--days", "x"], "orwatch: Invalid value for '--days': 'x' ", "orwatch sync"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_help(
    orwatch: Orwatch, arguments: list[str], start: str, command: str
) -> None:
    code, out, err = orwatch(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(start)
    assert err.endswith(f"See `{command} --help`.\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--json", "-j", "-jc", "-cj"])
def test_a_usage_error_of_ours_is_json_where_json_was_asked_for(orwatch: Orwatch, flag: str) -> None:
    code, out, err = orwatch("report", flag, "--csv")
    assert (code, out) == (2, "")
    assert json.loads(err) == {
        "error": {
            "code": 2,
            "message": "--json and --csv exclude each other",
            "advice": None,
            "setting": None,
        }
    }


def test_a_command_line_that_cannot_be_read_is_json_too(orwatch: Orwatch) -> None:
    code, out, err = orwatch("report", "--dyas", "--json")
    assert (code, out) == (2, "")
    answer = json.loads(err)["error"]
    assert answer["code"] == 2
    assert "--dyas" in answer["message"]
    assert answer["advice"] == "See `orwatch report --help`."


@pytest.mark.parametrize(
    ("error", "code", "message", "advice", "setting"),
    [
        (OrwatchError("a \x1b[1m person."), 1, "a \x1b[1m person", None, None),
        (TryAgainError("busy", "Wait."), 75, "busy", "Wait.", None),
        (WRONG, 78, "ORWATCH_A='x' is wrong", "Write a number.", "ORWATCH_A"),
        (WrongSettingsError([WRONG]), 78, "ORWATCH_A='x' is wrong", "Write a number.", "ORWATCH_A"),
        (
            WrongSettingsError([WRONG, SettingsError("ORWATCH_B is wrong.")]),
            78,
            "ORWATCH_A='x' is wrong. Write a number. ORWATCH_B is wrong",
            None,
            None,
        ),
        (StoppedBySignal(15, "it carries on."), 143, "stopped by SIGTERM; it carries on", None, None),
        (click.Abort(), 130, "interrupted", None, None),
        (click.ClickException("no"), 1, "no", None, None),
        (OSError(28, "No space left on device"), 75, "cannot write: No space left on device", None, None),
    ],
)
def test_a_failure_is_one_json_object_on_standard_error(
    orwatch: Orwatch,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
    advice: str | None,
    setting: str | None,
) -> None:
    home.set_up("work")
    monkeypatch.setattr(status_job, "run", raising(error))
    monkeypatch.setattr("orwatch.cli._silence_stdout", lambda: None)
    found_code, out, err = orwatch("status", "--json")
    assert (found_code, out) == (code, "")
    assert "\x1b" not in err
    assert json.loads(err) == {
        "error": {"code": code, "message": message, "advice": advice, "setting": setting}
    }


def test_a_bug_ends_in_json_after_its_traceback(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up("work")
    monkeypatch.setattr(status_job, "run", raising(RuntimeError("not thought of")))
    code, _out, err = orwatch("status", "-j")
    *trace, last = err.splitlines()
    assert code == 70
    assert "RuntimeError: not thought of" in trace
    assert json.loads(last)["error"]["code"] == 70


@pytest.mark.parametrize(("mistake", "code"), [(RuntimeError, 70), (OrwatchError, 1)])
@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"]])
def test_no_secret_is_in_a_traceback_or_a_failure(
    orwatch: Orwatch,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    mistake: type[Exception],
    code: int,
) -> None:
    home.set_up("work")

    def break_down(*_arguments: object, **_options: object) -> None:
        (key,) = home.keys().values()
        secret = Vault([ENCRYPTION_KEY]).open(key.secret_encrypted or "")
        raise mistake(f"with {secret} and {ENCRYPTION_KEY}\x1b[2J\nhere")

    monkeypatch.setattr(status_job, "run", break_down)
    found_code, _out, err = orwatch(*arguments)
    assert found_code == code
    assert secret_of("work")[:20] not in err
    assert ENCRYPTION_KEY[:12] not in err
    assert "\x1b" not in err
    assert f"with sk-or-…{secret_of('work')[-4:]} and …" in err


def test_a_group_without_a_command_still_shows_its_help(orwatch: Orwatch) -> None:
    code, out, err = orwatch("cron")
    assert code in {0, 2}
    assert (out + err).startswith("Usage: orwatch cron ")


@pytest.mark.parametrize(
    ("problem", "text"), [("bad", "bad. Do."), ("bad.", "bad. Do."), ("bad?", "bad? Do.")]
)
def test_advice_is_a_sentence_of_its_own(problem: str, text: str) -> None:
    assert str(OrwatchError(problem, "Do.")) == text


# Command lines that fail or have something to say, in a home without any key.
WRONG_LINES = [
    ["snyc"],
    ["--env-file", "/none", "status"],
    ["sync", "--days", "0"],
    ["sync", "--backfill", "1d", "--days", "3"],
    ["sync", "--key", "none"],
    ["validate", "--key", "none"],
    ["validate", "--wait", "long"],
    ["cleanup", "--older"],
    ["report", "--by", "planet"],
    ["report", "--since", "2026-13-01"],
    ["key", "show", "none"],
    ["key", "add"],
    ["key", "add", "\x1b[2J"],
    ["key", "remove", "none", "--yes"],
    ["key", "frob"],
    ["runs", "--job", "none"],
    ["cron", "install", "--log-file", "relative"],
    ["cron", "install", "--systemd", "--user-crontab"],
    ["db", "copy", "--to", "nonsense://"],
    ["db", "backup", "/none/at/all"],
    ["help", "none"],
    ["demo", "--port", "x"],
]


@pytest.mark.parametrize("arguments", WRONG_LINES, ids=" ".join)
def test_every_line_of_a_failure_begins_with_the_name(orwatch: Orwatch, arguments: list[str]) -> None:
    code, _out, err = orwatch(*arguments)
    assert code in {1, 2, 75, 78}
    lines = err.splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("orwatch: ")] == []
    assert "\x1b" not in err


@pytest.mark.parametrize("arguments", WRONG_LINES, ids=" ".join)
def test_in_json_a_failure_is_one_error_after_any_notices(orwatch: Orwatch, arguments: list[str]) -> None:
    code, out, err = orwatch(*arguments, "--json")
    *notices, error = [json.loads(line) for line in err.splitlines()]
    assert all(set(notice) == {"notice"} for notice in notices)
    assert error["error"]["code"] == code
    assert out == ""


def test_several_wrong_settings_are_a_line_each(orwatch: Orwatch, home: Home) -> None:
    home.write_settings(ORWATCH_CONCURRENCY="x", ORWATCH_SYNC_DAYS="-1")
    code, _out, err = orwatch("status")
    assert (code, err.count("\n")) == (78, 2)
    assert all(line.startswith("orwatch: ORWATCH_") for line in err.splitlines())


def test_notices_are_json_where_json_was_asked_for(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up("work")
    monkeypatch.setenv("ORWATCH_NONSENSE", "1")
    code, _out, err = orwatch("key", "list", "--json")
    assert code == 0
    (message,) = [json.loads(line)["notice"]["message"] for line in err.splitlines()]
    assert message.startswith("unknown setting ORWATCH_NONSENSE is ignored.")
    *_, text = orwatch("key", "list")
    assert text.startswith("orwatch: unknown setting ORWATCH_NONSENSE is ignored.")


def test_the_log_is_json_lines_where_json_was_asked_for(
    orwatch: Orwatch, home: Home, api: respx.MockRouter
) -> None:
    home.set_up("work")
    api.get("/usage").mock(return_value=refusal(403, "not allowed"))
    code, out, err = orwatch("sync", "--json")
    record = json.loads(err)
    assert (code, json.loads(out)["status"]) == (1, "failed")
    assert (record["level"], record["job"], record["key"]) == ("WARNING", "sync", "work")
    assert orwatch("sync", "--quiet").err.startswith("2026-11-20T12:30:00Z WARNING sync key=work")


@pytest.mark.parametrize("words", [["status"], ["status", "--json"]])
def test_no_secret_is_in_a_notice(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    keep_api_key(secret_of("work"))
    with notices.as_asked(words):
        notices.notice(f"it is {secret_of('work')}")
    assert "it is sk-or-" in (err := capsys.readouterr().err)
    assert secret_of("work")[:20] not in err
