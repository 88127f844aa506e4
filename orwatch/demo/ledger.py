"""The made-up usage of many keys, remembered with running totals, so that a year of it is quickly told."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from orwatch.demo.catalog import MODELS, Counts, Model, whole
from orwatch.demo.usage import FakeKey, counts_of


@dataclass(frozen=True, slots=True)
class _Series:
    """The days of one key from ``first_day`` on: flat counts, and the nano-dollars spent before each day."""

    first_day: date
    counts: array[int] = field(default_factory=lambda: array("q"))
    nano_before: array[int] = field(default_factory=lambda: array("q", [0]))

    @property
    def days(self) -> int:
        return len(self.nano_before) - 1


class Ledger:
    """What every key used since ``first_day``. Safe to use from several threads at once."""

    def __init__(self, first_day: date) -> None:
        self.first_day = first_day
        self._lock = threading.Lock()
        self._series: dict[str, _Series] = {}

    def begin_of(self, key: FakeKey) -> date:
        """The first day on which the key can have been used."""
        return max(self.first_day, key.created_on or self.first_day)

    def cost_nano(self, key: FakeKey, since: date, until: date) -> int:
        """Nano-dollars from ``since`` to ``until``, both inclusive: credits, or a BYOK key's estimate."""
        since, until = max(since, self.begin_of(key)), min(until, key.last_day)
        if since > until:
            return 0
        series = self._series_of(key, until)
        start, end = (since - series.first_day).days, (until - series.first_day).days + 1
        return series.nano_before[end] - series.nano_before[start]

    def rows(self, key: FakeKey, since: date, until: date) -> Iterator[tuple[date, Model, Counts]]:
        """The models that were used on each of the days, both inclusive."""
        since, until = max(since, self.begin_of(key)), min(until, key.last_day)
        if since > until:
            return
        series = self._series_of(key, until)
        models = [MODELS[use.model] for use in key.profile.uses]
        place = (since - series.first_day).days * 3 * len(models)
        for count in range((until - since).days + 1):
            day = since + timedelta(days=count)
            for model in models:
                requests, tokens_input, tokens_output = series.counts[place : place + 3]
                place += 3
                if requests:
                    yield day, model, (requests, tokens_input, tokens_output)

    def add(self, key: FakeKey, day: date, model: str, counts: Counts) -> None:
        """More use by a key, of a model of its profile, on a day since its beginning."""
        series, slugs = self._series_of(key, day), [use.model for use in key.profile.uses]
        number = (day - series.first_day).days
        place = (number * len(slugs) + slugs.index(model)) * len(counts)
        cost_nano = whole(MODELS[model], counts).cost_nano
        with self._lock:
            for offset, more in enumerate(counts):
                series.counts[place + offset] += more
            for after in range(number + 1, len(series.nano_before)):
                series.nano_before[after] += cost_nano

    def last_used(self, key: FakeKey, today: date) -> date | None:
        """The last day through today on which the key made a request; None: it never did."""
        until = min(today, key.last_day)
        if until < self.begin_of(key):
            return None
        series = self._series_of(key, until)
        width = 3 * len(key.profile.uses)
        for number in range((until - series.first_day).days, -1, -1):
            if any(series.counts[number * width : (number + 1) * width]):
                return series.first_day + timedelta(days=number)
        return None

    def _series_of(self, key: FakeKey, until: date) -> _Series:
        with self._lock:
            series = self._series.setdefault(key.key_hash, _Series(self.begin_of(key)))
            for number in range(series.days, (until - series.first_day).days + 1):
                _append_day(series, key, series.first_day + timedelta(days=number))
            return series


def _append_day(series: _Series, key: FakeKey, day: date) -> None:
    uses = key.profile.uses
    cost_nano = 0
    for use, counts in zip(uses, counts_of(key, day) or [(0, 0, 0)] * len(uses), strict=True):
        series.counts.extend(counts)
        if counts[0]:
            cost_nano += whole(MODELS[use.model], counts).cost_nano
    series.nano_before.append(series.nano_before[-1] + cost_nano)
