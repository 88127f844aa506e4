"""``POST /analytics/query``: what it refuses, and the quirks of what it answers."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from orwatch.demo.analytics import DEFAULT_LIMIT, METRICS
from orwatch.demo.catalog import MODELS
from orwatch.demo.usage import usage_of
from tests.demo.support import (
    CI_KEY,
    CI_LAB_KEY,
    LEAVER,
    PERMASLUG,
    PRODUCTION_KEY,
    RESEARCH_KEY,
    analytics,
    api_of,
    assert_error,
    by_key,
    data_of,
    get,
    post,
    query_body,
    summed,
    time_range,
    used,
)
from tests.support import TODAY

MONTH = time_range(TODAY - timedelta(days=30), TODAY)
FULL_START = "2026-11-01T00:00:00Z"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["cost"]}, 'unknown metric "cost"'),
        ({"metrics": [["request_count"]]}, "unknown metric"),
        ({"metrics": []}, "metrics must name at least one"),
        ({"metrics": None}, "metrics must be a list"),
        ({"dimensions": ["colour"]}, 'unknown dimension "colour"'),
        ({"dimensions": "model"}, "dimensions must be a list"),
        ({"dimensions": ["model", "api_key_id", "workspace"]}, "at most 2 dimensions"),
        ({"granularity": "fortnight"}, "granularity must be one of"),
        ({"granularity": ["day"]}, "granularity must be one of"),
        ({"time_range": None}, "time_range must be an object"),
        ({"time_range": {"start": FULL_START}}, "time_range.end must be a time"),
        ({"time_range": {"start": "2026-11-01", "end": FULL_START}}, "time_range.start must be a time"),
        ({"time_range": {"start": "2026-11-31T00:00:00Z", "end": FULL_START}}, "time_range.start must be"),
        ({"time_range": {"start": FULL_START, "end": FULL_START}}, "must be before"),
        ({"limit": 0}, "limit must be"),
        ({"limit": 10_001}, "limit must be"),
        ({"limit": True}, "limit must be"),
        ({"limit": "10"}, "limit must be"),
        ({"filters": {}}, "filters must be a list"),
        ({"filters": ["model"]}, "a filter must be an object"),
        ({"filters": by_key("eq", "a") * 21}, "at most 20 filters"),
        ({"time_range": {"start": "2026-11-01T00:00Z", "end": FULL_START}}, "time_range.start must be"),
        ({"filters": [{"field": "colour", "operator": "eq", "value": "red"}]}, "unknown filter field"),
        ({"filters": by_key("like", "a")}, "unknown operator"),
        ({"filters": by_key("eq", 1)}, "the filter on api_key_id"),
        ({"filters": by_key("in", "a")}, "the filter on api_key_id"),
        ({"order_by": "request_count"}, "order_by must be an object"),
        ({"order_by": {"field": "cached_tokens"}}, "order_by.field must be one of"),
        ({"order_by": {"field": "model", "direction": "up"}}, "order_by.direction"),
    ],
)
def test_a_query_that_makes_no_sense_gets_400_and_is_told_why(
    changes: dict[str, object], message: str
) -> None:
    assert_error(post(api_of(), query_body(**changes)), 400, message)


@pytest.mark.parametrize(
    ("body", "message"), [(b"", "not JSON"), (b"\xff", "not JSON"), (b"[]", "not an object")]
)
def test_a_body_that_is_no_object_gets_400(body: bytes, message: str) -> None:
    assert_error(post(api_of(), body), 400, message)


@pytest.mark.parametrize(("days", "status"), [(365, 200), (366, 400)])
def test_days_are_kept_for_a_year(days: int, status: int) -> None:
    body = query_body(time_range=time_range(TODAY - timedelta(days=days), TODAY))
    assert post(api_of(), body).status == status


@pytest.mark.parametrize(("days_to_come", "status"), [(1, 200), (2, 400)])
def test_more_than_367_days_are_too_many_at_once(days_to_come: int, status: int) -> None:
    window = time_range(TODAY - timedelta(days=365), TODAY + timedelta(days=days_to_come))
    answer = post(api_of(), query_body(time_range=window))
    assert answer.status == status
    if status == 400:
        assert_error(answer, 400, "time_range must be at most 367 days long")


@pytest.mark.parametrize(("days", "status"), [(31, 200), (32, 400)])
def test_the_provider_is_kept_for_thirty_one_days(days: int, status: int) -> None:
    body = query_body(
        dimensions=["model", "provider"], time_range=time_range(TODAY - timedelta(days=days), TODAY)
    )
    assert post(api_of(), body).status == status


def test_today_is_included_and_the_end_is_exclusive() -> None:
    api = api_of()
    assert max(row["date__day"] for row in analytics(api)) == f"{TODAY}T00:00:00Z"
    until_today = {"start": MONTH["start"], "end": f"{TODAY}T00:00:00Z"}
    assert max(row["date__day"] for row in analytics(api, time_range=until_today)) == (
        f"{TODAY - timedelta(days=1)}T00:00:00Z"
    )


def test_days_to_come_have_no_rows() -> None:
    rows = analytics(api_of(), time_range=time_range(TODAY, TODAY + timedelta(days=30)))
    assert {row["date__day"] for row in rows} == {f"{TODAY}T00:00:00Z"}


def test_a_time_in_another_zone_is_understood() -> None:
    api = api_of()
    zoned = {"start": "2026-11-10T02:00:00+02:00", "end": "2026-11-10T23:00:00-01:00"}
    assert analytics(api, time_range=zoned) == analytics(
        api, time_range=time_range(date(2026, 11, 10), date(2026, 11, 10))
    )


def test_some_counts_are_texts_and_others_numbers_and_money_is_a_number() -> None:
    row = analytics(api_of(), metrics=list(METRICS), filters=by_key("eq", PRODUCTION_KEY.key_hash))[0]
    texts = {name for name in METRICS if isinstance(row[name], str)}
    assert texts == {"request_count", "tokens_prompt", "reasoning_tokens"}
    assert all(isinstance(row[name], Decimal) for name in ("tokens_completion", "total_usage"))


def test_money_that_was_not_used_is_null() -> None:
    api = api_of()
    metrics = ["total_usage", "credits_usage", "byok_usage"]
    for key, unused in ((PRODUCTION_KEY, "byok_usage"), (RESEARCH_KEY, "credits_usage")):
        rows = analytics(api, metrics=metrics, dimensions=[], filters=by_key("eq", key.key_hash))
        assert {row[unused] for row in rows} == {None}
        assert all(row["total_usage"] > 0 for row in rows)


def test_total_usage_is_credits_and_byok_together() -> None:
    rows = analytics(api_of(), metrics=["total_usage", "credits_usage", "byok_usage"])
    for row in rows:
        assert Decimal(row["total_usage"] or 0) == sum(
            Decimal(row[name] or 0) for name in ("credits_usage", "byok_usage")
        )


def test_two_keys_of_one_name_are_one_row() -> None:
    api = api_of()
    hashes = [CI_KEY.key_hash, CI_LAB_KEY.key_hash]
    both = analytics(api, dimensions=["api_key_id"], filters=by_key("in", hashes))
    each = [analytics(api, dimensions=["api_key_id"], filters=by_key("eq", one)) for one in hashes]
    assert {row["api_key_id"] for row in both} == {"ci"}
    assert len({row["date__day"] for row in both}) == len(both)
    assert summed(both, "request_count", "total_usage") == summed(
        each[0] + each[1], "request_count", "total_usage"
    )


def test_a_key_is_named_by_its_current_name_and_the_chat_room_by_its_label() -> None:
    api = api_of()
    api.rename(PRODUCTION_KEY.key_hash, "shop")
    rows = analytics(api, dimensions=["api_key_id"])
    assert {row["api_key_id"] for row in rows} == {
        *("shop", "ci", "research", "newcomer", "leaver", "idle", "Chatroom"),
    }


def test_a_filter_on_keys_takes_the_hash_and_not_the_name() -> None:
    api = api_of()
    assert analytics(api, filters=by_key("eq", "production")) == []
    assert analytics(api, filters=by_key("eq", PRODUCTION_KEY.key_hash))


def test_a_hash_that_cannot_be_resolved_is_a_warning_and_no_error() -> None:
    api = api_of()
    unknown = "0" * 64
    some = data_of(post(api, query_body(filters=by_key("in", [CI_KEY.key_hash, unknown]))))
    assert some["warnings"] == [f"Could not resolve api_key_id hash: {unknown}"]
    assert some["data"] == analytics(api, filters=by_key("eq", CI_KEY.key_hash))
    known = data_of(post(api, query_body(filters=by_key("in", [CI_KEY.key_hash, LEAVER.key_hash]))))
    assert "warnings" not in known


def test_a_key_that_bears_the_chat_rooms_label_is_one_row_with_it_unless_it_is_asked_for() -> None:
    api = api_of()
    api.rename(CI_KEY.key_hash, "Chatroom")
    metrics = ["request_count", "total_usage"]
    both = [row for row in analytics(api, dimensions=["api_key_id"]) if row["api_key_id"] == "Chatroom"]
    own = analytics(api, dimensions=["api_key_id"], filters=by_key("eq", CI_KEY.key_hash))
    assert {row["api_key_id"] for row in own} == {"Chatroom"}
    assert 0 < summed(own, *metrics)["request_count"] < summed(both, *metrics)["request_count"]


def test_all_that_meta_lists_can_be_asked_for() -> None:
    api = api_of()
    meta = data_of(get(api, "/analytics/meta"))
    names = {kind: [item["name"] for item in items] for kind, items in meta.items()}
    for dimension in names["dimensions"]:
        for granularity in names["granularities"]:
            assert analytics(api, metrics=names["metrics"], dimensions=[dimension], granularity=granularity)
    assert [(item["name"], item["value_type"]) for item in meta["operators"]] == [
        ("eq", "scalar"),
        ("in", "array"),
    ]


def test_a_deleted_key_can_still_be_asked_for() -> None:
    rows = analytics(api_of(), filters=by_key("eq", LEAVER.key_hash))
    assert rows
    assert max(row["date__day"][:10] for row in rows) < f"{LEAVER.deleted_on}"


def test_the_model_is_the_permaslug_in_rows_and_filters() -> None:
    api = api_of()
    assert {row["model"] for row in analytics(api)} <= {model.permaslug for model in MODELS.values()}
    for operator, value in (("eq", PERMASLUG), ("in", [PERMASLUG])):
        rows = analytics(api, filters=[{"field": "model", "operator": operator, "value": value}])
        assert {row["model"] for row in rows} == {PERMASLUG}
    plain = [{"field": "model", "operator": "eq", "value": "openai/gpt-4.1"}]
    assert analytics(api, filters=plain) == []


def test_filters_must_all_be_met() -> None:
    api = api_of()
    one = by_key("eq", CI_KEY.key_hash)
    two = by_key("in", [CI_KEY.key_hash, PRODUCTION_KEY.key_hash])
    assert analytics(api, filters=one + two) == analytics(api, filters=two + one)
    assert analytics(api, filters=one + two) == analytics(api, filters=one)


def test_workspaces_are_told_by_name() -> None:
    rows = analytics(api_of(), dimensions=["workspace"], granularity=None)
    assert [row["workspace"] for row in rows] == ["Default", "Laboratory"]


def test_a_breakdown_by_provider_adds_up_to_the_one_without() -> None:
    api = api_of()
    fields = ("request_count", "tokens_prompt", "tokens_completion", "reasoning_tokens", "cached_tokens")
    metrics = [*fields, "total_usage"]
    by_provider = analytics(api, metrics=metrics, dimensions=["provider", "model"])
    assert summed(by_provider, *metrics) == summed(analytics(api, metrics=metrics), *metrics)
    assert {"OpenAI", "Azure", "Anthropic"} <= {row["provider"] for row in by_provider}


@pytest.mark.parametrize(
    ("granularity", "buckets"),
    [
        ("month", {"2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"}),
        # Its weeks begin on Sunday.
        ("week", {f"{date(2026, 10, 18) + timedelta(weeks=count)}T00:00:00Z" for count in range(5)}),
    ],
)
def test_longer_buckets_are_named_by_their_first_day_and_add_up(granularity: str, buckets: set[str]) -> None:
    api = api_of()
    rows = analytics(api, granularity=granularity)
    assert {row[f"date__{granularity}"] for row in rows} == buckets
    assert summed(rows, "request_count", "total_usage") == summed(
        analytics(api), "request_count", "total_usage"
    )


def test_without_a_granularity_there_is_no_bucket() -> None:
    api = api_of()
    (row,) = analytics(api, granularity=None, dimensions=None)
    assert set(row) == {"request_count", "total_usage"}
    assert summed([row], "total_usage") == summed(analytics(api), "total_usage")


def test_more_rows_than_the_limit_are_cut_and_marked_as_truncated() -> None:
    api = api_of()
    rows = analytics(api)
    data = data_of(post(api, query_body(limit=7)))
    assert data["data"] == rows[:7]
    assert data["metadata"] == {"query_time_ms": 12, "row_count": 7, "truncated": True}


def test_exactly_as_many_rows_as_the_limit_are_not_truncated() -> None:
    api = api_of()
    data = data_of(post(api, query_body(limit=len(analytics(api)))))
    assert (data["metadata"]["truncated"], data["metadata"]["row_count"]) == (False, len(data["data"]))


def test_without_a_limit_a_thousand_rows_are_told() -> None:
    year = time_range(TODAY - timedelta(days=364), TODAY)
    api = api_of(history_days=365)
    data = data_of(post(api, query_body(limit=None, time_range=year)))
    assert (len(data["data"]), data["metadata"]["truncated"]) == (DEFAULT_LIMIT, True)


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("field", ["request_count", "total_usage", "model", "date__day"])
def test_the_order_is_the_one_that_was_asked_for(field: str, direction: str) -> None:
    rows = analytics(api_of(), order_by={"field": field, "direction": direction})
    is_number = field in METRICS
    values = [Decimal(row[field] or 0) if is_number else row[field] for row in rows]
    assert values == sorted(values, reverse=direction == "desc")


def test_the_rows_of_a_key_are_its_usage() -> None:
    rows = analytics(
        api_of(),
        metrics=list(METRICS),
        time_range=time_range(TODAY, TODAY),
        filters=by_key("eq", PRODUCTION_KEY.key_hash),
    )
    expected = {MODELS[row.model].permaslug: row for row in usage_of(PRODUCTION_KEY, TODAY)}
    assert {row["model"] for row in rows} == set(expected)
    for row in rows:
        usage = expected[row["model"]]
        assert (row["request_count"], row["tokens_prompt"]) == (f"{usage.requests}", f"{usage.tokens_input}")
        assert (row["tokens_completion"], row["cached_tokens"]) == (usage.tokens_output, usage.tokens_cached)
        assert row["reasoning_tokens"] == f"{usage.tokens_reasoning}"
        assert row["credits_usage"] == (usage.cost_usd or None)


def test_a_longer_window_has_the_days_before_the_month_too() -> None:
    since = TODAY - timedelta(days=80)
    rows = analytics(
        api_of(),
        dimensions=[],
        time_range=time_range(since, TODAY),
        filters=by_key("eq", CI_KEY.key_hash),
    )
    assert summed(rows, "total_usage")["total_usage"] == sum(
        row.cost_usd for row in used(CI_KEY, since, TODAY)
    )
