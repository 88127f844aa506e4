"""``POST /analytics/query`` over the made-up usage: what may be asked, and the rows that answer it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TypeAlias

from orwatch.demo.catalog import Counts, Model, Part, split, whole
from orwatch.demo.server import Json, Request, Response, error_response, json_response
from orwatch.demo.state import FakeAccountState, has_hash_in
from orwatch.demo.usage import FakeKey
from orwatch.domain.money import from_nano

CHAT_ROOM_LABEL = "Chatroom"
DAYS_KEPT = 365
MAX_DAYS = 367
PROVIDER_DAYS_KEPT = 31
DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000
MAX_DIMENSIONS = 2
DIMENSIONS = ("model", "api_key_id", "workspace", "provider")
FILTERS = ("api_key_id", "model")
MAX_FILTERS = 20
OPERATORS = {"eq": "scalar", "in": "array"}

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)

_GroupKey: TypeAlias = tuple[str | None, ...]
_Row: TypeAlias = dict[str, Json]


@dataclass(slots=True)
class _Sums:
    """What one row adds up; costs in nano-dollars."""

    requests: int = 0
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_reasoning: int = 0
    tokens_cached: int = 0
    credits_nano: int = 0
    byok_nano: int = 0

    def add(self, part: Part, *, is_byok: bool) -> None:
        self.requests += part.requests
        self.tokens_input += part.tokens_input
        self.tokens_output += part.tokens_output
        self.tokens_reasoning += part.tokens_reasoning
        self.tokens_cached += part.tokens_cached
        if is_byok:
            self.byok_nano += part.cost_nano
        else:
            self.credits_nano += part.cost_nano


METRICS: dict[str, Callable[[_Sums], int]] = {
    "request_count": lambda sums: sums.requests,
    "tokens_prompt": lambda sums: sums.tokens_input,
    "tokens_completion": lambda sums: sums.tokens_output,
    "reasoning_tokens": lambda sums: sums.tokens_reasoning,
    "cached_tokens": lambda sums: sums.tokens_cached,
    "total_usage": lambda sums: sums.credits_nano + sums.byok_nano,
    "credits_usage": lambda sums: sums.credits_nano,
    "byok_usage": lambda sums: sums.byok_nano,
}
_AS_TEXT = frozenset({"request_count", "tokens_prompt", "reasoning_tokens"})
_IN_USD = frozenset({"total_usage", "credits_usage", "byok_usage"})

GRANULARITIES: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    # Its weeks begin on Sunday, those of the counters on Monday.
    "week": lambda day: day - timedelta(days=day.isoweekday() % 7),
    "month": lambda day: day.replace(day=1),
}


class _QueryError(Exception):
    """Why a query gets 400."""


@dataclass(frozen=True, slots=True)
class _Query:
    """A valid query. Both days are inclusive; None filters nothing."""

    metrics: tuple[str, ...]
    dimensions: tuple[str, ...]
    granularity: str | None
    since: date
    until: date
    key_hashes: frozenset[str] | None
    permaslugs: frozenset[str] | None
    order_by: tuple[str, bool] | None
    limit: int

    @property
    def bucket_column(self) -> str:
        return f"date__{self.granularity}"


def answer_analytics(request: Request, state: FakeAccountState) -> Response:
    """``POST /analytics/query``: any breakdown, today included."""
    try:
        query = _parse_query(request.body, state.today)
    except _QueryError as error:
        return error_response(400, str(error))
    groups = _groups(query, state)
    answered = [_row(query, group, sums) for group, sums in groups[: query.limit]]
    data: dict[str, Json] = {
        "data": answered,
        "metadata": {
            "query_time_ms": 12,
            "row_count": len(answered),
            "truncated": len(answered) < len(groups),
        },
    }
    known = {key.key_hash for key in state.keys}
    unknown = sorted((query.key_hashes or frozenset()) - known)
    if unknown:
        data["warnings"] = [f"Could not resolve api_key_id hash: {key_hash}" for key_hash in unknown]
    return json_response({"data": data})


def answer_analytics_meta(_request: Request, _state: FakeAccountState) -> Response:
    """``GET /analytics/meta``: what a query may ask for."""
    return json_response(
        {
            "data": {
                "metrics": [
                    {
                        "name": name,
                        "display_label": _label(name),
                        "display_format": "currency" if name in _IN_USD else "number",
                        "is_rate": False,
                    }
                    for name in METRICS
                ],
                "dimensions": [{"name": name, "display_label": _label(name)} for name in DIMENSIONS],
                "granularities": [{"name": name, "display_label": _label(name)} for name in GRANULARITIES],
                "operators": [{"name": name, "value_type": kind} for name, kind in OPERATORS.items()],
            }
        }
    )


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _groups(query: _Query, state: FakeAccountState) -> list[tuple[_GroupKey, _Sums]]:
    """All rows in their order, the limit not yet applied."""
    groups: dict[_GroupKey, _Sums] = {}
    for user in state.users:
        if has_hash_in(user, query.key_hashes):
            _add_user(groups, query, user, state)
    ordered = sorted(groups.items(), key=lambda item: _sortable(item[0]))
    if query.order_by is not None:
        field, is_descending = query.order_by
        if field in METRICS:
            ordered.sort(key=lambda item: METRICS[field](item[1]), reverse=is_descending)
        else:
            place = (query.bucket_column, *query.dimensions).index(field)
            ordered.sort(key=lambda item: _sortable(item[0][place : place + 1]), reverse=is_descending)
    return ordered


def _add_user(groups: dict[_GroupKey, _Sums], query: _Query, user: FakeKey, state: FakeAccountState) -> None:
    workspace_id = state.account.workspace_id_of(user)
    names = {workspace.id: workspace.name for workspace in state.account.workspaces}
    values: dict[str, str | None] = {
        # Two keys of one name are one row, and so are the chat room and a key that bears its label.
        "api_key_id": user.name if user.secret else CHAT_ROOM_LABEL,
        "workspace": names.get(workspace_id, workspace_id),
    }
    for day, model, counts in state.ledger.rows(user, query.since, min(query.until, state.today)):
        if query.permaslugs is not None and model.permaslug not in query.permaslugs:
            continue
        bucket = _bucket(query.granularity, day)
        values["model"] = model.permaslug
        for provider, part in _parts(query, model, counts):
            values["provider"] = provider
            group = (bucket, *(values[dimension] for dimension in query.dimensions))
            sums = groups.get(group)
            if sums is None:
                sums = groups[group] = _Sums()
            sums.add(part, is_byok=user.is_byok)


@cache
def _bucket(granularity: str | None, day: date) -> str:
    return "" if granularity is None else GRANULARITIES[granularity](day).isoformat()


def _parts(query: _Query, model: Model, counts: Counts) -> Iterable[tuple[str | None, Part]]:
    if "provider" not in query.dimensions:
        return [(None, whole(model, counts))]
    return ((endpoint.provider, part) for endpoint, part in split(model, counts))


def _row(query: _Query, group: _GroupKey, sums: _Sums) -> _Row:
    bucket, *values = group
    row: _Row = {} if query.granularity is None else {query.bucket_column: f"{bucket}T00:00:00Z"}
    row.update(zip(query.dimensions, values, strict=True))
    row.update((metric, _amount(metric, METRICS[metric](sums))) for metric in query.metrics)
    return row


def _sortable(values: _GroupKey) -> tuple[str, ...]:
    return tuple(value or "" for value in values)


def _amount(metric: str, amount: int) -> Json:
    """Some counts come as texts and others as numbers; money that was not used is null."""
    if metric in _IN_USD:
        return from_nano(amount) if amount else None
    return str(amount) if metric in _AS_TEXT else amount


def _parse_query(body: bytes, today: date) -> _Query:
    try:
        asked: object = json.loads(body)
    except ValueError:
        raise _QueryError("the body is not JSON") from None
    if not isinstance(asked, dict):
        raise _QueryError("the body is not an object")
    metrics = _names(asked.get("metrics"), "metric", METRICS)
    if not metrics:
        raise _QueryError("metrics must name at least one metric")
    dimensions = _names(asked.get("dimensions", []), "dimension", DIMENSIONS)
    if len(dimensions) > MAX_DIMENSIONS:
        raise _QueryError(f"at most {MAX_DIMENSIONS} dimensions are allowed")
    granularity = asked.get("granularity")
    if granularity is not None and not (isinstance(granularity, str) and granularity in GRANULARITIES):
        raise _QueryError(f"granularity must be one of: {', '.join(GRANULARITIES)}")
    since, until = _parse_time_range(asked.get("time_range"))
    if since < today - timedelta(days=DAYS_KEPT):
        raise _QueryError(f"time_range.start must be within the last {DAYS_KEPT} days")
    if "provider" in dimensions and since < today - timedelta(days=PROVIDER_DAYS_KEPT):
        raise _QueryError(f"the dimension provider is kept for {PROVIDER_DAYS_KEPT} days only")
    filters = _parse_filters(asked.get("filters", []))
    limit = asked.get("limit", DEFAULT_LIMIT)
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise _QueryError(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    columns = (*metrics, *dimensions, *([] if granularity is None else [f"date__{granularity}"]))
    return _Query(
        metrics,
        dimensions,
        granularity,
        since,
        until,
        filters.get("api_key_id"),
        filters.get("model"),
        _parse_order(asked.get("order_by"), columns),
        limit,
    )


def _names(value: object, kind: str, known: Collection[str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _QueryError(f"{kind}s must be a list")
    for name in value:
        if not isinstance(name, str) or name not in known:
            raise _QueryError(f"unknown {kind} {json.dumps(name)}; known are: {', '.join(known)}")
    return tuple(dict.fromkeys(value))


def _parse_time_range(value: object) -> tuple[date, date]:
    """The first and the last day: the one on which ``end`` falls counts unless it is that day's beginning."""
    if not isinstance(value, dict):
        raise _QueryError("time_range must be an object with start and end")
    start, end = _parse_time(value.get("start"), "start"), _parse_time(value.get("end"), "end")
    if start >= end:
        raise _QueryError("time_range.start must be before time_range.end")
    if end - start > timedelta(days=MAX_DAYS):
        raise _QueryError(f"time_range must be at most {MAX_DAYS} days long")
    return start.date(), (end - timedelta(microseconds=1)).date()


def _parse_time(value: object, name: str) -> datetime:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise _QueryError(f"time_range.{name} must be a time as 2026-11-01T00:00:00Z")


def _parse_filters(value: object) -> dict[str, frozenset[str]]:
    """The values allowed for each field; several filters of one field must all be met."""
    if not isinstance(value, list):
        raise _QueryError("filters must be a list")
    if len(value) > MAX_FILTERS:
        raise _QueryError(f"at most {MAX_FILTERS} filters are allowed")
    allowed: dict[str, frozenset[str]] = {}
    for item in value:
        if not isinstance(item, dict):
            raise _QueryError("a filter must be an object with field, operator and value")
        field, operator, wanted = (item.get(name) for name in ("field", "operator", "value"))
        if not isinstance(field, str) or field not in FILTERS:
            raise _QueryError(f"unknown filter field {json.dumps(field)}; known are: {', '.join(FILTERS)}")
        if operator not in OPERATORS:
            raise _QueryError(f"unknown operator {json.dumps(operator)}; known are: {', '.join(OPERATORS)}")
        texts = wanted if operator == "in" else [wanted]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise _QueryError(f"the filter on {field} must have a text, or a list of texts with in")
        allowed[field] = frozenset(texts) & allowed.get(field, frozenset(texts))
    return allowed


def _parse_order(value: object, columns: Collection[str]) -> tuple[str, bool] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _QueryError("order_by must be an object with field and direction")
    field, direction = value.get("field"), value.get("direction", "desc")
    if not isinstance(field, str) or field not in columns:
        raise _QueryError(f"order_by.field must be one of: {', '.join(columns)}")
    if direction not in ("asc", "desc"):
        raise _QueryError("order_by.direction must be asc or desc")
    return field, direction == "desc"
