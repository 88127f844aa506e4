"""From an empty account to a report, as a person goes on the first day."""

from __future__ import annotations

import stat
from decimal import Decimal
from pathlib import Path

import pytest

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import FakeServer
from orwatch.demo.usage import FakeKey
from tests.end_to_end.support import Finished, Machine, days_ago, told, total_cost, utc_today

# The default rate limit: 20 a minute are enough for a first day. One of the models is to be retired.
NO_LIMIT_SET = {"ORWATCH_RATE_LIMIT_PER_MINUTE": None, "ORWATCH_ALERTS_OFF": "model"}


def reported_usage(report: Finished) -> dict[tuple[str, str, str], tuple[int, int, int, Decimal]]:
    """The rows of `report --by key --by day --by model --json` that have numbers."""
    return {
        (row["key"], row["day"], row["model"]): (
            row["requests"],
            row["tokens_input"],
            row["tokens_output"],
            Decimal(row["cost"]),
        )
        for row in report.json["rows"]
    }


def test_from_an_empty_account_to_a_report_that_has_openrouters_own_numbers(
    machine: Machine, api: FakeOpenRouter, server: FakeServer, keys: tuple[FakeKey, ...]
) -> None:
    outputs = []

    def do(*arguments: str, code: int = 0, input: str | None = None) -> Finished:
        finished = machine.run(*arguments, input=input, **NO_LIMIT_SET)
        assert (finished.code, finished.stderr.count("Traceback")) == (code, 0), finished
        outputs.append(finished)
        return finished

    # The first use says what it made, and only the first.
    added = do("key", "add", keys[0].name, input=f"  {keys[0].secret}\r\n")
    assert added.stdout.startswith(f"Stored 'production' (sk-or-…{keys[0].secret[-4:]}, inference).")
    created, wrote = added.stderr.splitlines()
    assert created == f"orwatch: created the database {machine.database}"
    assert wrote.startswith(f"orwatch: wrote a new encryption key to {machine.env_file}; keep a copy of it")
    for key in keys[1:]:
        added = do("key", "add", key.name, input=f"{key.secret}\n")
        assert (added.stdout.startswith(f"Stored '{key.name}'"), added.stderr) == (True, "")

    listed = do("key", "list", "--json")
    assert listed.stderr == ""
    assert [(key["name"], key["is_active"], key["last_synced_at"]) for key in listed.json["keys"]] == [
        (key.name, True, None) for key in keys
    ]

    first = do("sync", "--days", "30")
    usage = told(api.answer, keys)
    assert f"Wrote {len(usage)} rows (0 unchanged) for 3 keys" in first.stdout
    assert first.stderr == ""
    assert machine.stored() == usage

    before = machine.dump("usage_stats", "models", "providers")
    second = do("sync", "--days", "30")
    assert f"Wrote 0 rows ({len(usage)} unchanged) for 3 keys" in second.stdout
    assert machine.dump("usage_stats", "models", "providers") == before

    validated = do("validate")
    assert validated.stdout.splitlines()[-1].startswith("3 keys valid, 0 invalid, 0 unknown")
    assert validated.stderr == ""

    report = do("report", "--by", "key", "--by", "day", "--by", "model", "--json")
    assert reported_usage(report) == usage
    assert report.stderr == ""
    assert Decimal(report.json["totals"]["cost"]) == total_cost(usage)
    assert report.json["totals"]["requests"] == sum(numbers[0] for numbers in usage.values())

    status = do("status", "--json").json
    assert (status["status"], status["problems"]) == ("ok", [])
    assert {job["job"]: job["result"] for job in status["jobs"]} == {
        "sync": "ok",
        "validate": "ok",
        "cleanup": None,
    }
    assert do("cleanup").stdout.startswith("No usage is older than 365 days")
    assert machine.stored() == usage

    # One key each: asked about when it was added, synced twice, validated. And the list of models.
    assert len(server.received) == 3 * (1 + 2 + 1) + 1
    everything = "".join(finished.stdout + finished.stderr for finished in outputs).encode()
    for name, text in {**machine.files(), Path("what was printed"): everything}.items():
        assert not [key.name for key in keys if key.secret.encode() in text], name
    assert machine.encryption_key().encode() not in everything


def test_what_the_first_use_creates_is_for_its_owner_only(machine: Machine) -> None:
    assert machine.run("init", launcher=("/bin/sh", "-c", 'umask 000; exec "$0" "$@"')).code == 0
    assert machine.run("sync", launcher=("/bin/sh", "-c", 'umask 000; exec "$0" "$@"')).code == 0

    made = [path for path in machine.home.rglob("*") if "orwatch" in str(path.relative_to(machine.home))]
    assert {machine.database, machine.env_file} <= set(made)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in made}


@pytest.mark.parametrize("command", [("report",), ("sync",)])
def test_init_may_be_the_first_and_says_once_what_it_made_and_no_other_makes_it(
    machine: Machine, command: tuple[str, ...]
) -> None:
    refused = machine.run(*command)
    assert (refused.code, refused.stdout) == (78, "")
    assert f"there is no database {machine.database}. `orwatch key add NAME` creates it" in refused.stderr
    assert machine.files() == {}

    first = machine.run("init")
    again = machine.run("init")

    assert (first.code, again.code, machine.run(*command).code) == (0, 0, 0)
    assert len(first.stderr.splitlines()) == 2
    assert str(machine.database) in first.stderr
    assert str(machine.env_file) in first.stderr
    assert again.stderr == ""


def test_init_leaves_what_is_there_as_it_is(synced: Machine) -> None:
    before = (synced.dump(), synced.env_file.read_bytes())

    finished = synced.run("init")

    assert (finished.code, finished.stderr) == (0, "")
    assert str(synced.database) in finished.stdout
    assert (synced.dump(), synced.env_file.read_bytes()) == before


def test_a_revoked_key_is_found_by_validate_and_told_by_status(synced: Machine, api: FakeOpenRouter) -> None:
    api.revoke("laptop")

    validated = synced.run("validate", "--json")
    verdicts = {key["name"]: key["verdict"] for key in validated.json["keys"]}
    assert validated.code == 1
    assert verdicts == {"production": "valid", "ci": "valid", "laptop": "invalid"}
    assert '"level": "WARNING", "job": "validate", "key": "laptop"' in validated.stderr

    status = synced.run("status")
    assert (status.code, status.stderr) == (1, "")
    assert "! laptop: OpenRouter has refused it since " in status.stdout
    synced_after = synced.run("sync", "--json")
    assert (synced_after.code, [key["name"] for key in synced_after.json["keys"]]) == (
        0,
        ["production", "ci"],
    )


def test_a_key_that_is_accepted_again_is_active_again_but_not_one_that_a_person_disabled(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    api.revoke("laptop")
    assert synced.run("validate").code == 1
    assert synced.run("key", "disable", "ci").code == 0

    with FakeServer(FakeOpenRouter(keys).answer) as recovered:
        synced.api_url = recovered.url
        validated = synced.run("validate")
        asked_with = [request.secret for _, request in recovered.received]

    assert (validated.code, "reactivated" in validated.stdout) == (0, True)
    assert sorted(asked_with) == sorted(key.secret for key in keys if key.name != "ci")
    assert synced.query("SELECT name, is_active, inactive_reason FROM api_keys ORDER BY id") == [
        ("production", 1, None),
        ("ci", 0, "disabled"),
        ("laptop", 1, None),
    ]


@pytest.mark.real_clock
def test_cleanup_keeps_the_totals_and_no_sync_brings_the_days_back(
    synced: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    usage = told(api.answer, keys)
    kept_from = days_ago(10)

    cleaned = synced.run("cleanup", "--retention-days", "10", "--json")
    assert (cleaned.code, cleaned.stderr) == (0, "")
    gone = {place: numbers for place, numbers in usage.items() if place[1] < f"{kept_from}"}
    assert (cleaned.json["rows_removed"], Decimal(cleaned.json["cost_moved"])) == (
        len(gone),
        total_cost(gone),
    )

    again = synced.run("sync", "--since", str(days_ago(29)), "--json")
    assert (again.code, again.json["rows_written"]) == (0, 0)
    assert f"days before {kept_from} were removed by cleanup" in again.json["keys"][0]["notes"][0]
    assert min(day for _, day, _ in synced.stored()) >= f"{kept_from}"

    by_month = synced.run("report", "--by", "month", "--last", "all", "--json")
    assert Decimal(by_month.json["totals"]["cost"]) == total_cost(usage)
    assert by_month.json["until"] == f"{utc_today()}"


@pytest.mark.parametrize("days", ["0", "many", ""])
def test_a_retention_that_is_no_number_of_days_deletes_nothing(synced: Machine, days: str) -> None:
    before = synced.dump()

    by_option = synced.run("cleanup", "--retention-days", days)
    assert (by_option.code, by_option.stdout) == (2, "")
    assert "retention-days" in by_option.stderr
    if days:
        by_setting = synced.run("cleanup", ORWATCH_USAGE_STATS_RETENTION_DAYS=days)
        assert (by_setting.code, by_setting.stdout) == (78, "")
        assert f"ORWATCH_USAGE_STATS_RETENTION_DAYS='{days}' is not a whole number" in by_setting.stderr
    assert synced.dump() == before
