"""Doctor's look at where alerts go, and at those that never arrived."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orwatch.config.settings import examine_settings
from orwatch.domain.alerts.alert import TRY_LIMIT
from orwatch.jobs.doctor.alerts import check_destinations, check_undelivered
from orwatch.store.engine.database import Store
from tests.jobs.doctor.support import findings, told
from tests.store.test_deliveries import claim, fail, raise_alert, stored
from tests.support import NOW


@pytest.mark.parametrize(
    ("urls", "on_alert", "expected"),
    [
        ("", "", [("alerts", "ok", "no address is set here")]),
        (
            "ntfy://s3cret json://host",
            f"{sys.executable} x",
            [("alerts", "ok", "go to ntfy 1, json 2, command; nothing was sent")],
        ),
        (
            "nosuch://s3cret json://host slack://s3cret",
            "/nowhere/x s3cret",
            [
                (
                    "alerts",
                    "finding",
                    "nosuch 1, slack 3: Apprise can make nothing of the address: it is wrong, "
                    "or needs a library that is missing; that of a webhook begins with json:// or jsons://",
                ),
                ("alerts", "finding", "command: there is no program /nowhere/x"),
            ],
        ),
        (
            "s3cret",
            "",
            [
                (
                    "alerts",
                    "finding",
                    "address 1: Apprise can make nothing of the address: it is wrong, "
                    "or needs a library that is missing; that of a webhook begins with json:// or jsons://",
                )
            ],
        ),
    ],
)
def test_each_destination_is_looked_at(
    tmp_path: Path, urls: str, on_alert: str, expected: list[tuple[str, str, str]]
) -> None:
    environ = {"HOME": str(tmp_path), "ORWATCH_NOTIFY_URLS": urls, "ORWATCH_ON_ALERT": on_alert}
    settings, wrong = examine_settings(environ)
    assert told(check_destinations(settings, {error.setting or "" for error in wrong})) == expected


def test_alerts_that_could_not_be_sent_are_a_finding(store: Store) -> None:
    alerts = [raise_alert(store, f"window {number}") for number in range(2)]
    for _ in range(TRY_LIMIT):
        with store.read() as connection:
            assert [*check_undelivered(connection)] == []
        for alert in alerts:
            assert claim(store, stored(store, alert), NOW)
            fail(store, alert, "mailto 1: no answer in 10 s")
    with store.read() as connection:
        assert findings(check_undelivered(connection)) == [
            ("alerts", "2 alerts could not be sent in 10 tries: 1, 2 (the last: mailto 1: no answer in 10 s)")
        ]
