"""Everything copied from one database to another: exact, and whole or not at all."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table

from orwatch.domain.runs import Job
from orwatch.errors import LockHeldError, OrwatchError, StoreUnavailableError, StoreUnusableError, UsageError
from orwatch.jobs.db import check as db_check
from orwatch.jobs.db import copy as db_copy
from orwatch.jobs.db.result import DbCopyResult
from orwatch.store.engine import bulk, locks
from orwatch.store.engine.database import open_as_it_is, open_store
from orwatch.store.schema import SCHEMA_REVISION
from orwatch.store.upkeep import copy as store_copy
from tests.databases import content, filled
from tests.postgres import PostgresServer
from tests.store.support import add_key, execute, file_size_limit, run_python, start_python, write
from tests.support import NOW, FakeClock, usage_answer, usage_row

KINDS = ("sqlite", "postgres")
NewUrl = Callable[[str], str]


def silent(_doing: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def copy(source: str, target: str) -> DbCopyResult:
    return db_copy.run(source, target, FakeClock(), silent)


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewUrl]:
    """Names databases in which nothing was ever created; on PostgreSQL they exist."""
    with ExitStack() as databases:

        def name_one(kind: str) -> str:
            if kind == "postgres":
                server: PostgresServer = request.getfixturevalue("postgres")
                return databases.enter_context(server.database())
            return f"sqlite:///{tempfile.mkdtemp(dir=tmp_path)}/orwatch.db"

        yield name_one


@pytest.fixture
def source(new_url: NewUrl, filled_file: Path) -> str:
    """A SQLite database with something of everything in it."""
    url = new_url("sqlite")
    shutil.copy(filled_file, url.removeprefix("sqlite:///"))
    return url


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_copy, "ROWS_PER_CHUNK", 7)


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_holds_all_that_the_source_holds_and_so_does_a_copy_of_it(
    source: str, new_url: NewUrl, kind: str
) -> None:
    before = content(source)
    there, back = new_url(kind), new_url("sqlite")

    result = copy(source, there)
    copy(there, back)

    assert result.tables.items() <= {table: len(rows) for table, rows in before.items()}.items()
    assert all(before[table] for table in result.tables), "the source has an empty table"
    assert content(source) == before
    assert content(there) == before
    assert content(back) == before
    assert not db_check.run(there).findings


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_written_to_like_any_other_database(source: str, new_url: NewUrl, kind: str) -> None:
    target = new_url(kind)
    copy(source, target)
    for url in (source, target):
        with closing(open_store(url, NOW)) as store:
            key = add_key(store, "new")
            write(store, usage_answer(usage_row(model="new/model", provider="new")), key.id)
            with locks.job_lock(store, Job.SYNC, FakeClock()):
                pass
    assert content(target) == content(source)


def test_the_line_for_the_env_file_has_no_password(source: str, postgres: PostgresServer) -> None:
    with postgres.database() as url:
        result = copy(source, url.replace("postgres:@", "postgres:s3cret@"))
    assert result.setting.startswith("ORWATCH_DATABASE_URL=postgresql+psycopg://postgres:PASSWORD@")
    assert "s3cret" not in repr(result)


# Stopped

KILLED = """
import os, signal, sys
from orwatch.jobs.db import copy as db_copy
from orwatch.store.upkeep import copy as store_copy
from tests.support import FakeClock
source, target, moment = sys.argv[1:]
store_copy.ROWS_PER_CHUNK = 40
calls = 0
def count(*_):
    global calls
    calls += 1
    if str(calls) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
db_copy.run(source, target, FakeClock(), count)
print(calls)
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How often a copy of such a database shows its progress; the last time all but its end is done."""
    folder = tmp_path_factory.mktemp("calls")
    with filled(f"sqlite:///{folder}/source.db"):
        pass
    done = run_python(KILLED, f"sqlite:///{folder}/source.db", f"sqlite:///{folder}/target.db", "never")
    assert done.stderr == ""
    return int(done.stdout)


def assert_nothing_is_there(target: str, new_url: NewUrl) -> None:
    new = new_url("sqlite")
    open_store(new, NOW).close()
    assert content(target) == content(new)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_is_killed_leaves_nothing_and_the_next_one_begins_anew(
    source: str, new_url: NewUrl, kind: str, calls: int
) -> None:
    moments = [1, *random.Random(20261120).sample(range(2, calls), 2), calls]
    target = new_url(kind)
    for moment in moments:
        done = run_python(KILLED, source, target, str(moment))
        assert (done.returncode, done.stderr) == (-9, ""), moment
        assert_nothing_is_there(target, new_url)

    copy(source, target)

    assert content(target) == content(source)


def test_a_copy_that_is_killed_at_any_time_is_whole_or_not_there(source: str, new_url: NewUrl) -> None:
    chance = random.Random(20261121)
    for _ in range(3):
        target = new_url("sqlite")
        with start_python(KILLED, source, target, "never") as process:
            timer = threading.Timer(chance.uniform(0.2, 1.5), process.kill)
            timer.start()
            process.communicate(timeout=60)
            timer.cancel()
        open_store(target, NOW).close()
        if content(target) != content(source):
            assert_nothing_is_there(target, new_url)
            copy(source, target)
        assert content(target) == content(source)


def test_a_copy_to_a_full_disk_leaves_nothing(source: str, new_url: NewUrl) -> None:
    target = new_url("sqlite")
    open_store(target, NOW).close()
    with file_size_limit(50_000), pytest.raises(StoreUnavailableError, match="is its disk full"):
        copy(source, target)
    assert_nothing_is_there(target, new_url)
    copy(source, target)
    assert content(target) == content(source)


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_that_differs_is_found_and_undone(
    source: str, new_url: NewUrl, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = new_url(kind)

    def insert_wrongly(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        insert(connection, table, rows[1:] if table.name == "usage_spans" else rows)

    with monkeypatch.context() as patch:
        insert = bulk.insert
        patch.setattr(bulk, "insert", insert_wrongly)
        with pytest.raises(OrwatchError, match=r"differs from .* in usage_spans: .*Nothing was copied"):
            copy(source, target)
    assert_nothing_is_there(target, new_url)
    copy(source, target)
    assert content(target) == content(source)


# Refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_holds_data_is_refused_and_not_touched(source: str, new_url: NewUrl, kind: str) -> None:
    target = new_url(kind)
    copy(source, target)
    before = content(target)
    with pytest.raises(StoreUnusableError, match=r"holds data already.*nothing was changed"):
        copy(source, target)
    assert content(target) == before


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO providers (id, name) VALUES (1, 'a')",
        "UPDATE ledger_state SET kept_from = 1",
        "INSERT INTO request_log (started_at_ms) VALUES (1)",
    ],
)
def test_a_single_row_is_data(source: str, new_url: NewUrl, statement: str) -> None:
    target = new_url("sqlite")
    with closing(open_store(target, NOW)) as store:
        execute(store, statement)
    with pytest.raises(StoreUnusableError, match="holds data already"):
        copy(source, target)


def test_a_target_with_an_older_schema_is_refused_and_not_touched(source: str, new_url: NewUrl) -> None:
    target = new_url("sqlite")
    with closing(open_store(target, NOW)) as store:
        execute(store, "UPDATE alembic_version SET version_num = '0002'")
    with pytest.raises(StoreUnusableError, match=f"schema 0002, this version's is {SCHEMA_REVISION}"):
        copy(source, target)
    assert content(target)["alembic_version"] == [("0002",)]


def test_a_database_is_not_copied_to_itself(source: str, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(source.removeprefix("sqlite:///"))
    for target in (source, f"sqlite:///{link}"):
        with pytest.raises(UsageError, match="the database itself"):
            copy(source, target)


def test_a_database_is_not_copied_to_itself_by_another_name(
    source: str, new_url: NewUrl, tmp_path: Path
) -> None:
    link = tmp_path / "hard.db"
    link.hardlink_to(source.removeprefix("sqlite:///"))
    with pytest.raises(UsageError, match="the database itself"):
        copy(source, f"sqlite:///{link}")

    server = new_url("postgres")
    copy(source, server)
    with pytest.raises(UsageError, match="the database itself"):
        copy(server, f"{server}{'&' if '?' in server else '?'}application_name=another")


def test_rows_that_refer_to_nothing_are_not_copied(source: str, new_url: NewUrl) -> None:
    target = new_url("sqlite")
    with closing(sqlite3.connect(source.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("UPDATE usage_stats SET api_key_id = 999 WHERE api_key_id = 1")
    with pytest.raises(
        StoreUnusableError, match=r"usage_stats refer to .* do not exist.*nothing was changed"
    ):
        copy(source, target)
    assert not Path(target.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize("kind", ["folder", "somebody else's", "no such database"])
def test_what_is_wrong_with_the_target_is_said_of_the_option(
    source: str, new_url: NewUrl, tmp_path: Path, kind: str
) -> None:
    target = f"sqlite:///{tmp_path}/other.db"
    if kind == "folder":
        target = "sqlite:////proc/orwatch/copy.db"
    elif kind == "somebody else's":
        with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
            connection.execute("CREATE TABLE mine (a)")
    else:
        target = new_url("postgres").replace("/orwatch", "/nowhere", 1)
    with pytest.raises(OrwatchError) as caught:
        copy(source, target)
    assert "--to" in str(caught.value)
    assert "ORWATCH_DATABASE_URL" not in str(caught.value)


def test_where_there_is_no_database_nothing_is_created(new_url: NewUrl) -> None:
    source, target = new_url("sqlite"), new_url("sqlite")
    with pytest.raises(StoreUnusableError, match="there is no database"):
        copy(source, target)
    assert [list(Path(url.removeprefix("sqlite:///")).parent.iterdir()) for url in (source, target)] == [
        [],
        [],
    ]


@pytest.mark.parametrize("job", Job)
def test_while_a_job_runs_nothing_is_copied(source: str, new_url: NewUrl, job: Job) -> None:
    target = new_url("sqlite")
    with (
        closing(open_store(source, NOW)) as store,
        locks.job_lock(store, job, FakeClock()),
        pytest.raises(LockHeldError, match=f"another {job} of this database is running"),
    ):
        copy(source, target)
    assert not Path(target.removeprefix("sqlite:///")).exists()


def test_while_it_is_copied_no_job_of_either_database_runs(source: str, new_url: NewUrl) -> None:
    target = new_url("sqlite")
    held: set[bool] = set()

    def look(_doing: str, _done: int, _total: int) -> None:
        for url in (source, target):
            with closing(open_as_it_is(url)) as store:
                held.update(locks.is_held(store, job) for job in Job)

    db_copy.run(source, target, FakeClock(), look)
    assert held == {True}
