"""Each rule with what it goes by: only what may hold, or has an open alert, is looked at closely.

A thousand keys are judged in milliseconds that way: what does not hold, and did not, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain
from typing import TypeAlias

from orwatch.domain.alerts.alert import Finding, Rule
from orwatch.domain.alerts.balance import LEAST_BALANCE_USD, PACE_DAYS, AccountBalance, find_low_balances
from orwatch.domain.alerts.budget import find_coming, find_crossed, is_far_off
from orwatch.domain.alerts.free_quota import FreeUse, find_free_quotas
from orwatch.domain.alerts.limit import KeyLimits, find_limits, workspace_limit
from orwatch.domain.alerts.model import find_retiring_models
from orwatch.domain.alerts.spike import FLOOR_USD, DailyCosts, find_spikes, may_be_spike
from orwatch.domain.can_spend import KEY_LIMIT
from orwatch.domain.days import ONE_DAY, days_between
from orwatch.domain.keys import KeyKind
from orwatch.domain.layers import Layer
from orwatch.domain.money import ZERO, from_nano, to_nano
from orwatch.jobs.alert.keys import find_key_alerts
from orwatch.jobs.alert.readings import Readings, moment
from orwatch.store.engine.database import Connection
from orwatch.store.keys import accounts
from orwatch.store.keys.layers import load_layers
from orwatch.store.keys.light import LightKey
from orwatch.store.ledger import model_names, recent

# The subject of what all keys spend together.
_ALL = "all"

_WEEK = timedelta(days=7)

_ReadCosts: TypeAlias = Callable[
    [Connection, Collection[int], date, date], Mapping[int, Mapping[date, Decimal]]
]


def _find_crossed_budgets(readings: Readings) -> Iterator[Finding]:
    open_windows = readings.open(Rule.BUDGET)
    wanted = [
        state
        for state in readings.budgets
        if state.is_reached(min(state.budget.warn_percent)) or f"budget:{state.budget.id}" in open_windows
    ]
    return find_crossed(wanted, open_windows)


def _find_coming_budgets(readings: Readings) -> Iterator[Finding]:
    open_windows = readings.open(Rule.FORECAST)
    wanted = [
        state
        for state in readings.budgets
        if f"budget:{state.budget.id}" in open_windows
        or not (state.is_reached() or is_far_off(state, readings.now))
    ]
    if not wanted:
        return iter(())
    from orwatch.jobs.budget.course import with_courses

    return find_coming(with_courses(readings.connection, wanted, readings.now, readings.rows), open_windows)


def _find_limits(readings: Readings) -> Iterator[Finding]:
    """A key's own limit only where it may be reached; all other layers, which several keys may share."""
    open_windows = readings.open(Rule.LIMIT)
    least, still_open = min(readings.rules.limit_warn), readings.keys_open(Rule.LIMIT)
    keys = []
    for row in readings.rows:
        if not row.is_in_use or row.kind == KeyKind.MANAGEMENT:
            continue
        limit, remaining = row.limit_nano, row.limit_remaining_nano
        is_near = limit is not None and remaining is not None and (limit - remaining) * 100 >= limit * least
        if is_near or row.layers is not None or row.id in still_open:
            keys.append(_key_limits(row))
    shared = [workspace_limit(each.workspace, each.bound, readings.now) for each in readings.workspaces]
    return find_limits(keys, open_windows, readings.now, readings.rules.limit_warn, shared)


def _key_limits(row: LightKey) -> KeyLimits:
    layers, _ = load_layers(row.layers)
    limit, remaining = _usd(row.limit_nano), _usd(row.limit_remaining_nano)
    own = Layer(KEY_LIMIT, limit, remaining_usd=remaining, reset_interval=row.limit_reset)
    read_at, layers_read_at = (
        None if seconds is None else moment(seconds) for seconds in (row.facts_read_at, row.layers_read_at)
    )
    return KeyLimits(row.id, row.name, own, read_at, layers or (), layers_read_at, row.workspace)


def _usd(amount_nano: int | None) -> Decimal | None:
    return None if amount_nano is None else from_nano(amount_nano)


def _find_low_balances(readings: Readings) -> Iterator[Finding]:
    today = readings.now.date()
    since, until = today - PACE_DAYS * ONE_DAY, today - ONE_DAY
    open_windows, warn_usd = readings.open(Rule.BALANCE), readings.rules.balance_warn_usd
    # What would last for two weeks even if all keys were of this account, and each day the dearest one.
    dearest = max((cost for day, cost in readings.daily_costs.items() if since <= day <= until), default=ZERO)
    plenty_usd = max(dearest * PACE_DAYS, warn_usd or LEAST_BALANCE_USD)
    found = []
    latest = accounts.latest_credits_by_account(readings.connection) if readings.owners else {}
    for owner in readings.owners.values():
        reading = latest.get(owner.id)
        if reading is None or reading.credits.bought_usd <= 0:
            continue
        subject = f"account:{owner.id}"
        if reading.credits.balance_usd > plenty_usd and subject not in open_windows:
            continue
        costs = recent.daily_costs_of_account(readings.connection, owner.id, since, until)
        known = readings.days_known_of(owner.id, since, until)
        daily = [costs.get(day, ZERO) for day in known | costs.keys()]
        found.append(AccountBalance(subject, owner.name, reading.credits, reading.read_at, daily))
    return find_low_balances(found, open_windows, readings.now, warn_usd)


def _find_spikes(readings: Readings) -> Iterator[Finding]:
    today = readings.now.date()
    subjects = chain(_all_costs(readings), _key_costs(readings), _model_costs(readings))
    return find_spikes(subjects, today, readings.watched_since.date())


def _all_costs(readings: Readings) -> Iterator[DailyCosts]:
    today, costs = readings.now.date(), readings.daily_costs
    last_two = today - ONE_DAY, today
    if _ALL in readings.open(Rule.SPIKE) or any(may_be_spike(costs, day) for day in last_two):
        yield DailyCosts(_ALL, "all keys", _with_zeros(readings, costs))


def _key_costs(readings: Readings) -> Iterator[DailyCosts]:
    today, floor = readings.now.date(), to_nano(FLOOR_USD)
    dear = recent.dear_rows(readings.connection, today - ONE_DAY, today, floor)
    still_open = readings.keys_open(Rule.SPIKE)
    if not dear and not still_open:
        return
    names = {row.id: row.name for row in readings.rows}
    ids = {row.key_id for row in readings.rows if row.id in dear}
    for number, costs in _closer(readings, recent.daily_costs_by_key, ids, still_open & names.keys()):
        yield DailyCosts(f"key:{number}", names[number], _with_zeros(readings, costs))


def _model_costs(readings: Readings) -> Iterator[DailyCosts]:
    today, floor = readings.now.date(), to_nano(FLOOR_USD)
    ids = recent.dear_models(readings.connection, today - ONE_DAY, today, floor)
    if not ids and not readings.open(Rule.SPIKE):
        return
    names = {number: name for number, name in readings.model_names.items() if name is not None}
    still_open = {number for number, name in names.items() if f"model:{name}" in readings.open(Rule.SPIKE)}
    for number, costs in _closer(readings, recent.daily_costs_by_model, ids & names.keys(), still_open):
        yield DailyCosts(f"model:{names[number]}", names[number], _with_zeros(readings, costs))


def _closer(
    readings: Readings, read: _ReadCosts, ids: set[int], still_open: set[int]
) -> Iterator[tuple[int, Mapping[date, Decimal]]]:
    """The daily costs of those that may be a spike: of most, the week before tells that they are none."""
    connection, today = readings.connection, readings.now.date()
    last_two = today - ONE_DAY, today
    if ids:
        lately = read(connection, ids, today - _WEEK, today)
        ids = {number for number in ids if any(may_be_spike(lately[number], day) for day in last_two)}
    if ids | still_open:
        costs = read(connection, ids | still_open, readings.looked_at_from, today)
        for number in sorted(ids | still_open):
            yield number, costs.get(number, {})


def _with_zeros(readings: Readings, costs: Mapping[date, Decimal]) -> dict[date, Decimal]:
    """With the days since the first use that were read; those of which only a sum is known are left out."""
    known = dict.fromkeys(readings.days_read, ZERO) | {**costs}
    for each in readings.spans:
        for day in days_between(each.span.first_day, each.span.last_day):
            known.pop(day, None)
    return known


def _find_free_quotas(readings: Readings) -> Iterator[Finding]:
    found = []
    for row in readings.rows:
        if row.layers is None or not row.is_in_use or row.layers_read_at is None:
            continue
        _, quota = load_layers(row.layers)
        if quota is not None:
            read_at = moment(row.layers_read_at)
            owner = readings.owners.get(row.account_id or 0)
            subject = "account" if owner is None else f"account:{owner.id}"
            found.append(FreeUse(subject, row.name if owner is None else owner.name, quota, read_at))
    return find_free_quotas(found, readings.now)


def _find_retiring_models(readings: Readings) -> Iterator[Finding]:
    open_windows = readings.open(Rule.MODEL)
    names = {subject.removeprefix("model:") for subject in open_windows}
    today = readings.now.date()
    models = model_names.retiring_models(readings.connection, today, names)
    return find_retiring_models(models, open_windows, today)


RULES: Mapping[Rule, Callable[[Readings], Iterable[Finding]]] = {
    Rule.BUDGET: _find_crossed_budgets,
    Rule.FORECAST: _find_coming_budgets,
    Rule.LIMIT: _find_limits,
    Rule.BALANCE: _find_low_balances,
    Rule.SPIKE: _find_spikes,
    Rule.KEY: find_key_alerts,
    Rule.FREE_QUOTA: _find_free_quotas,
    Rule.MODEL: _find_retiring_models,
}
