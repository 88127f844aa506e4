"""``python -m tests.bench [--keep] [--folder FOLDER] [SECTION …]``: measure, and print a table.

Without a section all are measured that take some minutes together; ``large_account`` only where it is named.
``--keep`` writes the figures to ``results.json``, with which later runs are compared. Nothing here is a test.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys
import tempfile
from pathlib import Path

from orwatch.__main__ import GARBAGE_THRESHOLDS
from tests.bench.measure import Options, Row, table

SECTIONS = (
    "startup",
    "parsing",
    "writing",
    "reports",
    "cleaning",
    "judging",
    "account",
    "syncing",
    "postgres",
    "forecasts",
)
# Each takes minutes by itself.
LONG_SECTIONS = ("large_account",)

RESULTS = Path(__file__).with_name("results.json")

FOOTNOTE = """
goal, is, last: a multiple of what is done beside it, or the measured value itself; last: from results.json.
Each is the best of several rounds, taken in turn with what stands beside it. startup, parsing, writing,
reports and the time of cleaning are processor time, which other programs disturb least; the waits of
cleaning, syncing and postgres are time as it passes: let nothing else run beside them. forecasts: no times,
but errors in dollars, and shares."""


def main() -> int:
    """Measure what was asked for."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS + LONG_SECTIONS)}"
    )
    parser.add_argument("--keep", action="store_true", help=f"write the figures to {RESULTS.name}")
    parser.add_argument("--folder", type=Path, help="where the database of ten million rows stays")
    arguments = parser.parse_args()
    sections = arguments.sections or SECTIONS
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as in the program
    if unknown := set(sections) - {*SECTIONS, *LONG_SECTIONS}:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    last = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    figures = dict(last)
    with tempfile.TemporaryDirectory(prefix="orwatch-bench-") as folder:
        kept_folder = arguments.folder or Path(folder)
        kept_folder.mkdir(parents=True, exist_ok=True)
        for section in sections:
            print(f"{section} …", file=sys.stderr, flush=True)
            options = Options(Path(folder) / section, kept_folder)
            options.folder.mkdir()
            found = measure(section, options)
            print(table(found, last), flush=True)
            figures |= {row.what: round(row.figure, 3) for row in found}
            if arguments.keep:
                RESULTS.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    print(FOOTNOTE)
    return 0


def measure(section: str, options: Options) -> list[Row]:
    """The rows of one section."""
    rows: list[Row] = importlib.import_module(f"tests.bench.{section}").measure(options)
    return rows


if __name__ == "__main__":
    sys.exit(main())
