"""A server without ``/usage``, as openrouter.ai itself is."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response
from tests.end_to_end.support import NO_ALERTS, Machine


def without_usage(api: FakeOpenRouter, request: Request) -> Response:
    return error_response(404, "Not Found") if request.path == "/usage" else api.answer(request)


@pytest.mark.real_clock
def test_days_are_counted_where_the_server_has_no_usage(
    watching: Machine, api: FakeOpenRouter, serve: Callable[[Answer], FakeServer]
) -> None:
    server = serve(lambda request: without_usage(api, request))
    watching.api_url = server.url
    watching.settings |= NO_ALERTS

    first = watching.run("sync", "--json")
    again = watching.run("sync", "--json")

    assert (first.code, again.code) == (0, 0)
    assert first.json["rows_written"] == 3
    assert (again.json["rows_written"], again.json["rows_unchanged"]) == (0, 3)
    told = {}
    for _, request in server.received:
        if request.path == "/key":
            told[request.secret] = json.loads(api.answer(request).body, parse_float=Decimal)["data"]
    report = watching.run("report", "--by", "key", "--json").json
    assert report["totals"]["cost"] == sum(facts["usage_daily"] for facts in told.values())
    assert report["totals"]["requests"] is None
    assert "counters (this server has no /usage" in watching.run("key", "show", "ci").stdout
