"""The program's entry: ``orwatch`` and ``python -m orwatch``."""

from __future__ import annotations

import sys

from orwatch import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    # Asked for often, by scripts; it needs nothing that has to be imported.
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"orwatch {__version__}\n")
        return
    from orwatch.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()
