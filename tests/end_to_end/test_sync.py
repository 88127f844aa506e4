"""What sync asks for, what it writes, and what it prints to whom."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import (
    EVERYTHING,
    Machine,
    days_ago,
    of_key,
    told,
    utc_today,
    with_changed_costs,
)

Serve = Callable[[Answer], FakeServer]


def asked_days(server: FakeServer) -> set[tuple[int, int]]:
    """The windows that were asked for, in days before today, and forgets nothing."""
    names = {f"{days_ago(number)}": number for number in range(800)}
    return {
        (names[request.query["start_date"]], names[request.query["end_date"]])
        for _, request in server.received
        if request.path == "/usage"
    }


@pytest.mark.real_clock
@pytest.mark.parametrize(
    ("options", "window"),
    [
        ((), (6, 0)),
        (("--days", "1"), (0, 0)),
        (("--days", "365"), (364, 0)),
        (("--since", "12d"), (12, 0)),
        (("--since", "2w", "--until", "yesterday"), (14, 1)),
    ],
    ids=["a week", "today", "a year", "since", "since until"],
)
def test_it_asks_for_the_days_that_it_is_told_and_for_a_week_otherwise(
    watching: Machine, server: FakeServer, options: tuple[str, ...], window: tuple[int, int]
) -> None:
    finished = watching.run("sync", *options, "--json")

    assert finished.code == 0
    assert asked_days(server) == {window}
    assert len(server.received) == 3
    assert finished.json["since"] == f"{days_ago(window[0])}"
    assert finished.json["until"] == f"{days_ago(window[1])}"


@pytest.mark.real_clock
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_days_are_utc_days_wherever_the_machine_stands(
    watching: Machine, server: FakeServer, zone: str
) -> None:
    assert watching.run("sync", "--days", "1", TZ=zone).code == 0
    report = watching.run("report", "--last", "1d", "--json", TZ=zone)

    assert asked_days(server) == {(0, 0)}
    assert (report.json["since"], report.json["until"]) == (f"{utc_today()}",) * 2
    assert [row["day"] for row in report.json["rows"]] == [f"{utc_today()}"]


def test_a_proxy_for_the_world_outside_is_not_asked_for_this_machine(
    watching: Machine, server: FakeServer
) -> None:
    nobody = "http://127.0.0.1:9"

    finished = watching.run("sync", "--quiet", http_proxy=nobody, HTTPS_PROXY=nobody, ALL_PROXY=nobody)

    assert (finished.code, finished.stderr, len(server.received)) == (0, "", 3)


@pytest.mark.parametrize(
    "options",
    [
        ("--days", "0"),
        ("--days", "366"),
        ("--days", "7", "--since", "today"),
        ("--until", "today"),
        ("--since", "today", "--until", "yesterday"),
        ("--since", "2026-02-30"),
        ("--since", "last week"),
        ("--since", "today", "--until", "2999-01-01"),
    ],
    ids=" ".join,
)
def test_a_window_that_makes_no_sense_is_a_usage_error(
    watching: Machine, server: FakeServer, options: tuple[str, ...]
) -> None:
    finished = watching.run("sync", *options)

    assert (finished.code, finished.stdout, server.received) == (2, "", ())
    assert finished.stderr


@pytest.mark.real_clock
def test_after_a_long_sleep_it_reaches_back_to_the_last_good_sync(
    watching: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    assert watching.run("sync", "--since", "29d", "--until", "20d").code == 0
    server = serve(api.answer)
    watching.api_url = server.url

    finished = watching.run("sync", "--json")

    assert (finished.code, finished.json["since"]) == (0, f"{days_ago(20)}")
    assert asked_days(server) == {(20, 0)}
    assert watching.stored() == told(api.answer, keys)
    # From then on a week is enough.
    last = serve(api.answer)
    watching.api_url = last.url
    assert watching.run("sync").code == 0
    assert asked_days(last) == {(6, 0)}


def test_it_reaches_back_for_a_year_at_most_and_for_each_key_by_its_own_last_sync(
    watching: Machine, api: FakeOpenRouter, serve: Serve
) -> None:
    assert watching.run("sync", "--since", "500d", "--until", "490d", "--key", "production").code == 0
    assert watching.run("sync", "--since", "29d", "--until", "12d", "--key", "ci").code == 0
    server = serve(api.answer)
    watching.api_url = server.url

    assert watching.run("sync").code == 0

    assert asked_days(server) == {(364, 0), (12, 0), (6, 0)}


def test_only_the_named_keys_are_synced(
    watching: Machine, api: FakeOpenRouter, server: FakeServer, keys: tuple[FakeKey, ...]
) -> None:
    finished = watching.run("sync", "--days", "30", "--key", "ci", "-k", "laptop", "--json")

    assert (finished.code, [key["name"] for key in finished.json["keys"]]) == (0, ["ci", "laptop"])
    assert {request.secret for _, request in server.received} == {key.secret for key in keys[1:]}
    assert watching.stored() == told(api.answer, keys[1:])


def test_a_dry_run_tells_what_would_change_and_writes_nothing(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    corrected = with_changed_costs(api.answer)
    changed = sum(numbers[3] > 0 for numbers in told(corrected, keys).values())
    synced.api_url = serve(corrected).url
    tables = (*EVERYTHING, "job_runs")
    before = synced.dump(*tables)

    rehearsal = synced.run("sync", "--days", "30", "--dry-run", "--json", ORWATCH_RATE_LIMIT_PER_MINUTE="100")
    in_words = synced.run("sync", "--days", "30", "-n", COLUMNS="120")

    assert (rehearsal.code, rehearsal.stderr) == (0, "")
    assert (rehearsal.json["dry_run"], rehearsal.json["rows_written"]) == (True, changed)
    assert f"Would write {changed} rows" in in_words.stdout
    assert synced.dump(*tables) == before
    # It does keep to the rate limit.
    assert synced.query("SELECT count(*) FROM request_log") == [(3,)]
    real = synced.run("sync", "--days", "30", "--json")
    assert real.json["rows_written"] == changed
    assert synced.stored() == told(corrected, keys)


def test_a_correction_replaces_the_day_with_the_rows_that_vanished(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    # What another key used is a quite different answer for the same days.
    impostor = {keys[0].secret: keys[1], keys[1].secret: keys[0], keys[2].secret: keys[2]}
    swapped = FakeOpenRouter(
        [FakeKey(impostor[key.secret].name, key.secret, impostor[key.secret].profile) for key in keys]
    )
    synced.api_url = serve(swapped.answer).url

    assert synced.run("sync", "--days", "30").code == 0

    expected = told(swapped.answer, keys)
    days_told = {place[:2] for place in expected}
    # Days that an answer does not mention are left alone.
    left = {place: row for place, row in told(api.answer, keys).items() if place[:2] not in days_told}
    assert synced.stored() == {**expected, **left}
    assert of_key(expected, "ci") != of_key(told(api.answer, keys), "ci")


def test_a_good_quiet_run_of_every_job_prints_nothing_at_all(synced: Machine) -> None:
    for job in ("sync", "validate", "cleanup"):
        finished = synced.run(job, "--quiet")
        assert (finished.code, finished.stdout, finished.stderr) == (0, "", ""), job


@pytest.mark.real_clock
def test_verbose_logs_each_request_without_headers_or_secrets(
    watching: Machine, keys: tuple[FakeKey, ...]
) -> None:
    finished = watching.run("sync", "--json", "-v")

    assert (finished.code, finished.json["status"]) == (0, "ok")
    lines = [json.loads(line) for line in finished.stderr.splitlines()]
    assert (
        sum(re.fullmatch(r"GET /api/v1/usage 200 \d+ ms", line["message"]) is not None for line in lines) == 3
    )
    assert not [word for word in ("Authorization", "Bearer", "sk-or-v1") if word in finished.stderr]
    assert not [key.name for key in keys if key.secret in finished.stderr]
    for line in lines:
        assert re.fullmatch(rf"{utc_today()}T\d\d:\d\d:\d\dZ", line["time"]), line
        assert (line["level"] in {"DEBUG", "INFO"}, line["job"]) == (True, "sync")


def test_without_keys_there_is_nothing_to_do_and_it_says_how_to_begin(machine: Machine) -> None:
    assert machine.run("init").code == 0

    finished = machine.run("sync")

    assert (finished.code, finished.stderr) == (0, "")
    assert "No active keys." in finished.stdout
    assert machine.run("sync", "--json").json["keys"] == []
