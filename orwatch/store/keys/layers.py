"""What limits keys and workspaces, as the JSON of its columns: amounts as exact text, times as ISO 8601."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from orwatch.domain.layers import FreeQuota, Layer, WorkspaceBudget, WorkspaceReading


def dump_layers(layers: tuple[Layer, ...] | None, quota: FreeQuota | None) -> str | None:
    """The column ``api_keys.layers``; None where an answer told neither."""
    if layers is None and quota is None:
        return None
    listed = None if layers is None else [_members(layer) for layer in layers]
    return _dump({"layers": listed, "free_quota": None if quota is None else asdict(quota)})


# A command reads its keys several times.
@lru_cache(maxsize=10_000)
def load_layers(text: str | None) -> tuple[tuple[Layer, ...] | None, FreeQuota | None]:
    """The layers and the free quota from the column."""
    if text is None:
        return None, None
    found = json.loads(text)
    layers, quota = found["layers"], found["free_quota"]
    return (
        None if layers is None else tuple(_layer(each) for each in layers),
        None if quota is None else FreeQuota(**quota),
    )


def dump_workspaces(workspaces: tuple[WorkspaceReading, ...]) -> str:
    """The column ``accounts.workspace_budgets``."""
    return _dump([asdict(each) for each in workspaces])


def load_workspaces(text: str | None) -> tuple[WorkspaceReading, ...]:
    """What is known of each workspace from the column."""
    return tuple(
        WorkspaceReading(
            each["id"],
            each["name"],
            datetime.fromisoformat(each["read_at"]),
            None if each["budgets"] is None else tuple(_budget(budget) for budget in each["budgets"]),
        )
        for each in json.loads(text or "[]")
    )


def _members(layer: Layer) -> dict[str, Any]:
    """Only what is known: most layers tell half of it."""
    return {name: value for name, value in asdict(layer).items() if value is not None}


def _layer(found: dict[str, Any]) -> Layer:
    for name in ("limit_usd", "spent_usd", "remaining_usd"):
        if name in found:
            found[name] = Decimal(found[name])
    if "resets_at" in found:
        found["resets_at"] = datetime.fromisoformat(found["resets_at"])
    return Layer(**found)


def _budget(found: dict[str, Any]) -> WorkspaceBudget:
    return WorkspaceBudget(**{**found, "limit_usd": Decimal(found["limit_usd"])})


def _dump(value: object) -> str:
    return json.dumps(value, default=_text, separators=(",", ":"))


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
