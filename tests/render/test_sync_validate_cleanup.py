"""What sync, validate and cleanup did, as summaries and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from orwatch.jobs.cleanup.result import CleanupResult
from orwatch.jobs.sync.result import SyncedKey, SyncKeyStatus, SyncResult
from orwatch.jobs.validate.result import ValidatedKey, ValidateResult, Verdict
from orwatch.render import cleanup, sync, validate
from orwatch.render.cleanup import cleanup_view
from orwatch.render.sync import sync_view
from orwatch.render.validate import validate_view
from tests.render.support import HOSTILE_NAME, INERT_NAME, WIDTHS, rendered, widest_line
from tests.support import TODAY

SINCE = date(2026, 11, 14)
GOOD = SyncedKey("production", SyncKeyStatus.OK, SINCE, rows_written=1234, rows_unchanged=56)
PARTIAL = SyncedKey(
    "ci",
    SyncKeyStatus.PARTIAL,
    SINCE,
    rows_written=1,
    rows_removed=2,
    rows_rejected=3,
    error="3 rows not believed",
    notes=("left out 4 rows",),
)
FAILED = SyncedKey("old", SyncKeyStatus.FAILED, SINCE, error="GET /usage answered 403", is_passing=False)
CLEANED = CleanupResult(
    retention_days=365,
    kept_from=date(2025, 11, 20),
    rows_removed=1234,
    days_removed=2,
    cost_moved_usd=Decimal("12.345678901"),
    records_removed=7,
    bytes_freed=1_400_000,
    duration_seconds=0.5,
)


def synced(*keys: SyncedKey, **changes: Any) -> SyncResult:
    return replace(SyncResult(SINCE, TODAY, keys, 1.25), **changes)


def validated(*keys: ValidatedKey) -> ValidateResult:
    return ValidateResult(keys, 0.5)


def test_keys_with_the_same_error_are_one_line() -> None:
    same = [replace(FAILED, name=f"key {number}") for number in range(30)]
    text = rendered(sync_view(synced(*same, replace(FAILED, name="other", error="slow"))), 200)
    said = [line for line in text.splitlines() if "answered 403" in line or "slow" in line]
    assert said == [
        "key 0, key 1, key 2, key 3, key 4 and 25 more: GET /usage answered 403",
        "other: slow",
    ]


def test_a_good_sync_is_a_row_a_key_and_a_sentence() -> None:
    lines = rendered(sync_view(synced(GOOD)), 100).splitlines()
    assert lines[0].split() == ["Key", "Status", "Since", "Written", "Unchanged", "Removed", "Rejected"]
    assert lines[2].split() == ["production", "ok", "2026-11-14", "1,234", "56", "0", "0"]
    assert lines[-1] == "Wrote 1,234 rows (56 unchanged) for 1 key, 2026-11-14 to 2026-11-20, in 1.2 s."


def test_a_sync_with_trouble_tells_whose_and_which() -> None:
    text = rendered(sync_view(synced(GOOD, PARTIAL, FAILED)), 120)
    assert "ci: 3 rows not believed\n" in text
    assert "old: GET /usage answered 403\n" in text
    assert "ci: left out 4 rows\n" in text
    assert text.splitlines()[-1] == (
        "Wrote 1,235 rows (56 unchanged, 2 removed, 3 rejected) for 2 keys; 1 failed, "
        "2026-11-14 to 2026-11-20, in 1.2 s."
    )


def test_a_dry_run_says_that_it_would() -> None:
    text = rendered(sync_view(synced(replace(GOOD, rows_written=1), is_dry_run=True)), 100)
    assert "Would write 1 row (" in text
    assert "Wrote" not in text


def test_a_sync_without_keys_says_how_to_get_some() -> None:
    assert "No active keys." in rendered(sync_view(synced()))


def test_of_many_keys_only_those_with_trouble_are_listed() -> None:
    many = [replace(GOOD, name=f"good-{number}") for number in range(30)]
    noted = replace(GOOD, name="noted", notes=("days before were removed",))
    text = rendered(sync_view(synced(*many, PARTIAL, FAILED, noted)), 120)
    assert "good-" not in text
    assert all(f"\n{name} " in text for name in ("ci", "old", "noted"))
    assert "\n30 more keys: ok.\n" in text
    assert "for 32 keys; 1 failed" in text


def test_of_many_keys_without_trouble_there_is_the_sentence_alone() -> None:
    many = [replace(GOOD, name=f"good-{number}") for number in range(26)]
    assert len(rendered(sync_view(synced(*many)), 120).splitlines()) == 1
    few = rendered(sync_view(synced(*many[:25])), 120)
    assert "good-24" in few
    assert "more key" not in few


def test_hostile_names_and_messages_are_inert_in_the_summaries() -> None:
    failed = replace(FAILED, name=HOSTILE_NAME, error="[bold]\x1b[2J\u202e")
    text = rendered(sync_view(synced(failed)), 200)
    assert f"{INERT_NAME}: [bold]�[2J�\n" in text
    key = ValidatedKey(HOSTILE_NAME, Verdict.INVALID, "[bold]\x1b[2J\u202e")
    assert f"{INERT_NAME}: [bold]�[2J�\n" in rendered(validate_view(validated(key)), 200)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_summaries_fit_the_terminal(width: int) -> None:
    name = "a-key-with-quite-a-long-name-" + "深" * 10
    long = replace(PARTIAL, name=name, rows_written=12_345_678, error="w " * 150)
    sync = rendered(sync_view(synced(GOOD, long)), width)
    assert widest_line(sync) <= width
    assert "12,345,678" in sync
    keys = [ValidatedKey(name, Verdict.UNKNOWN, "w" * 300), ValidatedKey("ci", Verdict.VALID, None, "soon")]
    validate = rendered(validate_view(validated(*keys)), width)
    assert widest_line(validate) <= width
    assert "unknown" in validate
    assert "valid, but see below" in validate
    assert widest_line(rendered(cleanup_view(CLEANED), width)) <= width


def test_sync_in_json_has_the_promised_members() -> None:
    document = json.loads(sync.ANSWER.document(synced(GOOD, PARTIAL, FAILED)))
    promised = {
        "schema_version": 1,
        "job": "sync",
        "status": "partial",
        "since": "2026-11-14",
        "until": "2026-11-20",
        "rows_written": 1235,
        "rows_unchanged": 56,
        "rows_rejected": 3,
    }
    assert promised.items() <= document.items()
    assert document["rows_removed"] == 2
    assert document["dry_run"] is False
    told = [(key["name"], key["status"], key["rows_written"], key["error"]) for key in document["keys"]]
    assert told == [
        ("production", "ok", 1234, None),
        ("ci", "partial", 1, "3 rows not believed"),
        ("old", "failed", 0, "GET /usage answered 403"),
    ]
    assert document["keys"][1]["notes"] == ["left out 4 rows"]


@pytest.mark.parametrize(
    ("keys", "status"), [((), "ok"), ((GOOD,), "ok"), ((GOOD, FAILED), "partial"), ((FAILED,), "failed")]
)
def test_sync_in_json_tells_how_it_ended(keys: tuple[SyncedKey, ...], status: str) -> None:
    document = json.loads(sync.ANSWER.document(synced(*keys)))
    assert document["status"] == status
    assert document["rows_written"] == sum(key.rows_written for key in keys)


def test_validate_lists_each_verdict_with_its_reason() -> None:
    keys = [
        ValidatedKey("good", Verdict.VALID),
        ValidatedKey("soon", Verdict.VALID, None, "the key expires at 2026-11-23 12:00 UTC"),
        ValidatedKey("back", Verdict.REACTIVATED),
        ValidatedKey("gone", Verdict.INVALID, "deactivated, refused twice"),
        ValidatedKey("slow", Verdict.UNKNOWN, "no answer in time"),
    ]
    lines = rendered(validate_view(validated(*keys)), 100).splitlines()
    assert [line.split(maxsplit=1)[1].strip() for line in lines[2:7]] == [
        "valid",
        "valid, but see below",
        "reactivated",
        "invalid",
        "unknown",
    ]
    assert lines[8:] == [
        "soon: the key expires at 2026-11-23 12:00 UTC",
        "gone: deactivated, refused twice",
        "slow: no answer in time",
        "3 keys valid, 1 invalid, 1 unknown, in 0.5 s.",
    ]


def test_validate_of_many_lists_only_those_that_need_a_look() -> None:
    many = [ValidatedKey(f"good-{number}", Verdict.VALID) for number in range(30)]
    soon = ValidatedKey("soon", Verdict.VALID, None, "expires")
    back = ValidatedKey("back", Verdict.REACTIVATED)
    text = rendered(validate_view(validated(*many, soon, back)), 100)
    assert "good-" not in text
    assert "soon: expires" in text
    assert "reactivated" in text
    assert "\n30 more keys: valid.\n" in text
    assert rendered(validate_view(validated(*many)), 100).splitlines() == [
        "30 keys valid, 0 invalid, 0 unknown, in 0.5 s."
    ]


def test_validate_without_keys_says_how_to_get_some() -> None:
    assert "No keys to validate." in rendered(validate_view(validated()))


def test_validate_in_json_counts_the_verdicts_and_names_the_keys() -> None:
    keys = [
        ValidatedKey("good", Verdict.VALID, None, "expires"),
        ValidatedKey("back", Verdict.REACTIVATED),
        ValidatedKey("gone", Verdict.INVALID, "refused twice"),
        ValidatedKey("slow", Verdict.UNKNOWN, "no answer"),
    ]
    assert json.loads(validate.ANSWER.document(validated(*keys))) == {
        "schema_version": 1,
        "job": "validate",
        "status": "partial",
        "trouble": None,
        "valid": 2,
        "invalid": 1,
        "unknown": 1,
        "is_all_refused": False,
        "keys": [
            {"name": "good", "verdict": "valid", "detail": None, "warning": "expires"},
            {"name": "back", "verdict": "reactivated", "detail": None, "warning": None},
            {"name": "gone", "verdict": "invalid", "detail": "refused twice", "warning": None},
            {"name": "slow", "verdict": "unknown", "detail": "no answer", "warning": None},
        ],
        "alerts": [],
        "recovered": [],
    }


def test_keys_that_are_all_refused_at_once_are_said_loudly() -> None:
    keys = tuple(ValidatedKey(name, Verdict.UNKNOWN, "not deactivated") for name in ("a", "b", "c"))
    result = ValidateResult(keys, 1.0, is_all_refused=True)
    said = "OpenRouter refuses all keys at once. That is more often its own trouble than theirs, so none was"
    assert said in rendered(validate_view(result), 200)
    assert said not in rendered(validate_view(ValidateResult(keys, 1.0)), 200)


def test_cleanup_says_what_went_and_how_much_room_it_gave() -> None:
    assert rendered(cleanup_view(CLEANED), 200) == (
        "Moved 1,234 rows of 2 days before 2025-11-20 ($12.35) to the monthly totals. "
        "Also deleted 7 old records of runs, alerts and requests. 1.4 MB of disk freed.\n"
    )


def test_a_rehearsed_cleanup_says_what_would_go_and_gives_no_room() -> None:
    result = replace(CLEANED, rows_removed=1, days_removed=1, is_dry_run=True)
    assert rendered(cleanup_view(result), 200) == (
        "Would move 1 row of 1 day before 2025-11-20 ($12.35) to the monthly totals. "
        "Would also delete 7 old records of runs, alerts and requests.\n"
    )


def test_a_cleanup_with_nothing_to_do_says_so() -> None:
    nothing = replace(
        CLEANED, rows_removed=0, days_removed=0, cost_moved_usd=Decimal(0), records_removed=0, bytes_freed=0
    )
    assert rendered(cleanup_view(nothing), 200) == ("No usage is older than 365 days (before 2025-11-20).\n")


def test_cleanup_in_json_is_exact() -> None:
    assert json.loads(cleanup.ANSWER.document(CLEANED), parse_float=Decimal) == {
        "schema_version": 1,
        "job": "cleanup",
        "status": "ok",
        "dry_run": False,
        "retention_days": 365,
        "kept_from": "2025-11-20",
        "rows_removed": 1234,
        "days_removed": 2,
        "cost_moved": Decimal("12.345678901"),
        "records_removed": 7,
        "bytes_freed": 1_400_000,
    }


OUTAGE = "the API at http://here does not answer (refused)"
UNREAD = replace(FAILED, error=OUTAGE, outage=OUTAGE, is_passing=True)


@pytest.mark.parametrize("number", [1, 3, 60])
def test_a_dead_api_is_one_sentence_and_nothing_else(number: int) -> None:
    names = [f"key{each}" for each in range(number)]
    result = synced(*(replace(UNREAD, name=name) for name in names))
    keys = [ValidatedKey(name, Verdict.UNKNOWN, "no", outage=OUTAGE) for name in names]
    for text in (rendered(sync_view(result), 400), rendered(validate_view(validated(*keys)), 400)):
        assert text.startswith("The API at http://here does not answer (refused): ")
        assert text.count("\n") == 1
        assert text.count("key") == 1
    assert json.loads(sync.ANSWER.document(result))["trouble"] == result.trouble
    assert json.loads(validate.ANSWER.document(validated(*keys)))["trouble"] == validated(*keys).trouble


def test_an_outage_in_the_middle_is_one_line_beside_what_was_read() -> None:
    unread = [replace(UNREAD, name=f"lost{number}") for number in range(3)]
    text = rendered(sync_view(synced(GOOD, *unread)), 400)
    assert "lost" not in text
    assert text.splitlines()[-2].startswith("The API at http://here does not answer (refused): 3 of 4 keys ")
    assert "for 1 key; 3 failed" in text.splitlines()[-1]
    unknown = [ValidatedKey(f"lost{number}", Verdict.UNKNOWN, "no", outage=OUTAGE) for number in range(3)]
    text = rendered(validate_view(validated(ValidatedKey("ci", Verdict.VALID), *unknown)), 400)
    assert "lost" not in text
    assert "3 of 4 keys could not be checked. " in text
