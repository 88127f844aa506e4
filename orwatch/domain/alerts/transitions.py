"""What becomes of findings: which alerts are raised, have recovered, or are over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from orwatch.domain.alerts.alert import Alert, Finding, Rule

# A rule, a subject and a window: what one alert at a time is open for.
Matter: TypeAlias = tuple[Rule, str, str]


@dataclass(frozen=True, slots=True)
class Transitions:
    """What changes. ``recovered``: each with the finding that says how things stand now.

    ``ended``: over, and nothing is said of it. ``reopened``: it holds again, which was said before.
    """

    raised: tuple[Finding, ...] = ()
    recovered: tuple[tuple[Alert, Finding], ...] = ()
    ended: tuple[Alert, ...] = ()
    reopened: tuple[Alert, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.raised or self.recovered or self.ended or self.reopened)


def transitions(
    findings: Iterable[Finding], stored: Iterable[Alert], not_judged: Collection[Rule] = ()
) -> Transitions:
    """What the findings of now change of the stored alerts.

    ``stored``: all open alerts, and all of the matters in which something is found to hold. ``not_judged``:
    rules that failed, whose alerts stay as they are. Of each matter the highest threshold that is met is
    said, once and not after a higher one, and so is that it recovered.
    """
    found: dict[Matter, list[Finding]] = {}
    for finding in findings:
        found.setdefault((finding.rule, finding.subject, finding.window), []).append(finding)
    known: dict[Matter, list[Alert]] = {}
    for alert in stored:
        known.setdefault((alert.rule, alert.subject, alert.window), []).append(alert)
    matters = [matter for matter in dict.fromkeys((*found, *known)) if matter[0] not in not_judged]
    each = [_of_matter(found.get(matter, ()), known.get(matter, ())) for matter in matters]
    return Transitions(
        tuple(chain.from_iterable(one.raised for one in each)),
        tuple(chain.from_iterable(one.recovered for one in each)),
        tuple(chain.from_iterable(one.ended for one in each)),
        tuple(chain.from_iterable(one.reopened for one in each)),
    )


def _of_matter(found: Sequence[Finding], before: Sequence[Alert]) -> Transitions:
    """The same of one matter."""
    by_threshold = {finding.threshold: finding for finding in found}
    is_unsure = any(finding.is_met is None for finding in found)
    is_met = {alert.id: _is_met(by_threshold, alert, is_unsure) for alert in before}
    highest = max((each.threshold for each in found if each.is_met), default=0)
    is_news = all(alert.threshold < highest for alert in before)
    raised = [each for each in found if each.is_met and each.threshold == highest and is_news][:1]
    # What may still hold stays open; and of what was said and holds the highest, where none above may.
    said = {alert.threshold for alert in before if is_met[alert.id]} | {each.threshold for each in raised}
    top = max(said, default=0)
    is_above = any(each.is_open and is_met[each.id] is None and each.threshold > top for each in before)
    recovered, ended, reopened = [], [], []
    for alert in before:
        if is_met[alert.id] and alert.threshold == top and not is_above:
            reopened += [] if alert.is_open else [alert]
        elif alert.is_open and is_met[alert.id] is not None:
            finding = by_threshold.get(alert.threshold)
            if finding is None or finding.is_met or alert.recovered_at is not None:
                ended.append(alert)
            else:
                recovered.append((alert, finding))
    return Transitions(tuple(raised), tuple(recovered), tuple(ended), tuple(reopened))


def _is_met(found: Mapping[int, Finding], alert: Alert, is_unsure: bool) -> bool | None:
    """Whether it holds now. A threshold that is asked for no more does not, unless nothing can be told."""
    if alert.threshold in found:
        return found[alert.threshold].is_met
    return None if is_unsure else False
