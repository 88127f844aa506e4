"""Sync against a server that fails for one of three keys, or for all of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response, json_response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import IMPATIENT, Machine, failing_for, of_key, told, with_changed_costs
from tests.support import secret_of

Serve = Callable[[Answer], FakeServer]

SECRET = secret_of("ci")
NOW = {"Retry-After": "0"}
HTML = b"<!doctype html><title>\x1b[31mGateway</title>"


def drop(_request: Request) -> Response:
    raise ConnectionAbortedError


def always(response: Response) -> Answer:
    return lambda _request: response


# What the server does for one key, how often it is asked, and what is told of it.
FAULTS: dict[str, tuple[Answer, int, str]] = {
    "500 always": (always(Response(500, b"", NOW)), 5, "GET /usage answered 500 (tried 5 times)"),
    "401": (always(error_response(401, "User not found.")), 1, "GET /usage answered 401: User not found."),
    "402": (always(error_response(402, "No credit")), 1, "GET /usage answered 402: No credit"),
    "HTML": (always(Response(200, HTML, content_type="text/html")), 1, "the answer is not JSON"),
    "cut JSON": (always(Response(200, b'{"data": [{"date": "20')), 1, "the answer is not JSON"),
    "data: null": (always(json_response({"data": None})), 1, "the answer's data is null, not a list of rows"),
    "list": (always(json_response([])), 1, "the answer is a list, not an object"),
    "too large": (always(Response(200, b" " * (65 << 20))), 1, "the answer is larger than 64 MiB"),
    "echo": (
        always(error_response(400, f"Bearer {SECRET} \x1b[2J")),
        1,
        "GET /usage answered 400: Bearer sk-or-…",
    ),
}
# These cannot carry a Retry-After: the program's own waits are made short.
BROKEN = {
    "dropped connection": (drop, 5, "cannot reach http://127.0.0.1:"),
    "cut body": (
        always(Response(200, b'{"data": [', content_length=500)),
        5,
        "cannot reach http://127.0.0.1:",
    ),
}


@pytest.mark.parametrize("fault", [*FAULTS, *BROKEN])
def test_one_failing_key_is_told_and_stops_no_other(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve, fault: str
) -> None:
    answer, tries, message = (FAULTS | BROKEN)[fault]
    before = synced.stored()
    days_before = synced.query("SELECT * FROM usage_days WHERE api_key_id = 2 ORDER BY date")
    corrected = with_changed_costs(api.answer)
    server = serve(failing_for(corrected, SECRET, answer))
    synced.api_url = server.url

    launcher = IMPATIENT if fault in BROKEN else ()
    finished = synced.run("sync", "--days", "30", "--json", launcher=launcher)

    assert finished.code == 1
    result = finished.json
    assert (result["job"], result["status"], result["schema_version"]) == ("sync", "partial", 1)
    errors = {key["name"]: (key["status"], key["error"]) for key in result["keys"]}
    assert errors["production"] == errors["laptop"] == ("ok", None)
    assert errors["ci"][0] == "failed"
    assert message in errors["ci"][1]
    assert finished.stderr.count("\n") == 1
    assert '"level": "WARNING", "job": "sync", "key": "ci"' in finished.stderr
    assert message in json.loads(finished.stderr)["message"]
    for text in (errors["ci"][1], finished.stderr):
        assert "\x1b" not in text
        assert SECRET not in text

    asked = [request.secret for _, request in server.received]
    assert (asked.count(SECRET), len(asked)) == (tries, tries + 2)
    stored, expected = synced.stored(), told(corrected, keys)
    assert of_key(stored, "production") == of_key(expected, "production") != of_key(before, "production")
    assert of_key(stored, "laptop") == of_key(expected, "laptop")
    assert of_key(stored, "ci") == of_key(before, "ci")
    assert synced.query("SELECT * FROM usage_days WHERE api_key_id = 2 ORDER BY date") == days_before
    ((status, error),) = synced.query("SELECT status, error FROM job_runs ORDER BY id DESC LIMIT 1")
    assert (status, message in error) == ("partial", True)


def test_the_failing_key_is_named_in_the_summary_and_in_the_status_until_it_works(
    synced: Machine, api: FakeOpenRouter, serve: Serve
) -> None:
    good_url = synced.api_url
    synced.api_url = serve(failing_for(api.answer, SECRET, always(error_response(402, "No credit")))).url

    finished = synced.run("sync", COLUMNS="120")
    assert finished.code == 1
    assert "ci: GET /usage answered 402: No credit" in finished.stdout
    assert "for 2 keys; 1 failed" in finished.stdout.splitlines()[-1]
    status = synced.run("status")
    assert status.code == 1
    assert "! ci: the last sync: GET /usage answered 402: No credit" in status.stdout

    synced.api_url = good_url
    assert synced.run("sync", "--quiet").code == 0
    assert synced.run("status").code == 0


def test_a_key_that_fails_in_passing_is_asked_again_and_nobody_hears_of_it(
    watching: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Serve
) -> None:
    troubles = [always(Response(503, b"<html>", NOW)), always(Response(408, b"", NOW)), drop]
    server = serve(
        failing_for(
            api.answer, SECRET, lambda request: troubles.pop()(request) if troubles else api.answer(request)
        )
    )
    watching.api_url = server.url

    finished = watching.run("sync", "--days", "30", "--quiet")

    assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")
    assert [request.secret for _, request in server.received].count(SECRET) == 4
    assert watching.stored() == told(api.answer, keys)


@pytest.mark.parametrize("is_json", [True, False])
def test_when_all_keys_fail_in_passing_the_run_is_to_be_tried_again(
    synced: Machine, serve: Serve, is_json: bool
) -> None:
    before = synced.stored()
    synced.api_url = serve(always(Response(502, HTML, NOW, "text/html"))).url

    finished = synced.run("sync", *(["--json"] if is_json else ["--quiet"]))

    assert finished.code == 75
    if is_json:
        assert finished.json["status"] == "failed"
        assert "none of 3 keys could be read" in finished.json["trouble"]
        assert {key["status"] for key in finished.json["keys"]} == {"failed"}
    else:
        assert finished.stdout == ""
    # Cron's mail: one line for all keys, and no word of what passed.
    [line] = finished.stderr.splitlines()
    assert "answers with errors only (502): none of 3 keys could be read. " in line
    assert synced.stored() == before


def test_when_all_keys_are_refused_a_person_is_needed(synced: Machine, serve: Serve) -> None:
    synced.api_url = serve(always(error_response(401, "User not found."))).url

    finished = synced.run("sync", "--json")

    assert (finished.code, finished.json["status"]) == (1, "failed")


@pytest.mark.parametrize("status", [302, 308])
def test_a_redirect_to_another_host_is_not_followed(
    synced: Machine, api: FakeOpenRouter, serve: Serve, status: int
) -> None:
    before = synced.stored()
    thief = serve(api.answer)
    elsewhere = {"Location": f"{thief.url}/usage"}
    server = serve(failing_for(api.answer, SECRET, always(Response(status, b"", elsewhere))))
    synced.api_url = server.url

    finished = synced.run("sync", "--json")

    assert finished.code == 1
    error = {key["name"]: key["error"] for key in finished.json["keys"]}["ci"]
    assert f"redirects to {thief.url.removesuffix('/api/v1')}, where the key is not sent" in error
    assert thief.received == ()
    assert of_key(synced.stored(), "ci") == of_key(before, "ci")


@pytest.mark.real_clock
def test_rows_that_cannot_be_believed_are_left_out_and_told(
    synced: Machine, api: FakeOpenRouter, serve: Serve
) -> None:
    rows_before = of_key(synced.stored(), "ci")
    day = max(day for _, day, _ in rows_before)

    def with_bad_rows(request: Request) -> Response:
        rows = json.loads(api.answer(request).body, parse_float=str)["data"]
        good = {"date": day, "model": "m/new", "requests_count": "3", "tokens_input": 1, "tokens_output": 2}
        bad = [
            {**good, "cost": -1},
            {**good, "model": "m/not-a-number", "cost": "NaN"},
            {**good, "model": "m/impossible", "date": "2026-02-30", "cost": 1},
            "a text",
        ]
        return Response(
            200, json.dumps({"data": [*rows, *bad, {**good, "model": "m/small", "cost": 1e-7}]}).encode()
        )

    synced.api_url = serve(failing_for(api.answer, SECRET, with_bad_rows)).url
    finished = synced.run("sync", "--json")

    assert finished.code == 1
    result = {key["name"]: key for key in finished.json["keys"]}["ci"]
    assert (result["status"], result["rows_rejected"], result["rows_written"]) == ("partial", 4, 1)
    assert "4 rows of the answer rejected: " in result["error"]
    assert '"level": "WARNING", "job": "sync", "key": "ci"' in finished.stderr
    new = {
        place: numbers for place, numbers in of_key(synced.stored(), "ci").items() if place not in rows_before
    }
    assert {place[2]: str(numbers[3]) for place, numbers in new.items()} == {"m/small": "1.00E-7"}
