"""An account with a management key: its keys and workspaces, and those that the demo shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from uuid import NAMESPACE_URL, uuid5

from orwatch.demo.ledger import Ledger
from orwatch.demo.usage import (
    CHAT_ROOM,
    CI,
    OLD_LAPTOP,
    PRODUCTION,
    RESEARCH,
    FakeKey,
    LimitReset,
    UsageProfile,
)
from orwatch.domain.money import ZERO, from_nano

CI_EXPIRES_AFTER_DAYS = 5
ACCOUNT_DAYS = 365

_PURCHASE_USD = 100
# It lasts for more than a week on every day, so that the balance raises no alert.
_LEAST_BALANCE_USD = 100


@dataclass(frozen=True, slots=True)
class FakeBudget:
    """What all keys of a workspace together may spend; ``reset`` None: in the workspace's whole life."""

    id: str
    limit_usd: Decimal
    reset: LimitReset | None


@dataclass(frozen=True, slots=True)
class FakeWorkspace:
    """A workspace that keys can be in."""

    id: str
    name: str
    slug: str
    budget: FakeBudget | None = None


DEFAULT_WORKSPACE = FakeWorkspace(str(uuid5(NAMESPACE_URL, "workspace default")), "Default", "default")
RESEARCH_WORKSPACE = FakeWorkspace(
    str(uuid5(NAMESPACE_URL, "workspace research")),
    "Research",
    "research",
    FakeBudget(str(uuid5(NAMESPACE_URL, "budget research")), Decimal(50), "monthly"),
)


@dataclass(frozen=True, slots=True)
class FakeAccount:
    """What a management key sees. The first workspace is the default one.

    ``chat`` is the usage by no key at all: that of the chat room. Keys of one seed (of one name, unless told
    otherwise) get a seed of their own each, so that no two have the same usage.
    """

    management_secret: str = field(repr=False)
    keys: tuple[FakeKey, ...] = ()
    workspaces: tuple[FakeWorkspace, ...] = (DEFAULT_WORKSPACE,)
    chat: UsageProfile | None = None
    total_credits_usd: Decimal = ZERO

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", with_own_seeds(self.keys))

    @property
    def chat_room(self) -> FakeKey | None:
        """The chat room as if it were a key; it has no secret."""
        if self.chat is None:
            return None
        management_hash = sha256(self.management_secret.encode()).hexdigest()
        return FakeKey("chat room", "", self.chat, seed=f"chat room of {management_hash}")

    def workspace_id_of(self, key: FakeKey) -> str:
        """The id of the workspace that the key is in."""
        return key.workspace_id or self.workspaces[0].id


def with_own_seeds(keys: Iterable[FakeKey]) -> tuple[FakeKey, ...]:
    """The same keys; one whose usage an earlier key has already gets its hash as the seed."""
    seeds: set[str] = set()
    distinct = []
    for key in keys:
        own = replace(key, seed=key.key_hash) if key.usage_seed in seeds else key
        seeds.add(own.usage_seed)
        distinct.append(own)
    return tuple(distinct)


def demo_keys(today: date) -> tuple[FakeKey, ...]:
    """The keys of the demo: ``production`` (with a monthly limit), ``ci`` (expires soon), ``old-laptop``."""
    expiry_day = today + timedelta(days=CI_EXPIRES_AFTER_DAYS)
    return (
        FakeKey(
            "production",
            _demo_secret("production"),
            PRODUCTION,
            limit_usd=Decimal(300),
            limit_reset="monthly",
        ),
        FakeKey("ci", _demo_secret("ci"), CI, expires_at=datetime.combine(expiry_day, time(12), UTC)),
        FakeKey("old-laptop", _demo_secret("old-laptop"), OLD_LAPTOP),
    )


def demo_account(today: date, *, history_days: int = ACCOUNT_DAYS) -> FakeAccount:
    """The account of the demo: the keys of ``demo_keys``, another ``ci`` and ``research`` (BYOK).

    The credits were bought by the $100 during ``history_days``, the last of which is today.
    """
    production, ci, old_laptop = demo_keys(today)
    first_day = today - timedelta(days=history_days - 1)
    account = FakeAccount(
        management_secret=_demo_secret("ops"),
        keys=(
            production,
            ci,
            FakeKey(
                "ci",
                _demo_secret("ci of research"),
                CI,
                workspace_id=RESEARCH_WORKSPACE.id,
                created_on=max(first_day, today - timedelta(days=140)),
            ),
            FakeKey(
                "research",
                _demo_secret("research"),
                RESEARCH,
                workspace_id=RESEARCH_WORKSPACE.id,
                created_on=max(first_day, today - timedelta(days=230)),
                is_byok=True,
            ),
            old_laptop,
        ),
        workspaces=(DEFAULT_WORKSPACE, RESEARCH_WORKSPACE),
        chat=CHAT_ROOM,
    )
    used_usd = credits_used_usd(account, account.keys, Ledger(first_day), today)
    purchases = (used_usd + _LEAST_BALANCE_USD) // _PURCHASE_USD + 1
    return replace(account, total_credits_usd=purchases * _PURCHASE_USD)


def users_of(account: FakeAccount, keys: Iterable[FakeKey]) -> tuple[FakeKey, ...]:
    """All that uses the account: these keys, and the chat room as the last."""
    chat_room = account.chat_room
    return tuple(keys) if chat_room is None else (*keys, chat_room)


def credits_used_usd(account: FakeAccount, keys: Iterable[FakeKey], ledger: Ledger, today: date) -> Decimal:
    """The credits that the account has spent in its life, BYOK estimates not counted."""
    return from_nano(
        sum(ledger.cost_nano(user, date.min, today) for user in users_of(account, keys) if not user.is_byok)
    )


def _demo_secret(name: str) -> str:
    return f"sk-or-v1-{sha256(f'orwatch demo {name}'.encode()).hexdigest()}"
