"""What ``orwatch db`` shows of its results."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

from orwatch.jobs.db.result import DbCheckResult, DbCopyResult, DbInfoResult
from orwatch.jobs.doctor.result import Check, CheckArea, CheckStatus
from orwatch.render import console, db
from tests.support import NOW, TODAY

INFO = DbInfoResult(
    location="/srv/orwatch.db",
    engine="SQLite",
    engine_version="3.40.1",
    revision="0004",
    wanted_revision="0005",
    size_bytes=1_400_000,
    free_bytes=None,
    created_at=None,
    first_day=None,
    last_day=None,
    kept_from=None,
    tables={"api_keys": 1_234_567},
    settings=(("journal_mode", "delete"), ("free_bytes_inside", "4096")),
    notes=("its journal_mode is delete",),
)


def test_what_is_not_known_of_a_database_is_a_dash() -> None:
    lines = console.as_text(db.info_view(INFO)).splitlines()
    assert "Free on disk:   –" in lines
    assert "Created:        –" in lines
    known = console.as_text(db.info_view(replace(INFO, created_at=NOW))).splitlines()
    assert "Created:        2026-11-20 12:30 UTC" in known
    assert "Ledger:         empty" in lines
    assert "Kept from:      the beginning: cleanup removed none" in lines
    assert "Free inside:    4.1 kB" in lines
    assert "! its journal_mode is delete" in lines


def test_numbers_of_rows_have_separators() -> None:
    assert "api_keys  1,234,567" in console.as_text(db.info_view(INFO))


def test_the_json_of_a_database_has_nulls_for_what_is_not_known() -> None:
    told = json.loads(db.INFO.document(INFO))
    assert (told["free_bytes"], told["first_day"], told["is_current"]) == (None, None, False)
    assert told["tables"] == {"api_keys": 1_234_567}


def test_of_many_days_that_were_repaired_some_are_told_and_all_are_in_the_json() -> None:
    days = tuple(TODAY - timedelta(days=back) for back in range(12))
    check = Check(CheckArea.DATABASE, "totals", CheckStatus.OK, "right")
    result = DbCheckResult((check,), days, (date(2026, 11, 1),))
    text = " ".join(console.as_text(db.check_view(result)).split())
    assert text.startswith("Recalculated the totals of 2026-11-20, 2026-11-19,")
    assert "2026-11-11 and 3 more." in text
    told = json.loads(db.CHECK_ANSWER.document(result))
    assert (len(told["repaired_days"]), told["repaired_months"]) == (12, ["2026-11"])


def test_the_line_for_the_env_file_is_never_broken() -> None:
    line = f"ORWATCH_DATABASE_URL=sqlite:////{'a' * 200}/orwatch.db"
    result = DbCopyResult("/a.db", "/b.db", {"api_keys": 2}, line, NOW.second)
    assert db.setting_text(result) == f"  {line}"


def test_a_copy_shows_its_tables_and_that_they_are_the_same() -> None:
    result = DbCopyResult("/a.db", "/b.db", {"models": 1234}, "A=b", 1)
    heads, _line, row, *rest = console.as_text(db.copy_view(result)).splitlines()
    assert (heads.split(), row.split()) == (["Table", "Rows"], ["models", "1,234"])
    text = " ".join(rest)
    assert "Copied /a.db to /b.db in 1.0 s. Each table was compared, and is the same to the last row." in text
