"""The account as it is at the moment of a request, and how the API writes times and reads days."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime

from orwatch.demo.account import FakeAccount, FakeWorkspace, users_of
from orwatch.demo.ledger import Ledger
from orwatch.demo.usage import FakeKey

CREATOR = "user_demo"


@dataclass(frozen=True, slots=True)
class FakeAccountState:
    """The account as it is now: ``keys`` are all that it ever had, deleted ones included."""

    account: FakeAccount
    keys: tuple[FakeKey, ...]
    ledger: Ledger
    today: date

    @property
    def users(self) -> tuple[FakeKey, ...]:
        """The keys, and the chat room where there is one."""
        return users_of(self.account, self.keys)

    def workspace(self, workspace_id: str) -> FakeWorkspace | None:
        """The workspace with that id."""
        return next((each for each in self.account.workspaces if each.id == workspace_id), None)

    def keys_in(self, workspace_id: str) -> list[FakeKey]:
        """The keys that are listed for the workspace: all but the deleted ones."""
        return [
            key
            for key in self.keys
            if self.account.workspace_id_of(key) == workspace_id and not is_deleted(key, self.today)
        ]


def has_hash_in(user: FakeKey, hashes: Collection[str] | None) -> bool:
    """Whether the user is a key with one of these hashes; None asks for all, the chat room included."""
    return hashes is None or (bool(user.secret) and user.key_hash in hashes)


def is_deleted(key: FakeKey, today: date) -> bool:
    """Whether the key is gone by that day."""
    return key.deleted_on is not None and key.deleted_on <= today


def is_expired(key: FakeKey, today: date) -> bool:
    """Whether the key expired before that day: a day has no time of day, so it is good through its last."""
    return key.expires_at is not None and key.expires_at.astimezone(UTC).date() < today


def time_text(moment: datetime) -> str:
    """A time as the API writes it: ``2026-11-20T12:00:00Z``."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_day(text: str) -> date | None:
    """A day in the one form that the API takes; Python would read ``20261120`` and ``2026-W47-5``, too."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None
