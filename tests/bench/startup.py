"""Whole processes, beside those that only import what they need."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import UsageAnswer, UsageRow
from orwatch.jobs.key import change as key_jobs
from orwatch.secrets import Keyring, generate_encryption_key
from orwatch.store.engine.database import open_store
from orwatch.store.ledger import write as ledger
from tests.bench.measure import Options, Row, in_turn, process_seconds, user_environment

# As pip 26.3 writes it. Older ones (23.2, say) wrote one that imports `re`, which is no time of orwatch's.
_SCRIPT = f"""#!{sys.executable}
import sys
from orwatch.__main__ import main
if __name__ == '__main__':
    sys.argv[0] = sys.argv[0].removesuffix('.exe')
    sys.exit(main())
"""

_DAYS, _MODELS = 30, 20


def measure(options: Options) -> list[Row]:
    """Version, help, a report of 30 days, and a sync that has no key to ask."""
    encryption_key = generate_encryption_key()
    database = options.folder / "orwatch.db"
    _fill(database, encryption_key)
    orwatch = options.folder / "orwatch"
    orwatch.write_text(_SCRIPT)
    orwatch.chmod(0o700)
    environment = user_environment(
        XDG_CONFIG_HOME=str(options.folder / "config"),
        XDG_DATA_HOME=str(options.folder / "data"),
        ORWATCH_DATABASE_URL=f"sqlite:///{database}",
        ORWATCH_ENCRYPTION_KEY=encryption_key,
    )

    def row(goal: float, arguments: str, code: str, allowance: float = 0.0) -> Row:
        ours, bare = [str(orwatch), *arguments.split()], [sys.executable, "-c", code]
        process_seconds(ours, environment)  # compiles what is not compiled yet
        measured, beside = in_turn(
            lambda: process_seconds(ours, environment),
            lambda: process_seconds(bare, environment),
            options.rounds * 2,
        )
        extra = f" + {allowance * 1000:.0f} ms" if allowance else ""
        return Row(f"orwatch {arguments} / {code}{extra}", goal, measured, beside=beside, allowance=allowance)

    return [
        row(1.4, "--version", "pass"),
        row(1.3, "--help", "import click"),
        row(1.25, "report", "import click, rich.table, sqlalchemy", allowance=0.05),
        row(1.25, "sync", "import click, rich.table, sqlalchemy.dialects.sqlite"),
    ]


def _fill(database: Path, encryption_key: str) -> None:
    """A key that is not asked any more, and what it used in 30 days."""
    now = datetime.now(UTC)
    today = now.date()
    store = open_store(f"sqlite:///{database}", now)
    key_jobs.add(store, Keyring([encryption_key]), "laptop", "sk-or-v1-bench-00000000", None, now)
    key_jobs.disable(store, "laptop", now)
    rows = tuple(
        UsageRow(today - timedelta(days=day), f"maker/model-{model}", None, 5, 50, 125, Decimal("0.015"))
        for day in reversed(range(_DAYS))
        for model in range(_MODELS)
    )
    with store.write() as connection:
        ledger.write_usage(connection, 1, UsageAnswer(UsageSource.USAGE, rows[0].day, today, rows), now)
    store.close()
