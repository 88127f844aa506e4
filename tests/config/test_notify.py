"""Where alerts go, as the settings say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orwatch.config.notify import is_address, scheme
from orwatch.config.settings import Settings, load_settings
from orwatch.errors import SettingsError
from orwatch.redaction import redact

MAIL = "mailtos://me:p%40ss-w0rd@smtp.gmail.com?to=you@example.org,them@example.org"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"


def load(**settings: str) -> Settings:
    return load_settings({"HOME": "/", **{f"ORWATCH_{name}": value for name, value in settings.items()}})


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n", " ;\t"])
def test_addresses_stand_apart_as_apprise_takes_them_apart(between: str) -> None:
    assert load(NOTIFY_URLS=between.join([MAIL, SLACK, MAIL]) + between).notify_urls == (MAIL, SLACK)


def test_a_file_and_a_command_give_all_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "urls"
    file.write_text(f"{MAIL}\n{SLACK}\n")
    assert load(NOTIFY_URLS_FILE=str(file)).notify_urls == (MAIL, SLACK)
    assert load(NOTIFY_URLS_COMMAND=f"cat {file}").notify_urls == (MAIL, SLACK)


@pytest.mark.parametrize(
    "value", ["s3cret-topic", "ntfy:s3cret", "ntfy://", f"s3cret {MAIL}", "ntfy://a\x1bs3cret"]
)
def test_what_is_no_address_ends_no_job_and_is_not_shown(value: str) -> None:
    urls = load(NOTIFY_URLS=value).notify_urls
    assert not is_address(urls[0])
    assert scheme(urls[0]) == "address"
    assert "s3cret" not in redact(f"said {urls[0]}")


def test_nothing_of_an_address_that_is_a_secret_is_shown_from_then_on() -> None:
    settings = load(NOTIFY_URLS=f"{MAIL} {SLACK}", ON_ALERT="curl -H 'Authorization: s3cret'")
    for secret in (MAIL, SLACK, "p%40ss-w0rd", "p@ss-w0rd", "T1JJ3T3L2", "TIiajkdnlazkcOXrIdevi7FQ"):
        assert redact(f"said {secret}.") == "said …."
        assert secret not in repr(settings)
    assert "s3cret" not in repr(settings)
    named = "smtp.gmail.com, example.org and general"
    assert redact(named) == named


def test_a_command_is_words_as_a_shell_takes_them_apart() -> None:
    assert load(ON_ALERT="""notify "two words" 'it''s' \\$HOME""").on_alert == (
        "notify",
        "two words",
        "its",
        "$HOME",
    )
    with pytest.raises(
        SettingsError, match=r"ORWATCH_ON_ALERT cannot be run \(No closing quotation\)"
    ) as refused:
        load(ON_ALERT="notify 's3cret")
    assert "s3cret" not in str(refused.value)
