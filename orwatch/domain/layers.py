"""What limits a key's spending at OpenRouter, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Layer:
    """One budget that OpenRouter enforces for a key, as ``GET /key`` reports it. None: it did not say.

    ``scope``: ``api_key``, ``workspace``, ``key_limit``, or another. ``remaining_usd`` may be negative.
    ``resets_at`` None: never.
    """

    scope: str
    limit_usd: Decimal | None = None
    spent_usd: Decimal | None = None
    remaining_usd: Decimal | None = None
    reset_interval: str | None = None
    resets_at: datetime | None = None
    include_byok: bool | None = None
    budget_id: str | None = None
    guardrail_id: str | None = None


@dataclass(frozen=True, slots=True)
class FreeQuota:
    """The account's requests to free models on the day of the reading."""

    limit: int
    used: int
    remaining: int


@dataclass(frozen=True, slots=True)
class WorkspaceBudget:
    """A budget of a workspace, as ``GET /workspaces/{id}/budgets`` reports it; ``workspace`` is its name."""

    id: str
    workspace: str
    limit_usd: Decimal
    reset_interval: str | None
    include_byok: bool | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceReading:
    """What was last answered about the budgets of a workspace; None: they are refused (403, 404)."""

    id: str
    name: str
    read_at: datetime
    budgets: tuple[WorkspaceBudget, ...] | None
