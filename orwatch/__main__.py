"""The program's entry: ``orwatch`` and ``python -m orwatch``."""

import gc
import sys

from orwatch import __version__

# Importing makes no garbage, and to look for it meanwhile takes a tenth of a short command's time.
GARBAGE_THRESHOLDS = (100_000, 50, 100)


def main() -> None:
    """Run the command line and exit with its code."""
    # Asked for often, by scripts; it needs nothing that has to be imported.
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"orwatch {__version__}\n")
        gc.freeze()  # as below
        return
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    import os
    import threading
    from contextlib import suppress

    from orwatch.cli import run

    code = run()
    if threading.active_count() > 1:
        # A run that was stopped may have requests under way: nobody waits for their answers any more.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
    # The interpreter's end looks for garbage among all that was imported: a fifth of a short command's time.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
