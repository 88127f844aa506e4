"""What the database is, what was found in it, and what was done with it: as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rich.console import RenderableType
from rich.text import Text

from orwatch.jobs.db.result import (
    DbBackupResult,
    DbCheckResult,
    DbCopyResult,
    DbInfoResult,
    DbUpgradeResult,
    TableRows,
)
from orwatch.render import json_text, numbers
from orwatch.render.console import View
from orwatch.render.doctor import check_list, check_members, sentence
from orwatch.render.json_text import JsonValue
from orwatch.render.tables import Column, make_table
from orwatch.text import printable

_LABEL_WIDTH = 16
_TIMES_TOLD = 10
# The settings of an engine that are bytes.
_BYTES = frozenset({"page_size", "free_bytes_inside"})


def info_view(result: DbInfoResult) -> View:
    """The facts, a line each, and the tables."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        lines = [
            ("Database", result.location),
            ("Engine", f"{result.engine} {result.engine_version}"),
            ("Schema", _schema(result)),
            ("Size", numbers.size(result.size_bytes)),
            (
                "Free on disk",
                numbers.UNKNOWN if result.free_bytes is None else numbers.size(result.free_bytes),
            ),
            ("Created", numbers.moment(result.created_at)),
            ("Ledger", _days(result.first_day, result.last_day)),
            (
                "Kept from",
                str(result.kept_from) if result.kept_from else "the beginning: cleanup removed none",
            ),
            *((_words(name), _value(name, value)) for name, value in result.settings),
        ]
        told = [
            Text.assemble((f"{label}:".ljust(_LABEL_WIDTH), "bold"), printable(value), overflow="fold")
            for label, value in lines
        ]
        notes = [Text(f"! {printable(note)}", style="yellow", overflow="fold") for note in result.notes]
        return [*told, Text(), _table(result.tables, width), *notes]

    return parts


def _schema(result: DbInfoResult) -> str:
    if result.is_current:
        return f"{result.revision}, current"
    return f"{result.revision}; this version's is {result.wanted_revision}: `orwatch db upgrade`"


def _days(first: date | None, last: date | None) -> str:
    return f"{first} to {last}" if first and last else "empty"


def _words(name: str) -> str:
    return name.replace("_bytes", "").replace("_", " ").capitalize()


def _value(name: str, value: str) -> str:
    return numbers.size(int(value)) if name in _BYTES else value


def _table(tables: Sequence[TableRows], width: int) -> RenderableType:
    return make_table(
        [
            Column("Table", [table.name for table in tables], is_name=True),
            Column("Rows", [numbers.count(table.rows) for table in tables]),
        ],
        width,
    )


def info_json(result: DbInfoResult) -> str:
    """``{"schema_version", "database", "engine", …, "tables": {…}, "settings": {…}, "notes": […]}``."""
    return json_text.document(
        {
            "database": result.location,
            "engine": result.engine,
            "engine_version": result.engine_version,
            "revision": result.revision,
            "wanted_revision": result.wanted_revision,
            "is_current": result.is_current,
            "size_bytes": result.size_bytes,
            "free_bytes": result.free_bytes,
            "created_at": result.created_at,
            "first_day": result.first_day,
            "last_day": result.last_day,
            "kept_from": result.kept_from,
            "tables": _rows(result.tables),
            "settings": dict(result.settings),
            "notes": list(result.notes),
        }
    )


def _rows(tables: Sequence[TableRows]) -> dict[str, JsonValue]:
    return {table.name: table.rows for table in tables}


def upgrade_text(result: DbUpgradeResult) -> str:
    """One sentence."""
    if result.from_revision == result.to_revision:
        return f"{result.location} has the schema {result.to_revision} already, this version's."
    return f"{result.location} has the schema {result.to_revision} now; it was {result.from_revision}."


def upgrade_json(result: DbUpgradeResult) -> str:
    """``{"schema_version", "database", "from_revision", "to_revision"}``."""
    return json_text.document(
        {
            "database": result.location,
            "from_revision": result.from_revision,
            "to_revision": result.to_revision,
        }
    )


def check_view(result: DbCheckResult) -> View:
    """The checks, what to do beneath each finding, and what was repaired."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        repaired = [*map(str, result.repaired_days), *(f"{month:%Y-%m}" for month in result.repaired_months)]
        more = len(repaired) - _TIMES_TOLD
        times = ", ".join(repaired[:_TIMES_TOLD]) + (f" and {numbers.count(more)} more" if more > 0 else "")
        told = [Text(f"Added up anew: the totals of {times}."), Text()] if repaired else []
        return [*told, check_list(result.checks, width), Text(), sentence(result.checks)]

    return parts


def check_json(result: DbCheckResult) -> str:
    """``{"schema_version", "status", "findings", "repaired_days", "repaired_months", "checks": […]}``."""
    return json_text.document(
        {
            "status": "attention" if result.findings else "ok",
            "findings": len(result.findings),
            "repaired_days": list(result.repaired_days),
            "repaired_months": [f"{month:%Y-%m}" for month in result.repaired_months],
            "checks": [check_members(check) for check in result.checks],
        }
    )


def backup_text(result: DbBackupResult) -> str:
    """What was written, and what is not in it."""
    rows = sum(table.rows for table in result.tables)
    return (
        f"{result.file}: {numbers.count(rows)} rows, {numbers.size(result.size_bytes)}, checked.\n"
        "The encryption key is not in it: keep a copy of that apart from this file. "
        "Without it the stored API keys cannot be read."
    )


def backup_json(result: DbBackupResult) -> str:
    """``{"schema_version", "database", "file", "size_bytes", "tables": {…}}``."""
    return json_text.document(
        {
            "database": result.location,
            "file": result.file,
            "size_bytes": result.size_bytes,
            "tables": _rows(result.tables),
        }
    )


def copy_view(result: DbCopyResult) -> View:
    """The tables, and what to do with the line of text that is to follow."""

    def parts(width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        columns = [
            Column("Table", [table.name for table in result.tables], is_name=True),
            Column("Rows", [numbers.count(table.rows) for table in result.tables]),
        ]
        if result.is_resumed:
            # Else it tells nothing, but for rows that a new database has by itself: as if they were missing.
            columns.append(
                Column("Written now", [numbers.count(table.rows_written) for table in result.tables])
            )
        table = make_table(columns, width)
        resumed = ", going on with an earlier copy" if result.is_resumed else ""
        done = (
            f"Copied {result.source} to {result.target} "
            f"in {numbers.duration(result.duration_seconds)}{resumed}. Each table was compared, "
            "and is the same to the last row."
        )
        return [
            table,
            Text(),
            Text(printable(done), overflow="fold"),
            Text("To use it, put this into the env file; the encryption key stays the one that it is:"),
        ]

    return parts


def setting_text(result: DbCopyResult) -> str:
    """The line for the env file, which no width must break."""
    return f"  {printable(result.setting)}"


def copy_json(result: DbCopyResult) -> str:
    """``{"schema_version", "source", "target", "is_resumed", "setting", …, "tables": […]}``."""
    return json_text.document(
        {
            "source": result.source,
            "target": result.target,
            "is_resumed": result.is_resumed,
            "setting": result.setting,
            "duration_seconds": round(result.duration_seconds),
            "tables": [
                {"name": table.name, "rows": table.rows, "rows_written": table.rows_written}
                for table in result.tables
            ],
        }
    )
