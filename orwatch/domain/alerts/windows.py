"""A matter whose window has changed: what the alerts of its other windows are told."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from orwatch.domain.alerts.alert import Finding

# Of each subject of a rule, the windows of its open alerts.
OpenWindows: TypeAlias = Mapping[str, Collection[str]]


def with_other_windows(finding: Finding, windows: Collection[str]) -> Iterator[Finding]:
    """The finding, and the same for the other windows where it recovers them or leaves it open.

    Credits that were bought, or a raised limit, make another window; how things stand now is what the alert
    of the one before has to be told. Where it holds in the new window, that is another alert, and the one
    before is over without a word. A finding without a window is only for these: that there is no limit.
    """
    if finding.window:
        yield finding
    if not finding.is_met:
        yield from (replace(finding, window=window) for window in windows if window != finding.window)
