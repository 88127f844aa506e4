"""What the database is, what was found in it, and what was done with it: as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from rich.console import RenderableType
from rich.text import Text

from orwatch.jobs.db.result import (
    DbBackupResult,
    DbCheckResult,
    DbCopyResult,
    DbInfoResult,
    DbRestoreResult,
    DbUpgradeResult,
)
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.doctor import CHECK, check_list, sentence
from orwatch.render.json_text import Member, Shape, ok_or_attention
from orwatch.render.tables import Column, make_table
from orwatch.text import first_of, printable

_LABEL_WIDTH = 16
_TIMES_LISTED = 10
# The settings of an engine that are bytes.
_BYTES = frozenset({"page_size", "free_bytes_inside"})


@as_view
def info_view(screen: Screen, result: DbInfoResult) -> Parts:
    """The facts, a line each, and the tables."""
    lines = [
        ("Database", result.location),
        ("Engine", f"{result.engine} {result.engine_version}"),
        ("Schema", _schema(result)),
        ("Size", numbers.size(result.size_bytes)),
        (
            "Free on disk",
            numbers.UNKNOWN if result.free_bytes is None else numbers.size(result.free_bytes),
        ),
        ("Created", numbers.moment_utc(result.created_at)),
        ("Ledger", _days(result.first_day, result.last_day)),
        (
            "Kept from",
            str(result.kept_from) if result.kept_from else "the beginning: cleanup removed none",
        ),
        *((_words(name), _value(name, value)) for name, value in result.settings),
    ]
    facts = [
        Text.assemble((f"{label}:".ljust(_LABEL_WIDTH), "bold"), printable(value), overflow="fold")
        for label, value in lines
    ]
    notes = [Text(f"! {printable(note)}", style="yellow", overflow="fold") for note in result.notes]
    return [*facts, Text(), _table(result.tables, screen.width), *notes]


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


def _table(tables: Mapping[str, int], width: int) -> RenderableType:
    return make_table(
        [
            Column("Table", [*tables], is_name=True),
            Column("Rows", [numbers.count(rows) for rows in tables.values()]),
        ],
        width,
    )


def _settings(result: DbInfoResult) -> dict[str, str]:
    """The settings of the engine that matter here."""
    return dict(result.settings)


INFO = Shape(
    DbInfoResult,
    Member("database", "The file, or the address without a password.", "location"),
    Member("engine", "What it is a database of."),
    Member("engine_version", "The engine's version."),
    Member("revision", "The schema that it has."),
    Member("wanted_revision", "The schema of this version."),
    Member("is_current", "Whether the two schemas are the same."),
    Member("size_bytes", "Its size, in bytes."),
    Member("free_bytes", "Free disk space, in bytes; null where it is another machine's."),
    Member("created_at", "When it was created."),
    Member("first_day", "The first day with usage."),
    Member("last_day", "The last day with usage."),
    Member("kept_from", "The first day that cleanup has kept; null where it removed none."),
    Member("tables", "The rows of each table, by its name."),
    Member("settings", "The settings of the engine that matter, by their names.", _settings),
    Member("notes", "What to do about a setting, a sentence each."),
)


def upgrade_text(result: DbUpgradeResult) -> str:
    """One sentence."""
    if result.from_revision == result.to_revision:
        return f"{result.location} has the schema {result.to_revision} already, this version's."
    return f"{result.location} has the schema {result.to_revision} now; it was {result.from_revision}."


UPGRADE = Shape(
    DbUpgradeResult,
    Member("database", "The file, or the address without a password.", "location"),
    Member("from_revision", "The schema that it had."),
    Member("to_revision", "The schema that it has now."),
)


@as_view
def check_view(screen: Screen, result: DbCheckResult) -> Parts:
    """The checks, what to do about each finding, and what was repaired."""
    repaired = [*map(str, result.repaired_days), *_repaired_months(result)]
    times = first_of(repaired, _TIMES_LISTED)
    totals = [Text(f"Recalculated the totals of {times}."), Text()] if repaired else []
    return [*totals, check_list(result.checks, screen.width), Text(), sentence(result.checks)]


def _repaired_months(result: DbCheckResult) -> list[str]:
    """The months whose totals were added up anew: ``2026-11``."""
    return [f"{month:%Y-%m}" for month in result.repaired_months]


CHECK_ANSWER = Shape(
    DbCheckResult,
    Member("status", "`attention` where the exit code is not 0.", ok_or_attention),
    Member("findings", "How many checks found something.", "finding_count"),
    Member("repaired_days", "The days whose totals were recalculated."),
    Member(
        "repaired_months", "The months whose totals were recalculated, such as 2026-11.", _repaired_months
    ),
    Member("checks", "The checks.", shape=CHECK),
)


def backup_text(result: DbBackupResult) -> str:
    """What was written, and what is not in it."""
    rows = sum(result.tables.values())
    return (
        f"{result.file}: {numbers.count(rows)} rows, {numbers.size(result.size_bytes)}, checked.\n"
        "The encryption key is not in it: keep a copy of that apart from this file. "
        "Without it the stored API keys cannot be read."
    )


BACKUP = Shape(
    DbBackupResult,
    Member("database", "The file that was backed up.", "location"),
    Member("file", "The file that was written."),
    Member("size_bytes", "Its size, in bytes."),
    Member("tables", "The rows of each table, by its name."),
)


def restore_text(result: DbRestoreResult) -> str:
    """What is there now, and where that is which was there before."""
    rows = sum(result.tables.values())
    lines = [
        f"{result.location} is the backup {result.file} now: {numbers.count(rows)} rows, "
        f"ledger {_days(result.first_day, result.last_day)}."
    ]
    if result.kept is not None:
        lines.append(f"What it was before is kept in {result.kept}.")
    lines.append("`orwatch sync` fetches what was used since, as far back as OpenRouter has it.")
    return "\n".join(map(printable, lines))


RESTORE = Shape(
    DbRestoreResult,
    Member("database", "The database that was replaced.", "location"),
    Member("file", "The backup."),
    Member("kept", "Where the database is that was there before; null where there was none."),
    Member("first_day", "The first day with usage."),
    Member("last_day", "The last day with usage."),
    Member("tables", "The rows of each table, by its name."),
    Member("unopened_keys", "The keys whose secrets the encryption key does not open.", "unopened"),
)


@as_view
def copy_view(screen: Screen, result: DbCopyResult) -> Parts:
    """The tables, and what to do with the line of text that is to follow."""
    done = (
        f"Copied {result.source} to {result.target} "
        f"in {numbers.duration(result.duration_seconds)}. Each table was compared, "
        "and is the same to the last row."
    )
    return [
        _table(result.tables, screen.width),
        Text(),
        Text(printable(done), overflow="fold"),
        Text("To use it, put this into the env file; the encryption key stays the one that it is:"),
    ]


def setting_text(result: DbCopyResult) -> str:
    """The line for the env file, which no width must break."""
    return f"  {printable(result.setting)}"


def _whole_seconds(result: DbCopyResult) -> int:
    """How long it took, in seconds."""
    return round(result.duration_seconds)


COPY = Shape(
    DbCopyResult,
    Member("source", "The database that was copied, without a password."),
    Member("target", "The copy, without a password."),
    Member("setting", "The line for the env file that uses the copy, without a password."),
    Member("duration_seconds", "How long it took, in whole seconds.", _whole_seconds),
    Member("tables", "The rows of each table, by its name."),
)
