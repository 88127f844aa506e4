"""Arbitrary answers of OpenRouter that are valid by its own Python client's types, as JSON."""

from __future__ import annotations

import types
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from openrouter import components, errors, operations
from openrouter.types import BaseModel, Nullable, OptionalNullable, UnrecognizedStr
from openrouter.types.basemodel import Unset

from tests.support import NOW, TODAY

Strategy = st.SearchStrategy[Any]

# Real servers' texts would mostly be understood: so are some of these, and the rest is anything at all.
_TEXT = st.text(max_size=8)
# No datetimes(): it does not go with a clock that a test holds still.
_TIMES = st.integers(-9_000, 18_000).map(
    lambda hours_ago: f"{(NOW - timedelta(hours=hours_ago)).isoformat()}"
)
_DAYS = st.integers(-3, 400).map(lambda ago: f"{TODAY - timedelta(days=ago)}")
_MODELS = st.sampled_from(["openai/gpt-4.1", "openai/gpt-4.1-2025-04-14", "a/b:free"])
_IDS = st.sampled_from(["w1", "w2", "w3"])
_TEXTS: Mapping[str, Strategy] = {
    "created_at": _TIMES,
    "updated_at": _TIMES,
    "date": st.one_of(_DAYS, _DAYS.map(lambda day: f"{day} 00:00:00")),
    "id": _IDS,
    "workspace_id": _IDS,
    "model": _MODELS,
    "model_permaslug": _MODELS,
    "canonical_slug": _MODELS,
    "name": st.sampled_from(["ops", "ci", "Chatroom", ""]),
    "limit_reset": st.sampled_from(["daily", "weekly", "monthly"]),
}


def mostly(usual: Strategy, odd: Strategy) -> Strategy:
    """The odd one once in ten times or so."""
    return st.integers(0, 9).flatmap(lambda number: odd if number == 9 else usual)


_USD = mostly(
    st.sampled_from([0.0, 0.015, 2.5, 1e-9, 1e-12]) | st.floats(0, 1000),
    st.sampled_from([-1e-17, -0.5]) | st.floats(allow_nan=False, allow_infinity=False),
)
_COUNTS = mostly(st.integers(0, 5000), st.integers(-(2**70), 2**70))


def answers(model: type[BaseModel], hashes: tuple[str, ...] = ()) -> Strategy:
    """Answers of that type; a ``hash`` in them is mostly one of these."""
    texts = {**_TEXTS, "hash": st.sampled_from(hashes)} if hashes else _TEXTS
    required, optional = {}, {}
    for name, field in model.model_fields.items():
        is_required = field.is_required()
        (required if is_required else optional)[field.alias or name] = _values(
            field.annotation, field.alias or name, texts, hashes
        )
    return st.fixed_dictionaries(required, optional=optional)


def _values(kind: Any, name: str, texts: Mapping[str, Strategy], hashes: tuple[str, ...]) -> Strategy:
    origin, members = get_origin(kind), get_args(kind)
    if origin in (Nullable, OptionalNullable):
        return st.none() | _values(members[0], name, texts, hashes)
    if origin in (Union, types.UnionType):
        return st.one_of(*(_values(each, name, texts, hashes) for each in members if each is not Unset))
    if origin is Literal:
        return st.sampled_from(members)
    if origin is list:
        return st.lists(_values(members[0], name, texts, hashes), max_size=3)
    if origin is dict:
        return st.dictionaries(_TEXT, st.none() | _TEXT, max_size=1)
    if kind in (str, UnrecognizedStr):
        return mostly(texts[name], _TEXT) if name in texts else _TEXT
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return answers(kind, hashes)
    return {
        bool: st.booleans(),
        int: _COUNTS,
        float: _USD | _COUNTS,
        datetime: _TIMES,
        type(None): st.none(),
    }[kind]


_AMOUNT = st.none() | _COUNTS | _USD | _COUNTS.map(str) | _USD.map(str)
_ANALYTICS_ROW = st.fixed_dictionaries(
    {"date__day": _DAYS.map(lambda day: f"{day}T00:00:00Z"), "model": _MODELS | st.none()},
    optional={
        "api_key_id": st.none() | _TEXTS["name"],
        **dict.fromkeys(
            ["request_count", "tokens_prompt", "tokens_completion", "reasoning_tokens", "cached_tokens"],
            _AMOUNT,
        ),
        **dict.fromkeys(["credits_usage", "byok_usage", "total_usage"], st.none() | _USD | _USD.map(str)),
    },
)


@st.composite
def analytics_answers(draw: st.DrawFn) -> Any:
    """Answers to a query by day: of their rows the client's types say nothing but that they are objects."""
    answer = draw(answers(operations.QueryAnalyticsResponse))
    answer["data"]["data"] = draw(st.lists(_ANALYTICS_ROW, max_size=4))
    return answer


@st.composite
def workspace_answers(draw: st.DrawFn) -> Any:
    """Pages of workspaces that mostly count what they list: others are refused."""
    answer = draw(answers(components.ListWorkspacesResponse))
    answer["total_count"] = draw(mostly(st.just(len(answer["data"])), _COUNTS))
    return answer


def account_answers(hashes: tuple[str, ...]) -> dict[str, Strategy]:
    """By the path, what may be answered there."""
    return {
        "/key": answers(operations.GetCurrentKeyResponse),
        "/keys": answers(operations.ListResponse, hashes),
        "/workspaces": workspace_answers(),
        "/workspaces/w1/budgets": answers(components.ListWorkspaceBudgetsResponse),
        "/activity": answers(components.ActivityResponse),
        "/analytics/query": analytics_answers(),
        "/credits": answers(operations.GetCreditsResponse),
        "/models": answers(components.ModelsListResponse),
    }


ERRORS = {
    401: answers(errors.UnauthorizedResponseErrorData),
    402: answers(errors.PaymentRequiredResponseErrorData),
    403: answers(errors.ForbiddenResponseErrorData),
    404: answers(errors.NotFoundResponseErrorData),
    408: answers(errors.RequestTimeoutResponseErrorData),
    429: answers(errors.TooManyRequestsResponseErrorData),
    500: answers(errors.InternalServerResponseErrorData),
    503: answers(errors.ServiceUnavailableResponseErrorData),
}
