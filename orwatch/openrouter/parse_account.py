"""What the management endpoints answer, to models; without trust, as in ``parse``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeGuard

from orwatch.domain.keys import Credits, ListedKey, Workspace
from orwatch.domain.layers import WorkspaceBudget
from orwatch.domain.money import ZERO, add_exactly
from orwatch.domain.sources import UsageSource
from orwatch.domain.usage import ListedModel, OwnedRow, RejectedRow, UsageAnswer, UsageRow
from orwatch.errors import TruncatedAnswerError, UnexpectedAnswerError
from orwatch.openrouter.columns import (
    Column,
    Item,
    RowError,
    column_of,
    costs_of,
    counts_of,
    each,
    models_of,
    names_of,
    of_places,
    optional_costs_of,
    read_day,
)
from orwatch.openrouter.parse import MAX_LAYERS, key_facts
from orwatch.openrouter.rows import read_rows
from orwatch.openrouter.values import (
    MAX_CREDITS_USD,
    MAX_NAME_LENGTH,
    Json,
    check_names,
    data_of,
    is_storable,
    kind_of,
    list_of,
    load_json,
    number_of,
    optional_flag,
    optional_label,
    optional_text,
    optional_time,
    optional_usd,
)
from orwatch.redaction import redact
from orwatch.text import printable, without_secrets

# Of what was not used since then, the last use is null.
_LAST_USE_KNOWN_FROM = datetime(2026, 1, 1, tzinfo=UTC)

_HASH = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Activity:
    """An answer of ``GET /activity``, and the plain names of its models by their dated permaslugs."""

    answer: UsageAnswer
    model_names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelList:
    """The public list of models, and the plain names of these by their dated permaslugs."""

    names: Mapping[str, str]
    models: tuple[ListedModel, ...]


@dataclass(frozen=True, slots=True)
class Analytics:
    """A whole answer of ``POST /analytics/query`` by model and, where asked, by the name of the key.

    ``rows`` bear the models' permaslugs; an ``owner`` of None is usage by no key. With ``warnings`` it is not
    the whole answer for the keys that were asked for.
    """

    since: date
    until: date
    rows: tuple[OwnedRow, ...]
    rejected: tuple[RejectedRow, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_workspaces(body: bytes) -> tuple[list[Workspace], int | None]:
    """A page of ``GET /workspaces``, and how many there are, where the answer says so.

    Raises ``UnexpectedAnswerError``.
    """
    workspaces: list[Workspace] = []
    for item in list_of(data_of(body)):
        number = optional_text(item.get("id")) if isinstance(item, dict) else None
        if number is None:
            raise UnexpectedAnswerError("a workspace in the answer has no id")
        workspaces.append(Workspace(number, optional_label(item.get("name")) or number))
    total = number_of(load_json(body).get("total_count"))
    return workspaces, None if total is None else int(total)


def parse_workspace_budgets(body: bytes, workspace: Workspace) -> tuple[WorkspaceBudget, ...]:
    """An answer of ``GET /workspaces/{id}/budgets``. Raises ``UnexpectedAnswerError``.

    One that is not understood fails the answer: without it the others would be taken for all there are.
    """
    items = list_of(data_of(body))
    if len(items) > MAX_LAYERS:
        raise UnexpectedAnswerError(f"the answer has more than {MAX_LAYERS} budgets")
    include_byok = optional_flag(load_json(body).get("include_byok_in_budgets"))
    budgets = []
    for item in items:
        found: dict[str, Json] = item if isinstance(item, dict) else {}
        number, limit = optional_label(found.get("id")), optional_usd(found.get("limit_usd"))
        if number is None or limit is None:
            raise UnexpectedAnswerError("a budget in the answer has no id or no limit_usd")
        reset = optional_label(found.get("reset_interval"))
        reset = None if reset is None else printable(reset)
        budgets.append(WorkspaceBudget(printable(number), workspace.name, limit, reset, include_byok))
    return tuple(budgets)


def parse_keys(body: bytes, workspaces: Mapping[str, str]) -> list[ListedKey]:
    """A page of ``GET /keys``; ``workspaces`` are their names by id. Raises ``UnexpectedAnswerError``.

    One bad item fails the page: a key that is left out would seem to be deleted.
    """
    keys = []
    for item in list_of(data_of(body)):
        key_hash = item.get("hash") if isinstance(item, dict) else None
        if not isinstance(key_hash, str) or not _HASH.fullmatch(key_hash):
            raise UnexpectedAnswerError("a key in the answer has no hash")
        workspace = optional_text(item.get("workspace_id"))
        keys.append(
            ListedKey(
                key_hash=key_hash.lower(),
                name=_key_name(item),
                workspace=None if workspace is None else workspaces.get(workspace, workspace),
                is_disabled=item.get("disabled") is True,
                created_at=optional_time(item.get("created_at")),
                facts=key_facts(item),
                unused_since=_unused_since(item),
            )
        )
    return keys


def _unused_since(item: dict[str, Json]) -> datetime | None:
    value = item.get("last_used_at", "")
    return _LAST_USE_KNOWN_FROM if value is None else optional_time(value)


def _key_name(item: dict[str, Json]) -> str:
    """The name as it was given: analytics answers with exactly that. No secret is one, in either of them."""
    name = item.get("name")
    return without_secrets(name) if isinstance(name, str) and is_storable(name) else ""


def parse_activity(body: bytes, since: date, until: date) -> Activity:
    """An answer of ``GET /activity``, the endpoints of one model and provider added up.

    Raises ``UnexpectedAnswerError``.
    """
    items = list_of(data_of(body))
    rows, rejected = read_rows(items, since, until, _activity_columns)
    answer = UsageAnswer(UsageSource.ACTIVITY, since, until, tuple(rows.get(None, ())), rejected)
    pairs = ((item.get("model_permaslug"), item.get("model")) for item in items if isinstance(item, dict))
    return Activity(answer, _model_names(pairs))


def _activity_columns(items: Sequence[Item]) -> tuple[Column, ...]:
    return (
        [None] * len(items),
        models_of(items),
        each(_provider_of, column_of(items, "provider_name")),
        counts_of(items, "requests"),
        counts_of(items, "prompt_tokens"),
        # Reasoning tokens are in there already.
        counts_of(items, "completion_tokens"),
        costs_of(items, "usage"),
        counts_of(items, "reasoning_tokens"),
        counts_of(items, "cached_tokens"),
        optional_costs_of(items, "byok_usage_inference"),
    )


def _provider_of(value: Json) -> str | None:
    return (optional_text(value) or "").strip() or None


def parse_analytics(body: bytes, since: date, until: date, limit: int) -> Analytics:
    """An answer of ``POST /analytics/query`` for the days ``since``..``until``, by model and maybe by key.

    Raises ``TruncatedAnswerError`` when rows are missing, or when there are so many that they may be;
    ``UnexpectedAnswerError``.
    """
    data = data_of(body)
    if not isinstance(data, dict):
        raise UnexpectedAnswerError(f"the answer's data is {kind_of(data)}, not an object")
    items = list_of(data.get("data"))
    metadata = data.get("metadata")
    is_marked = isinstance(metadata, dict) and metadata.get("truncated") is True
    if is_marked or len(items) >= limit:
        raise TruncatedAnswerError("the answer is truncated: rows are missing")
    by_owner, rejected = read_rows(items, since, until, _analytics_columns, "date__day", "created_at__day")
    rows = tuple(OwnedRow(owner, row) for owner, rows in by_owner.items() for row in rows)
    return Analytics(since, until, rows, rejected, _warnings(data.get("warnings")))


def _warnings(value: Json) -> tuple[str, ...]:
    """The warnings, whatever shape they have."""
    warnings = value if isinstance(value, list) else [value]
    return tuple(
        printable(redact(each if isinstance(each, str) else json.dumps(each, default=str)))
        for each in warnings
        if each
    )


def _analytics_columns(items: Sequence[Item]) -> tuple[Column, ...]:
    byok = [amount or ZERO for amount in optional_costs_of(items, "byok_usage")]
    return (
        each(_owner_of, column_of(items, "api_key_id")),
        names_of(items, "model"),
        [None] * len(items),
        counts_of(items, "request_count"),
        counts_of(items, "tokens_prompt"),
        counts_of(items, "tokens_completion"),
        _credits_of(items, byok),
        counts_of(items, "reasoning_tokens"),
        counts_of(items, "cached_tokens"),
        byok,
    )


def _owner_of(value: Json) -> str | None:
    if value is not None and (not isinstance(value, str) or not is_storable(value)):
        raise RowError("the api_key_id is not a name")
    return None if value is None else without_secrets(value)


def _credits_of(items: Sequence[Item], byok: Column) -> Column:
    """Credits that were not used are null; where the field is missing, the total less BYOK."""
    credits = optional_costs_of(items, "credits_usage")
    if None not in {*credits}:
        return credits
    missing = [place for place, item in enumerate(items) if "credits_usage" not in item]
    with of_places(missing):
        totals = costs_of([items[place] for place in missing], "total_usage")
    for place, total in zip(missing, totals, strict=True):
        credits[place] = max(ZERO, add_exactly(total, -byok[place]))
    return [amount or ZERO for amount in credits]


def parse_credits(body: bytes) -> Credits:
    """An answer of ``GET /credits``. Raises ``UnexpectedAnswerError``."""
    data = data_of(body)
    data = data if isinstance(data, dict) else {}
    bought, spent = (
        optional_usd(data.get(name), may_be_negative=True, most=MAX_CREDITS_USD)
        for name in ("total_credits", "total_usage")
    )
    if bought is None or spent is None:
        raise UnexpectedAnswerError("GET /credits does not report total_credits and total_usage")
    return Credits(bought, spent)


def parse_models(body: bytes) -> ModelList:
    """An answer of ``GET /models``. Raises ``UnexpectedAnswerError``."""
    items = [item for item in list_of(data_of(body)) if isinstance(item, dict)]
    names = _model_names((item.get("canonical_slug"), item.get("id")) for item in items)
    return ModelList(names, tuple(_listed_models(items)))


def _listed_models(items: Iterable[dict[str, Json]]) -> Iterator[ListedModel]:
    for item in items:
        dated, name = item.get("canonical_slug"), item.get("id")
        if not _is_slug(dated) or not _is_slug(name):
            continue
        _, colon, variant = name.partition(":")
        try:
            retires_on = read_day(item.get("expiration_date"))
        except RowError:
            retires_on = None
        yield ListedModel(dated if ":" in dated else f"{dated}{colon}{variant}", name, retires_on)


def _is_slug(value: Json) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and is_storable(value)


def _model_names(pairs: Iterable[tuple[Json, Json]]) -> dict[str, str]:
    """Where variants (``model:free``) share a permaslug, the plain slug stands for all of them."""
    texts = {(dated, name) for dated, name in pairs if isinstance(dated, str) and isinstance(name, str)}
    valid = [(permaslug, slug) for permaslug, slug in texts if _is_slug(permaslug) and _is_slug(slug)]
    check_names((permaslug for permaslug, _ in valid), len(valid))
    # The last one stays: the plain one, and of several plain ones always the same.
    valid.sort(key=lambda pair: (":" not in pair[1], pair[1]))
    return dict(valid)


def with_model_name(row: UsageRow, names: Mapping[str, str]) -> UsageRow:
    """The row under its model's plain slug, where that is known; variants (``:free``) keep their ending."""
    if row.model is None:
        return row
    slug = names.get(row.model)
    if slug is None:
        plain, colon, variant = row.model.partition(":")
        slug = f"{names[plain].partition(':')[0]}{colon}{variant}" if colon and plain in names else row.model
    return row if slug == row.model else row._replace(model=slug)
