"""`key replace`: a key that is rotated while the program watches it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer, Request, Response, error_response
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import Machine, of_key, told, total_cost


def test_a_rotated_key_stays_one_key_until_and_after_its_old_secret_ends(
    machine: Machine,
    api: FakeOpenRouter,
    keys: tuple[FakeKey, ...],
    serve: Callable[[Answer], FakeServer],
) -> None:
    production, ci, new = keys
    usage = told(api.answer, keys)
    spent = total_cost(of_key(usage, production.name)) + total_cost(of_key(usage, new.name))
    machine.set_up((production, ci))
    assert machine.run("sync", "--days", "30").code == 0

    replaced = machine.run("key", "replace", "production", input=new.secret)

    assert (replaced.code, replaced.stderr) == (0, "")
    assert replaced.stdout.startswith("'production' has a new secret (sk-or-…")
    assert new.secret not in replaced.stdout

    def answer(request: Request) -> Response:
        is_revoked = request.secret == production.secret
        return error_response(401, "No auth credentials found") if is_revoked else api.answer(request)

    machine.api_url = serve(answer).url
    asks_again = "orwatch: 1 key refused; asking again in 0 s\n"
    for command, notices in ((["sync", "--days", "30"], ""), (["validate"], asks_again), (["status"], "")):
        finished = machine.run(*command)
        assert (finished.code, finished.stderr) == (0, notices), command
    assert machine.query("SELECT replaced_by, secret_encrypted FROM api_keys WHERE id = 1") == [(3, None)]
    assert [key["name"] for key in machine.run("key", "list", "--json").json["keys"]] == ["production", "ci"]
    report = machine.run("report", "--last", "all", "--by", "key", "--json").json
    assert {row["key"]: Decimal(str(row["cost"])) for row in report["rows"]} == {
        "production": spent,
        "ci": total_cost(of_key(usage, ci.name)),
    }
