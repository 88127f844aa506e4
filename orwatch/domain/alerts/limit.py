"""What OpenRouter lets be spent is nearly or wholly spent: a key's limit, or a budget of its surroundings.

The window is when it is counted anew, and how much may be spent (``2026-12-01T00:00 $50``, ``lifetime $50``):
a raised limit is another matter, which is told to the alert of the lower one and can be crossed again. A
budget that is gone, or whose keys are, is found no more, and its alerts are over without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import chain

from orwatch.domain.alerts.alert import WARN_PERCENT, Figures, Finding, Rule, whole_percent
from orwatch.domain.alerts.windows import OpenWindows, with_other_windows
from orwatch.domain.can_spend import KEY_LIMIT, Bound, window_of
from orwatch.domain.days import short_day
from orwatch.domain.layers import Layer
from orwatch.domain.money import add_exactly, dollars

_LIFETIME = "lifetime"

# What each layer is called, after "of". Others may come.
_LAYERS: Mapping[str, str] = {
    "api_key": "its guardrail's budget",
    "member": "the member's budget",
    "workspace": "the workspace's budget",
    "workspace_default_key": "its workspace's budget for each key",
    "workspace_default_member": "its workspace's budget for each member",
}

# One budget, but what is spent is counted for each key.
_COUNTED_BY_KEY = frozenset({"api_key", "workspace_default_key"})

# One budget that is counted for each member; whose a key is, is not known.
_COUNTED_BY_MEMBER = "workspace_default_member"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What was last read of a key that is in use: its own limit, and all others in ``layers``.

    ``workspace``: its workspace's name, where one is known. A time is None where nothing has been read.
    """

    key_id: int
    name: str
    own: Layer
    own_read_at: datetime | None
    layers: Sequence[Layer] = ()
    layers_read_at: datetime | None = None
    workspace: str | None = None


@dataclass(frozen=True, slots=True)
class LimitReading:
    """One limit as it was read once. ``layer.limit_usd`` None: there is none, of ``spent_usd``: not known.

    ``limited``: what it limits, as it stands in a sentence.
    """

    subject: str
    name: str
    limited: str
    layer: Layer
    read_at: datetime

    @property
    def spent_usd(self) -> Decimal | None:
        """What counts against the limit: BYOK too, where OpenRouter takes it off what remains."""
        if self.layer.limit_usd is None or self.layer.remaining_usd is None:
            return self.layer.spent_usd
        return add_exactly(self.layer.limit_usd, -self.layer.remaining_usd)

    def is_spent(self, percent: int) -> bool:
        """Whether so much of it was spent when it was read, as far as is known."""
        limit, spent = self.layer.limit_usd, self.spent_usd
        return limit is not None and spent is not None and spent * 100 >= limit * percent


def find_limits(
    keys: Iterable[KeyLimits],
    open_windows: OpenWindows,
    now: datetime,
    warn_percent: Sequence[int] = WARN_PERCENT,
    shared: Iterable[LimitReading] = (),
) -> Iterator[Finding]:
    """Of each limit that is near, or has an open alert, a finding for each of ``warn_percent``.

    The subject is ``key:12`` for a key's own limit, ``budget:ID`` for a budget that several keys share, and
    ``key:12:ID`` for one that is counted for each key. ``open_windows``: of this rule. ``shared``: what else
    is known of budgets that several keys share.
    """
    readings: dict[str, list[LimitReading]] = {}
    for reading in chain(chain.from_iterable(map(_readings, keys)), shared):
        readings.setdefault(reading.subject, []).append(reading)
    for subject, several in readings.items():
        reading = _decisive(several)
        if subject not in open_windows and not reading.is_spent(min(warn_percent)):
            continue
        others = [window for window in open_windows.get(subject, ()) if not _is_over(window, now)]
        for threshold in warn_percent:
            yield from with_other_windows(_judge(reading, threshold, now), others)


def workspace_limit(workspace: str, bound: Bound, now: datetime) -> LimitReading:
    """The budget of a workspace, as its account tells it and the ledger knows what is spent of it."""
    layer = Layer(
        "workspace",
        bound.limit_usd,
        bound.used_usd,
        reset_interval=bound.reset_interval,
        resets_at=bound.until,
        budget_id=bound.id,
    )
    return LimitReading(f"budget:{bound.id}", workspace, _LAYERS["workspace"], layer, now)


def _readings(key: KeyLimits) -> Iterator[LimitReading]:
    if key.own_read_at is not None:
        yield LimitReading(f"key:{key.key_id}", key.name, "its limit", key.own, key.own_read_at)
    if key.layers_read_at is None:
        return
    for layer in key.layers:
        if layer.scope == KEY_LIMIT or layer.limit_usd is None:
            continue
        subject, name = f"budget:{layer.budget_id}", key.name
        if layer.budget_id is None or layer.scope in _COUNTED_BY_KEY:
            subject = f"key:{key.key_id}:{layer.budget_id or layer.scope}"
        elif layer.scope.startswith("workspace") and key.workspace is not None:
            name = key.workspace
        limited = "its guardrail's budget" if layer.guardrail_id else _LAYERS.get(layer.scope, "a budget")
        yield LimitReading(subject, name, limited, layer, key.layers_read_at)


def _decisive(readings: Sequence[LimitReading]) -> LimitReading:
    """The newest; of a budget that is counted for each member, that of the one who has spent most of it."""
    newest = max(readings, key=lambda reading: reading.read_at)
    if newest.layer.scope != _COUNTED_BY_MEMBER:
        return newest
    same = (
        reading
        for reading in readings
        if (reading.layer.limit_usd, _resets_at(reading)) == (newest.layer.limit_usd, _resets_at(newest))
    )
    return max(same, key=lambda reading: reading.spent_usd or 0)


def _judge(reading: LimitReading, threshold: int, now: datetime) -> Finding:
    """How it stands; without a window where there is no limit."""
    rule, subject, name, layer = Rule.LIMIT, reading.subject, reading.name, reading.layer
    if layer.limit_usd is None:
        return Finding(rule, subject, name, "", False, f"{reading.limited} is lifted", threshold)
    spent, resets_at = reading.spent_usd, _resets_at(reading)
    if resets_at is not None and resets_at <= now:
        spent, resets_at = None, window_of(layer.reset_interval, now)[1] or resets_at
    elif resets_at is None and layer.reset_interval is not None:
        # When it was counted anew after it was read cannot be told.
        spent = None
    is_met = None if spent is None else reading.is_spent(threshold)
    begin = _LIFETIME if resets_at is None else f"{resets_at:%Y-%m-%dT%H:%M}"
    window = f"{begin} ${layer.limit_usd.normalize():f}"
    summary = _summary(reading.limited, layer.limit_usd, spent, resets_at)
    if is_met:
        summary += ". Raise it at OpenRouter, or spend less"
    figures: Figures = {
        "limit_usd": layer.limit_usd,
        "spent_usd": spent,
        "resets_at": None if resets_at is None else resets_at.isoformat(),
    }
    return Finding(rule, subject, name, window, is_met, summary, threshold, figures)


def _summary(limited: str, limit: Decimal, spent: Decimal | None, resets_at: datetime | None) -> str:
    until = "" if resets_at is None else f" until {short_day(resets_at.date())}"
    if spent is None:
        return f"how much of {limited} is spent is not known: it is {dollars(limit)}{until}"
    percent = whole_percent(spent, limit)
    amounts = f"{dollars(spent)} of {dollars(limit)}"
    if percent >= 100:
        return f"{limited} is spent ({amounts}): OpenRouter refuses requests{until}"
    return f"{percent} % of {limited} is spent: {amounts}{until}"


def _resets_at(reading: LimitReading) -> datetime | None:
    """When what was read is counted anew; None: never, or it cannot be told."""
    return reading.layer.resets_at or window_of(reading.layer.reset_interval, reading.read_at)[1]


def _is_over(window: str, now: datetime) -> bool:
    resets_at = window.partition(" ")[0]
    return resets_at != _LIFETIME and resets_at <= f"{now:%Y-%m-%dT%H:%M}"
