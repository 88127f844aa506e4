"""Judge what is stored by every rule, and store which alerts are raised, have recovered, or are over."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.alerts.transitions import transitions
from orwatch.errors import OrwatchError
from orwatch.jobs.alert.readings import Readings, open_windows_of
from orwatch.jobs.alert.result import Judgement, WatchRules
from orwatch.jobs.alert.rules import RULES
from orwatch.store import alerts as stored_alerts
from orwatch.store.engine.database import Connection, Store
from orwatch.text import printable

log = logging.getLogger(__name__)

# A subject or a window may have a name from outside in it.
_MAX_LETTERS = 300


def judge(store: Store, now: datetime, rules: WatchRules) -> Judgement:
    """Judge everything that is stored; writes only where something changes.

    The first time of all raises what holds now, and nothing for the past. A rule that has a bug is logged
    with its traceback, its alerts stay as they are, and the others are judged. Raises
    ``StoreUnavailableError``.
    """
    with store.read() as connection:
        since = stored_alerts.watched_since(connection)
        still_open = stored_alerts.list_alerts(connection, only_open=True)
        readings = Readings(connection, now, since or now, rules, open_windows_of(still_open))
        failed: list[Rule] = []
        findings = list(_findings(readings, failed))
        windows = {finding.window for finding in findings if finding.is_met}
        # By the open ones alone nothing changes, mostly; then nothing does by those that are over, either.
        changes = transitions(findings, still_open, failed)
        if changes and windows:
            changes = transitions(findings, stored_alerts.open_or_of_windows(connection, windows), failed)
    if since is not None and not changes:
        return Judgement(has_bug=bool(failed))
    return store.run_write(lambda connection: _store(connection, findings, windows, failed, now))


def _findings(readings: Readings, failed: list[Rule]) -> Iterator[Finding]:
    for rule, find in RULES.items():
        if rule in readings.rules.off:
            continue
        try:
            found = [_storable(finding) for finding in find(readings)]
        except OrwatchError:
            raise
        except Exception:
            failed.append(rule)
            log.exception("the rule %s could not be judged, which is a bug", rule)
        else:
            yield from found


def _storable(finding: Finding) -> Finding:
    """As it is compared with what is stored."""
    subject, window = (printable(text)[:_MAX_LETTERS] for text in (finding.subject, finding.window))
    if (subject, window) == (finding.subject, finding.window):
        return finding
    return replace(finding, subject=subject, window=window)


def _store(
    connection: Connection,
    findings: Sequence[Finding],
    windows: Collection[str],
    failed: Sequence[Rule],
    now: datetime,
) -> Judgement:
    """Store what changes, compared anew: another process may have judged meanwhile."""
    stored = stored_alerts.open_or_of_windows(connection, windows)
    changes = transitions(findings, stored, failed)
    stored_alerts.begin_to_watch(connection, now)
    raised = stored_alerts.insert_alerts(connection, map(_with_name, changes.raised), now)
    for alert, finding in changes.recovered:
        stored_alerts.recover(connection, alert.id, _with_name(finding).summary, now)
    stored_alerts.end(connection, [alert.id for alert in changes.ended], now)
    stored_alerts.reopen(connection, [alert.id for alert in changes.reopened])
    recovered = stored_alerts.list_alerts(connection, ids=[alert.id for alert, _ in changes.recovered])
    return Judgement(tuple(raised), tuple(recovered), bool(failed))


def _with_name(finding: Finding) -> Finding:
    """What is said stands alone: with the name of its subject."""
    return replace(finding, summary=f"{finding.name}: {finding.summary}")
