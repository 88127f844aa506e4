"""What is asked on a terminal before something goes that cannot be had back."""

from __future__ import annotations

import json
import sys
from datetime import timedelta

import pytest
from freezegun import freeze_time

from tests.cli.support import ENCRYPTION_KEY, Home, Orwatch, Terminal, write_usage
from tests.support import NOW, TODAY, usage_row


@pytest.fixture(autouse=True)
def a_key(home: Home) -> None:
    home.set_up("production")


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """What is typed at a terminal."""
    monkeypatch.setattr(sys, "stdin", Terminal(text))


def days_kept(home: Home) -> int:
    return int(home.scalar("SELECT count(*) FROM usage_stats"))


@pytest.fixture
def after_a_cleanup(home: Home, orwatch: Orwatch) -> None:
    """One that kept 365 days, with usage 200, 100 and 10 days old."""
    write_usage(
        home, "production", *(usage_row(TODAY - timedelta(days=days), cost="2.5") for days in (200, 100, 10))
    )
    assert orwatch("cleanup").code == 0


@pytest.mark.usefixtures("after_a_cleanup")
def test_a_shorter_retention_than_the_last_one_is_asked_about(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "n\n")
    code, out, err = orwatch("cleanup", "--retention-days", "90")
    assert code == 1
    assert (
        "The last cleanup kept 365 days, this one keeps 90: 2 rows of 2 days before 2026-08-22 ($5.00) "
        "go to the monthly totals, and their days are gone. Clean up? [y/N]:"
    ) in out + err
    assert "orwatch: nothing was removed.\n" in err
    assert days_kept(home) == 3
    answer(monkeypatch, "y\n")
    assert orwatch("cleanup", "--retention-days", "90").code == 0
    assert days_kept(home) == 1


@pytest.mark.usefixtures("after_a_cleanup")
@pytest.mark.parametrize(
    "arguments",
    [
        ("--retention-days", "150", "--yes"),
        ("--retention-days", "150", "--dry-run"),
        ("--retention-days", "300"),
        ("--retention-days", "365"),
        ("--retention-days", "730"),
    ],
    ids=["agreed to", "dry", "nothing goes", "the same", "longer"],
)
def test_otherwise_nothing_is_asked(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    answer(monkeypatch, "")
    code, _, err = orwatch("cleanup", *arguments)
    assert (code, err) == (0, "")


@pytest.mark.usefixtures("after_a_cleanup")
def test_a_day_later_the_same_retention_is_no_shorter_one(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "")
    with freeze_time(NOW + timedelta(days=1)):
        assert orwatch("cleanup", "--retention-days", "365").code == 0


@pytest.mark.usefixtures("after_a_cleanup")
def test_cron_is_not_asked(orwatch: Orwatch, home: Home) -> None:
    home.write_settings(ORWATCH_USAGE_STATS_RETENTION_DAYS="90")
    code, out, _ = orwatch("cleanup", "--json")
    assert (code, json.loads(out)["rows_removed"]) == (0, 2)


def test_the_first_cleanup_is_not_asked_about(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "")
    assert orwatch("cleanup", "--retention-days", "5").code == 0


def test_a_rotation_says_that_old_backups_need_the_old_key_and_asks(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = home.env_file.read_text()
    answer(monkeypatch, "n\n")
    code, out, err = orwatch("secret", "rotate")
    assert code == 1
    assert (
        "Backups of the database from before now need the old key, and it is not kept (--keep-old keeps it). "
        "Rotate? [y/N]:"
    ) in out + err
    assert "orwatch: nothing was changed.\n" in err
    assert home.env_file.read_text() == before
    answer(monkeypatch, "y\n")
    assert orwatch("secret", "rotate").code == 0
    assert ENCRYPTION_KEY not in home.env_file.read_text()


@pytest.mark.parametrize("option", ["--yes", "-y", "--keep-old"])
def test_a_rotation_that_loses_nothing_or_is_agreed_to_asks_nothing(
    orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    answer(monkeypatch, "")
    code, _, err = orwatch("secret", "rotate", option)
    assert (code, err) == (0, "")
