"""Whatever OpenRouter may answer by its own client's types is read, or is an error that is expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openrouter import components, operations
from openrouter.types import BaseModel

from orwatch.domain.keys import Workspace
from orwatch.errors import TruncatedAnswerError, UnexpectedAnswerError
from orwatch.openrouter.parse import parse_error, parse_key
from orwatch.openrouter.parse_account import (
    parse_activity,
    parse_analytics,
    parse_credits,
    parse_keys,
    parse_models,
    parse_workspace_budgets,
    parse_workspaces,
)
from tests.published import ERRORS, account_answers
from tests.support import TODAY, examples

# The client's own models mark fields of theirs as deprecated, and then warn of themselves.
pytestmark = pytest.mark.filterwarnings(r"ignore:warning. \*\* DEPRECATED \*\*:DeprecationWarning")

SINCE = TODAY - timedelta(days=30)
ANSWERS = account_answers(("a" * 64, "b" * 64))
TYPES: dict[str, type[BaseModel]] = {
    "/key": operations.GetCurrentKeyResponse,
    "/keys": operations.ListResponse,
    "/workspaces": components.ListWorkspacesResponse,
    "/workspaces/w1/budgets": components.ListWorkspaceBudgetsResponse,
    "/activity": components.ActivityResponse,
    "/analytics/query": operations.QueryAnalyticsResponse,
    "/credits": operations.GetCreditsResponse,
    "/models": components.ModelsListResponse,
}
PARSERS: dict[str, Callable[[bytes], object]] = {
    "/key": parse_key,
    "/keys": lambda body: parse_keys(body, {"w1": "Team"}),
    "/workspaces": parse_workspaces,
    "/workspaces/w1/budgets": lambda body: parse_workspace_budgets(body, Workspace("w1", "Team")),
    "/activity": lambda body: parse_activity(body, SINCE, TODAY),
    "/analytics/query": lambda body: parse_analytics(body, SINCE, TODAY, 10_000),
    "/credits": parse_credits,
    "/models": parse_models,
}


@pytest.mark.parametrize("path", PARSERS)
@given(data=st.data())
@settings(max_examples=examples(20))
def test_every_answer_is_read_or_refused_with_a_reason(path: str, data: st.DataObject) -> None:
    answer: Any = data.draw(ANSWERS[path])
    # The client takes it, so it is an answer that OpenRouter may give.
    assert TYPES[path].model_validate(answer)
    with suppress(UnexpectedAnswerError, TruncatedAnswerError):
        assert PARSERS[path](json.dumps(answer).encode()) is not None


@pytest.mark.parametrize("status", ERRORS)
@given(data=st.data())
@settings(max_examples=10)
def test_every_errors_message_is_found(status: int, data: st.DataObject) -> None:
    answer = data.draw(ERRORS[status])
    assert parse_error(json.dumps(answer).encode()) or not answer["error"]["message"].strip()
