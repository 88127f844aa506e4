"""Addresses of databases, taken apart and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from orwatch.config.database_url import (
    PostgresAddress,
    describe,
    is_postgres,
    parse_postgres,
    sqlite_path,
    without_password,
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:hunter2@db.example/orwatch", "postgresql://me@db.example:5432/orwatch"),
        ("postgresql://me@db.example:6432/orwatch", "postgresql://me@db.example:6432/orwatch"),
        ("postgres://db.example/orwatch?sslmode=require", "postgresql://db.example:5432/orwatch"),
        ("postgres://me@db/orwatch?password=hunter2", "postgresql://me@db:5432/orwatch"),
        ("postgres://me:hunter2@/orwatch?host=/run/pg", "postgresql://me@/orwatch?host=/run/pg"),
        ("postgres:///orwatch", "postgresql:///orwatch"),
        ("postgres://me:hunter2@[::1]:5433/orwatch", "postgresql://me@[::1]:5433/orwatch"),
        ("postgres://me%40corp:hunter%402@db/or%20watch", "postgresql://me%40corp@db:5432/or%20watch"),
        ("sqlite:////srv/orwatch.db", "/srv/orwatch.db"),
    ],
)
def test_a_database_is_shown_without_its_password(url: str, shown: str) -> None:
    assert describe(url) == shown


def test_an_address_is_taken_apart_into_what_the_driver_wants() -> None:
    address = parse_postgres(
        "postgres://me%40corp:p%40s%2Fs%3F@db:5433/orwatch?sslmode=require&options=-cx%3D1"
    )

    assert address == PostgresAddress(
        "orwatch", "me@corp", "p@s/s?", "db", 5433, (("sslmode", "require"), ("options", "-cx=1"))
    )


def test_no_password_is_in_the_repr() -> None:
    assert "hunter2" not in repr(parse_postgres("postgres://me:hunter2@db/orwatch?sslpassword=hunter2"))


@pytest.mark.parametrize(
    "url",
    [
        *("postgres://me:hunter2@db", "postgres://me:hunter2@db/", "postgres://me:hunter2@db/a/b"),
        *("postgres://me:hun@ter2@db/orwatch", "postgres://me:hun/ter2@db/orwatch"),
        *("postgres://me:hun?ter2@db/orwatch", "postgres://me:hun#ter2@db/orwatch"),
        *("postgres://me:hunter2@db:port/orwatch", "postgres://me:hunter2@[db/orwatch"),
        *("postgres://me:hunter2@db:99999/orwatch", "postgres://me:hunter2@one:1,two:2/orwatch"),
        *("postgres://me:hun ter2@db/orwatch", "postgres://me:hunter2@db/or\x00watch"),
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"^its? ") as refused:
        parse_postgres(url)

    assert "hun" not in str(refused.value)
    assert "ter2" not in str(refused.value)


def test_each_kind_of_database_is_known_by_its_scheme() -> None:
    assert is_postgres("postgresql+psycopg://db/orwatch")
    assert not is_postgres("sqlite:////srv/postgresql.db")
    assert sqlite_path("sqlite:////srv/orwatch.db") == Path("/srv/orwatch.db")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////srv/a:b@c/orwatch.db", "sqlite:////srv/a:b@c/orwatch.db"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql://me:s3cret@host:5433/db", "postgresql://me:PASSWORD@host:5433/db"),
        ("postgresql:///db?host=/run/pg", "postgresql:///db?host=/run/pg"),
        (
            "postgres://me@[::1]/db?sslmode=require&sslpassword=s3cret",
            "postgres://me@[::1]/db?sslmode=require&sslpassword=PASSWORD",
        ),
    ],
)
def test_an_address_is_shown_as_it_was_written_but_for_the_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
