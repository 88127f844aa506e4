"""What the tests of rendering share: views as text, and results in a few words."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from rich.cells import cell_len

from orwatch.domain.keys import KeyFacts, KeyKind, StoredKey
from orwatch.domain.usage import Dimension, Totals
from orwatch.jobs.report.result import ReportResult, ReportRow, ReportTable
from orwatch.jobs.report.table import group_rows
from orwatch.render import console
from orwatch.render.console import View
from orwatch.render.tables import Column, make_table
from tests.support import NOW

WIDTHS = (40, 60, 80, 120, 200)

# What a name from outside may hold to deceive: markup, a colour, a window title, a line, a reversal.
HOSTILE_NAME = "[red]x[/red]\x1b[31m\x1b]0;y\x07\nz\u202egpj\u2066 :smile:"
INERT_NAME = "[red]x[/red]�[31m�]0;y��z�gpj� :smile:"


def rendered(view: View, width: int = 80, *, encoding: str = "utf-8") -> str:
    """What ``show`` writes to a file where ``COLUMNS`` says that it is so wide."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="")
    with patch.dict(os.environ, {"COLUMNS": str(width)}):
        for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
            os.environ.pop(name, None)
        console.show(view, stream)
    return stream.detach().getvalue().decode(encoding)  # type: ignore[attr-defined]


def table_text(columns: Sequence[Column], width: int, **options: Any) -> str:
    """A table alone, printed on a terminal of that width."""
    return rendered(lambda screen: [make_table(columns, screen.width, **options)], width)


def widest_line(text: str) -> int:
    """In cells of the terminal, without the blanks at the end."""
    return max((cell_len(line.rstrip()) for line in text.splitlines()), default=0)


def stored_key(name: str = "production", **changes: Any) -> StoredKey:
    """A key that was synced and validated five minutes ago and has no trouble."""
    members: dict[str, Any] = {
        "id": 1,
        "name": name,
        "key_hash": "0" * 64,
        "hint": "sk-or-…a29f",
        "secret_encrypted": "token",
        "is_active": True,
        "inactive_reason": None,
        "inactive_since": None,
        "source": None,
        "created_at": NOW,
        "removed_at": None,
        "synced_through": None,
        "last_synced_at": NOW - timedelta(minutes=5),
        "last_sync_error": None,
        "last_validated_at": NOW - timedelta(minutes=5),
        "facts": KeyFacts(KeyKind.INFERENCE),
        "facts_read_at": NOW - timedelta(minutes=5),
    }
    return StoredKey(**{**members, **changes})


def totals(cost: str | None, requests: int | None = 10, tokens: int | None = 1000) -> Totals:
    cost_usd = None if cost is None else Decimal(cost)
    return Totals(requests, tokens, tokens, cost_usd, None if requests is None else cost_usd)


def report_table(
    rows: Sequence[tuple[Sequence[str | None], Totals]],
    by: Sequence[Dimension] = (Dimension.MODEL,),
    **options: Any,
) -> ReportTable:
    return group_rows(by, [ReportRow(tuple(values), sums) for values, sums in rows], **options)


def report(table: ReportTable, *top_tables: ReportTable, **changes: Any) -> ReportResult:
    return ReportResult(date(2026, 11, 1), date(2026, 11, 20), table, top_tables, **changes)
