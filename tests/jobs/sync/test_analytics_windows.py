"""Windows of analytics: how long they are, how they are split, and whose the rows are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import pytest
import respx
from hypothesis import given, settings
from hypothesis import strategies as st

from orwatch.domain.keys import KeyFacts, KeyKind, Listing, StoredKey
from orwatch.errors import ApiError, TruncatedAnswerError
from orwatch.jobs.sync import analytics_windows
from orwatch.jobs.sync.analytics_windows import Window, WindowReader, expected_rows_per_day
from tests.jobs.support import make_client
from tests.jobs.sync.account_server import AccountServer
from tests.support import API_URL, NOW, TODAY, FakeClock, examples, secret_of, stored_key


def members(server: AccountServer) -> list[StoredKey]:
    """The keys of the account as they are stored."""
    return [
        stored_key(
            id=number,
            key_hash=key.key_hash,
            listing=Listing(99, key.name, None, False, key.created_at, NOW if key.is_deleted else None),
        )
        for number, key in enumerate(server.keys.values())
    ]


def read(server: AccountServer, since: date, until: date, rows_per_day: int = 1) -> Iterator[Window]:
    with respx.mock(base_url=API_URL, assert_all_called=False) as router, make_client(server.clock) as client:
        router.route().mock(side_effect=server)
        reader = WindowReader(client, secret_of("boss"), members(server))
        reader.rows_per_day = Fraction(rows_per_day)
        yield from reader.read(since, until)


@pytest.fixture
def server(clock: FakeClock) -> AccountServer:
    return AccountServer(clock)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_the_first_guess_counts_the_keys_that_were_in_use_this_month() -> None:
    spent = [None, 0, 5]
    keys = [stored_key(facts=KeyFacts(KeyKind.INFERENCE, usage_monthly_usd=each)) for each in spent]
    assert expected_rows_per_day(keys) == 12
    assert expected_rows_per_day([]) == 0


def test_windows_go_back_from_the_last_day_and_leave_no_day_out(server: AccountServer) -> None:
    found = [(window.since, window.until) for window in read(server, ago(20), TODAY, rows_per_day=2000)]
    assert found[0] == (ago(2), TODAY)
    assert [until for _, until in found[1:]] == [since - timedelta(days=1) for since, _ in found[:-1]]
    assert found[-1][0] == ago(20)


def test_an_account_without_use_is_one_question(server: AccountServer) -> None:
    (window,) = read(server, ago(364), TODAY, rows_per_day=0)
    assert (window.account, window.keys) == ((), {})


def test_no_question_is_asked_of_no_days(server: AccountServer) -> None:
    assert list(read(server, TODAY, ago(1))) == []
    assert server.requests == []


def test_a_truncated_answer_is_halved_the_later_half_first(server: AccountServer) -> None:
    red = server.create("red", created_at=NOW - timedelta(days=99))
    for days in range(4):
        server.use(red, day=ago(days))
    server.max_rows = 2
    found = [(window.since, window.until) for window in read(server, ago(3), TODAY)]
    assert found == [(ago(1), TODAY), (ago(3), ago(2))]


def test_what_was_whole_before_an_error_stays(server: AccountServer) -> None:
    red = server.create("red", created_at=NOW - timedelta(days=99))
    server.use(red)
    windows = read(server, ago(9), TODAY, rows_per_day=1200)
    assert next(windows).until == TODAY
    server.failing["/analytics/query"] = 402
    with pytest.raises(ApiError):
        list(windows)


def test_a_day_of_one_key_that_does_not_fit_is_an_error(server: AccountServer) -> None:
    red = server.create("red")
    for model in "ab":
        server.use(red, model=model)
    server.max_rows = 1
    with pytest.raises(TruncatedAnswerError):
        list(read(server, TODAY, TODAY))


def test_days_too_full_for_one_answer_are_asked_for_by_as_many_keys_as_the_day_before_says(
    server: AccountServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MAX_ANALYTICS_ROWS", 20), ("_WANTED_ROWS", 12), ("_FULL_ROWS", 18)):
        monkeypatch.setattr(analytics_windows, name, value)
    server.max_rows = 20
    for number in range(10):
        key_hash = server.create(f"key {number}", created_at=NOW - timedelta(days=99))
        for model in "abcde":
            for days in range(3):
                server.use(key_hash, model=model, day=ago(days))
    requests = []
    for window in read(server, ago(2), TODAY, rows_per_day=60):
        assert sum(map(len, window.keys.values())) == 50
        requests.append(len(server.requests))
    # The account as a whole, five keys (too many), and five times two; then the whole and four parts a day.
    assert requests == [7, 12, 17]


NAMES = st.sampled_from(["red", "blue", "green"])


@given(
    st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from("ab")), max_size=20),
    st.integers(2, 12),
)
@settings(max_examples=examples(40))
def test_however_answers_are_cut_each_row_is_found_once_and_with_its_key(
    keys: list[tuple[str, bool]], uses: list[tuple[int, int, str]], max_rows: int
) -> None:
    server = AccountServer(FakeClock())
    hashes: list[str | None] = [
        server.create(name, created_at=NOW - timedelta(days=99), is_deleted=is_deleted)
        for name, is_deleted in keys
    ]
    hashes.append(None)
    for days, number, model in uses:
        server.use(hashes[number % len(hashes)], 10**9 + number, model=model, day=ago(days))
    server.max_rows = max_rows
    found = list(read(server, ago(6), TODAY))
    days_told = [
        window.since + timedelta(days=number)
        for window in found
        for number in range((window.until - window.since).days + 1)
    ]
    assert sorted(days_told) == [ago(days) for days in range(6, -1, -1)]
    for number, key_hash in enumerate(hashes[:-1]):
        rows = [row for window in found for row in window.keys.get(number, ())]
        assert sum(row.cost_usd for row in rows) * 10**9 == server.spent(key_hash=key_hash).cost_nano
    whole = sum(row.cost_usd for window in found for row in window.account)
    assert whole * 10**9 == server.spent().cost_nano


def test_keys_whose_creation_is_not_told_are_found_as_well(server: AccountServer) -> None:
    red = server.create("red")
    server.use(red, day=ago(3))
    (key,) = members(server)
    assert key.listing is not None
    unknown = replace(key, listing=replace(key.listing, created_at=None))
    with respx.mock(base_url=API_URL) as router, make_client(server.clock) as client:
        router.route().mock(side_effect=server)
        (window,) = WindowReader(client, secret_of("boss"), [unknown]).read(ago(3), TODAY)
    assert [row.day for row in window.keys[key.id]] == [ago(3)]
