"""Two weeks of an account, sync by sync: each alert is raised, and is over, at the one that it should."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from orwatch.domain.alerts.alert import Alert, Rule
from orwatch.domain.budgets import Per
from orwatch.domain.days import ONE_DAY, days_between
from orwatch.domain.keys import KeyFacts, KeyKind
from orwatch.domain.layers import FreeQuota
from orwatch.jobs.alert.judge import judge
from orwatch.jobs.alert.result import WatchRules
from orwatch.jobs.budget.change import BudgetRequest, set_budget
from orwatch.store.engine.database import Store
from orwatch.store.keys import table as stored_keys
from tests.jobs.support import add_key
from tests.jobs.sync.account_server import CLAUDE, GPT, AccountWatcher, Use, nanos
from tests.support import FakeClock, secret_of

# Dollars that each key spends every day, and the model.
DAILY = {"shop": ("4", GPT), "batch": ("3", CLAUDE), "a": ("0.5", GPT), "b": ("0.5", GPT), "c": ("0.5", GPT)}
CHAT = "x/chat"  # what has just begun is no spike
LIMITED = {"limit": 1000, "limit_remaining": 1000}


class Story:
    """The account, its database, and what every sync says."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.clock, self.watcher = clock, AccountWatcher(store, clock)
        self.store, self.server = store, self.watcher.server
        made = clock.now() - timedelta(days=200)
        self.hashes: dict[str, str | None] = {
            name: self.server.create(name, secret_name=name, created_at=made, more=dict(LIMITED))
            for name in (*DAILY, "asleep", "own")
        }
        self.hashes["chat room"] = None
        add_key(store, "own")
        self.server.bought_usd = 680
        with store.write() as connection:
            facts = KeyFacts(KeyKind.MANAGEMENT, layers=(), free_quota=FreeQuota(50, 0, 50))
            stored_keys.record_facts(connection, self.watcher.boss.id, facts, clock.now())
        self.server.use(self.hashes["asleep"], "0.1", day=clock.now().date() - timedelta(days=45))
        self.used_until = clock.now().date() - timedelta(days=60)

    def go_to(self, moment: datetime) -> list[str]:
        """Let days pass, with a sync in the first hour of each; what these say."""
        said = []
        for day in days_between(self.used_until + ONE_DAY, moment.date()):
            begins_at = datetime.combine(day, time(0, 40), UTC)
            if self.clock.now() < begins_at < moment:
                self.clock.current = begins_at
            for name, (cost, model) in DAILY.items():
                self.server.use(self.hashes[name], cost, model=model, day=day)
            self.free_requests(0)
            if self.clock.current == begins_at:
                said += [f"{day:%a %d %b}: {each}" for each in self.sync()]
            self.used_until = day
        self.clock.current = moment
        return said

    def sync(self) -> list[str]:
        self.watcher.sync()
        assert self.watcher.result.exit_code == 0
        judgement = judge(self.store, self.clock.now(), WatchRules())
        assert not judgement.has_bug
        return [*map(_said, judgement.raised), *(f"over: {_said(alert)}" for alert in judgement.recovered)]

    # What happens.

    def spend(self, name: str, cost: str, model: str = GPT) -> None:
        self.server.use(self.hashes[name], cost, model=model)

    def facts(self, name: str, **facts: Any) -> None:
        """What OpenRouter tells of the key from now on."""
        self.server.keys[self.hashes[name] or ""].more.update(facts)

    def budget(self, name: str, limit_usd: int, per: Per) -> None:
        set_budget(self.store, BudgetRequest(name, Decimal(limit_usd), per), self.clock.now())

    def free_requests(self, used: int) -> None:
        quota = {"limit": 50, "used": used, "remaining": 50 - used}
        self.server.told_of_owner = {"free_model_daily_requests": quota}

    def validate(self, *revoked: str) -> None:
        self.server.revoked = set(map(secret_of, revoked))
        self.watcher.validate()

    def correct(self, name: str, cost: str, model: str, day: date) -> None:
        self.server.correct((day, self.hashes[name], model, "OpenAI"), Use(1, 10, 20, nanos(cost)))


def _said(alert: Alert) -> str:
    matter = f" {alert.subject.rpartition(':')[2]}" if alert.rule is Rule.KEY else ""
    return f"{alert.rule} {alert.name}{matter}{f' {alert.threshold} %' if alert.threshold else ''}"


Act = Callable[[Story], object]


def nothing(_: Story) -> None:
    """The time passes."""


# When, what happens then, and what the sync after it says; each sync after that says nothing of it again.
STORY: tuple[tuple[str, str, Act, tuple[str, ...]], ...] = (
    ("11-20 12:30", "the first sync of all", nothing, ()),
    ("11-20 13:30", "a budget of $20 a day; $8.50 are spent", lambda it: it.budget("day", 20, Per.DAY), ()),
    ("11-20 14:30", "$10.50 are", lambda it: it.spend("chat room", "2", CHAT), ("budget day 50 %",)),
    ("11-20 15:30", "$16.50 are", lambda it: it.spend("chat room", "6", CHAT), ("budget day 80 %",)),
    (
        "11-20 16:30",
        "$18 are, which for a day says nothing of the hours to come",
        lambda it: it.spend("chat room", "1.5", CHAT),
        (),
    ),
    ("11-20 17:30", "$20.50 are", lambda it: it.spend("chat room", "2.5", CHAT), ("budget day 100 %",)),
    (
        "11-20 18:30",
        "its limit is raised",
        lambda it: it.budget("day", 200, Per.DAY),
        ("over: budget day 100 %",),
    ),
    (
        "11-21 09:30",
        "a key is made",
        lambda it: it.server.create("intern", more=dict(LIMITED)),
        ("key intern new",),
    ),
    (
        "11-22 10:30",
        "a job runs wild",
        lambda it: it.spend("batch", "40", CLAUDE),
        ("spike all keys", "spike batch", f"spike {CLAUDE}"),
    ),
    (
        "11-23 02:30",
        "the day is corrected",
        lambda it: it.correct("batch", "3", CLAUDE, date(2026, 11, 22)),
        ("over: spike all keys", "over: spike batch", f"over: spike {CLAUDE}"),
    ),
    (
        "11-24 11:30",
        "a key expires in 168.5 hours",
        lambda it: it.facts("b", expires_at="2026-12-01T12:00:00Z"),
        (),
    ),
    ("11-24 12:30", "in 167.5 hours", nothing, ("key b expiring",)),
    (
        "11-24 14:30",
        "a key is used after 49 days",
        lambda it: it.spend("asleep", "0.1"),
        ("key asleep dormant",),
    ),
    (
        "11-25 09:30",
        "the key that expires is prolonged",
        lambda it: it.facts("b", expires_at="2027-06-01T12:00:00Z"),
        ("over: key b expiring",),
    ),
    (
        "11-25 10:30",
        "of a key's limit 80 % are spent",
        lambda it: it.facts("shop", limit=50, limit_remaining=10, limit_reset="monthly"),
        ("limit shop 80 %",),
    ),
    ("11-25 11:30", "all of it is", lambda it: it.facts("shop", limit_remaining=0), ("limit shop 100 %",)),
    (
        "11-25 12:30",
        "it is raised",
        lambda it: it.facts("shop", limit=500, limit_remaining=450),
        ("over: limit shop 100 %",),
    ),
    (
        "11-26 09:30",
        "a model is to be retired: the list is read once a day",
        lambda it: it.server.retirements.update({CLAUDE: date(2026, 12, 10)}),
        (),
    ),
    ("11-27 00:40", "it is read", nothing, (f"model {CLAUDE}",)),
    (
        "11-27 15:30",
        "of 50 free requests 40 are used",
        lambda it: it.free_requests(40),
        ("free-quota boss 80 %",),
    ),
    ("11-27 16:30", "all are", lambda it: it.free_requests(50), ("free-quota boss 100 %",)),
    ("11-28 00:40", "on a new day none", nothing, ()),
    ("11-28 09:30", "the model stays", lambda it: it.server.retirements.clear(), ()),
    (
        "11-28 18:30",
        "a limit is lifted",
        lambda it: it.facts("batch", limit=None, limit_remaining=None),
        ("key batch unlimited",),
    ),
    ("11-29 00:40", "the list of models is read", nothing, (f"over: model {CLAUDE}",)),
    ("11-29 02:00", "a key is refused", lambda it: it.validate("own"), ("key own invalid",)),
    ("11-30 02:00", "it is accepted again", lambda it: it.validate(), ("over: key own invalid",)),
    (
        "12-01 12:30",
        "a month's budget of $250; $263.50 is usual",
        lambda it: it.budget("month", 250, Per.MONTH),
        ("forecast month",),
    ),
    (
        "12-01 13:30",
        "its limit is raised",
        lambda it: it.budget("month", 300, Per.MONTH),
        ("over: forecast month",),
    ),
    ("12-02 00:40", "the balance lasts for less than 7 days", nothing, ("balance boss",)),
    (
        "12-03 10:30",
        "credits are bought",
        lambda it: setattr(it.server, "bought_usd", 1180),
        ("over: balance boss",),
    ),
    (
        "12-04 00:40",
        "the month's 4th day: a key without a limit has spent much",
        nothing,
        ("key batch unlimited",),
    ),
    (
        "12-05 10:30",
        "it has a limit again",
        lambda it: it.facts("batch", **LIMITED),
        ("over: key batch unlimited",),
    ),
    ("12-08 12:30", "days on which all is as it should be", nothing, ()),
)


def test_every_alert_is_raised_and_is_over_at_the_sync_that_it_should(store: Store, clock: FakeClock) -> None:
    story = Story(store, clock)
    for when, what, act, expected in STORY:
        assert story.go_to(datetime.fromisoformat(f"2026-{when}+00:00")) == [], f"before {what}"
        act(story)
        assert (when, what, *story.sync()) == (when, what, *expected)
    said = {text.removeprefix("over: ").split()[0] for *_, expected in STORY for text in expected}
    assert said == set(Rule)
