"""Days and stretches of time on the command line, and the completion of key names."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from orwatch.cli import cli, run
from orwatch.cli.options import parse_day, span_start
from orwatch.jobs.key import change as key_jobs
from tests.cli.support import ENCRYPTION_KEY, Home, Orwatch
from tests.support import NOW, TODAY


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-11-20", date(2026, 11, 20)),
        ("20261120", date(2026, 11, 20)),
        ("2024-02-29", date(2024, 2, 29)),
        ("today", TODAY),
        ("yesterday", date(2026, 11, 19)),
        ("Today", TODAY),
        (" 7d ", date(2026, 11, 13)),
        ("0d", TODAY),
        ("7d", date(2026, 11, 13)),
        ("2w", date(2026, 11, 6)),
        ("3m", date(2026, 8, 20)),
        ("11m", date(2025, 12, 20)),
        ("12m", date(2025, 11, 20)),
        ("24M", date(2024, 11, 20)),
    ],
)
def test_a_day_is_written_in_many_ways(text: str, day: date) -> None:
    assert parse_day(text, TODAY) == day


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-13-01",
        "2025-02-29",
        "2026-W47-5",
        "2026-11-2",
        "26-11-20",
        "2026/11/20",
        "00000101",
        "7",
        "d",
        "-7d",
        "7y",
        "1.5d",
        "٧d",
        "99999m",
        "999999d",
        "7d7d",
        "2026-11-20T00:00",
    ],
)
def test_what_is_no_day_is_none(text: str) -> None:
    assert parse_day(text, TODAY) is None


@pytest.mark.parametrize(
    ("today", "text", "day"),
    [
        (date(2026, 5, 31), "3m", date(2026, 2, 28)),
        (date(2024, 5, 31), "3m", date(2024, 2, 29)),
        (date(2026, 5, 31), "1m", date(2026, 4, 30)),
        (date(2026, 3, 31), "13m", date(2025, 2, 28)),
        (date(2026, 1, 31), "1m", date(2025, 12, 31)),
    ],
)
def test_months_ago_from_the_end_of_a_long_month_is_the_end_of_a_short_one(
    today: date, text: str, day: date
) -> None:
    assert parse_day(text, today) == day


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("1d", TODAY),
        ("30d", date(2026, 10, 22)),
        ("2w", date(2026, 11, 7)),
        ("3m", date(2026, 8, 21)),
        (" 30D ", date(2026, 10, 22)),
    ],
)
def test_a_stretch_of_time_ends_today_and_counts_it(text: str, first: date) -> None:
    assert span_start(text, TODAY) == first


@pytest.mark.parametrize("text", ["0d", "0w", "0m", "", "today", "2026-11-20", "-3d", "99999m", "999999d"])
def test_what_is_no_stretch_of_time_is_none(text: str) -> None:
    assert span_start(text, TODAY) is None


@given(st.text(max_size=12) | st.from_regex(r"\d{1,5}[dwm]", fullmatch=True), st.dates(date(1970, 1, 1)))
def test_any_text_is_a_day_or_none_and_none_in_the_future_by_going_back(text: str, today: date) -> None:
    day = parse_day(text, today)
    span = span_start(text, today)
    assert span is None or span <= today
    if day is not None and text.strip().lower().endswith(("d", "w", "m")):
        assert day <= today


@given(st.integers(1, 600), st.dates(date(1970, 1, 1)))
def test_months_ago_is_the_same_day_or_the_last_of_the_month(months: int, today: date) -> None:
    day = parse_day(f"{months}m", today)
    assert day is not None
    assert (today.year - day.year) * 12 + today.month - day.month == months
    assert day.day == today.day or (day.day < today.day and date.fromordinal(day.toordinal() + 1).day == 1)


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_what_is_no_day_is_a_usage_error_that_shows_the_ways(orwatch: Orwatch, option: str) -> None:
    code, out, err = orwatch("report", option, "tomorrow")
    assert (code, out) == (2, "")
    assert "'tomorrow' is not a day: write 2026-11-20, 20261120, today, yesterday, 7d, 2w or 3m." in err


def test_what_is_no_stretch_of_time_is_a_usage_error_that_shows_the_ways(orwatch: Orwatch) -> None:
    code, out, err = orwatch("report", "--last", "week")
    assert (code, out) == (2, "")
    assert "'week' is not a stretch of time: write 30d, 2w, 3m or all." in err


@pytest.mark.parametrize("text", ["all", "ALL", " all "])
def test_all_is_written_as_carelessly_as_any_other_stretch_of_time(
    orwatch: Orwatch, home: Home, text: str
) -> None:
    home.set_up()
    assert orwatch("report", "--last", text).code == 0


@pytest.mark.parametrize(
    ("moment", "today"),
    [("2026-11-20T23:59:59Z", "2026-11-20"), ("2026-11-21T00:00:00Z", "2026-11-21")],
)
def test_today_ends_at_midnight_and_not_before(orwatch: Orwatch, home: Home, moment: str, today: str) -> None:
    home.set_up()
    with freeze_time(moment):
        out = orwatch("report", "--since", "today", "--json").out
        assert f'"since": "{today}",\n  "until": "{today}"' in out
        last = orwatch("report", "--last", "1d", "--json").out
        assert f'"since": "{today}",\n  "until": "{today}"' in last


def completions(*arguments: str, incomplete: str = "") -> list[str]:
    """What the shell is offered after these words."""
    completer = ShellComplete(cli, {}, "orwatch", "_ORWATCH_COMPLETE")
    return [item.value for item in completer.get_completions(list(arguments), incomplete)]


@pytest.mark.parametrize(
    "arguments",
    [["sync", "--key"], ["validate", "-k"], ["report", "--key"], ["key", "show"], ["key", "remove"]],
)
def test_the_names_of_stored_keys_complete(home: Home, arguments: list[str]) -> None:
    home.set_up("production", "ci", "ci-nightly")
    assert completions(*arguments) == ["production", "ci", "ci-nightly"]
    assert completions(*arguments, incomplete="ci") == ["ci", "ci-nightly"]
    assert completions(*arguments, incomplete="x") == []


def test_a_removed_key_completes_where_it_can_be_named(home: Home) -> None:
    home.set_up("production", "ci")
    with home.store() as store:
        key_jobs.remove(store, "ci", NOW, with_history=False)
    for words in (["key", "show"], ["key", "rename"], ["key", "remove"], ["report", "--key"]):
        assert completions(*words) == ["production", "ci (removed)"]
    for words in (["key", "enable"], ["key", "disable"], ["sync", "--key"], ["validate", "--key"]):
        assert completions(*words) == ["production"]


def test_the_names_come_from_the_database_of_the_named_env_file(home: Home, tmp_path: Path) -> None:
    home.set_up("production")
    other = tmp_path / "other.env"
    other.write_text(f"ORWATCH_DATABASE_URL=sqlite:///{tmp_path}/none.db\n", encoding="utf-8")
    assert completions("--env-file", str(other), "key", "show") == []
    other.write_text(f"ORWATCH_DATABASE_URL=sqlite:///{home.database}\n", encoding="utf-8")
    assert completions("--env-file", str(other), "key", "show") == ["production"]


def test_completion_creates_nothing_where_there_is_no_database(
    home: Home, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert completions("sync", "--key") == []
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_completion_makes_no_encryption_key_and_says_nothing(
    home: Home, capfd: pytest.CaptureFixture[str]
) -> None:
    with home.store():
        pass
    assert completions("sync", "--key") == []
    assert not home.env_file.exists()
    assert capfd.readouterr() == ("", "")


def test_completion_says_nothing_of_unknown_settings(
    home: Home, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.set_up("production")
    monkeypatch.setenv("ORWATCH_SINC_DAYS", "3")
    assert completions("sync", "--key") == ["production"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("trouble", ["ORWATCH_SYNC_DAYS=many", "ORWATCH_DATABASE_URL=mysql://x"])
def test_completion_has_no_names_where_the_settings_are_wrong(home: Home, trouble: str) -> None:
    home.set_up("production")
    home.write_settings(**dict([trouble.split("=")]))
    assert completions("sync", "--key") == []


def test_completion_has_no_names_where_the_database_is_damaged(home: Home) -> None:
    home.write_settings(ORWATCH_ENCRYPTION_KEY=ENCRYPTION_KEY)
    home.database.parent.mkdir(parents=True)
    home.database.write_bytes(b"no database at all" * 100)
    assert completions("sync", "--key") == []


def test_commands_and_options_complete() -> None:
    assert completions(incomplete="s") == ["sync", "status", "secret"]
    assert "--dry-run" in completions("sync", incomplete="--")


def test_a_day_before_the_word_to_complete_is_no_obstacle() -> None:
    # Its callback runs while the shell completes as well, where no context was made.
    assert "--until" in completions("report", "--since", "7d", incomplete="--")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_script_for_the_shell_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv("_ORWATCH_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit) as ended:
        run([])
    assert ended.value.code == 0
    captured = capsys.readouterr()
    assert "_ORWATCH_COMPLETE=" in captured.out
    assert ('split --max 1 ","' in captured.out) == (shell == "fish")
    assert captured.err == ""


def test_a_shell_that_is_not_known_is_a_failure_and_no_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ORWATCH_COMPLETE", "cmd_source")
    with pytest.raises(SystemExit) as ended:
        run([])
    assert ended.value.code == 1
