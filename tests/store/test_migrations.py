"""The migrations and the tables that the code believes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Inspector, create_engine, inspect

from orwatch.store.engine.database import Store
from orwatch.store.schema import KNOWN_REVISIONS, SCHEMA_REVISION, metadata
from tests.store.support import dump, sqlite_only
from tests.support import NOW


@pytest.fixture
def declared(another_url: Callable[[], str], engine: str) -> Iterator[Connection]:
    """A database whose tables were made from their declarations, without any migration."""
    made = create_engine(another_url() if engine == "postgres" else "sqlite://")
    with made.connect() as connection:
        metadata.create_all(connection)
        yield connection
    made.dispose()


def indexes(inspector: Inspector, table: str) -> list[tuple[object, ...]]:
    return [
        (
            index["name"],
            index["column_names"],
            index["unique"],
            str(index["dialect_options"].get(f"{inspector.dialect.name}_where")),
        )
        for index in inspector.get_indexes(table)
    ]


def tables_without_row_ids(connection: Connection) -> set[str]:
    rows = connection.exec_driver_sql("PRAGMA table_list").mappings()
    return {row["name"] for row in rows if row["wr"]}


def test_the_migrations_build_the_declared_tables(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, metadata) == []


def test_every_column_key_and_index_is_as_declared(store: Store, declared: Connection) -> None:
    with store.read() as connection:
        migrated, wanted = inspect(connection), inspect(declared)

        for table in metadata.tables:
            assert repr(migrated.get_columns(table)) == repr(wanted.get_columns(table)), table
            assert migrated.get_pk_constraint(table) == wanted.get_pk_constraint(table), table
            assert migrated.get_foreign_keys(table) == wanted.get_foreign_keys(table), table
            assert migrated.get_unique_constraints(table) == wanted.get_unique_constraints(table), table
            assert indexes(migrated, table) == indexes(wanted, table), table


@sqlite_only
def test_the_ledger_is_stored_in_key_order(store: Store, declared: Connection) -> None:
    with store.read() as connection:
        assert (
            tables_without_row_ids(connection)
            == tables_without_row_ids(declared)
            == {
                "usage_stats",
                "usage_days",
                "usage_months",
                "usage_by_key",
                "usage_by_model",
                "usage_spans",
                "key_counters",
                "account_credits",
            }
        )


def test_the_known_revisions_are_those_of_the_migrations_newest_last() -> None:
    config = Config()
    config.set_main_option("script_location", "orwatch.store:migrations")
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_heads() == [SCHEMA_REVISION]
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(KNOWN_REVISIONS)


def test_every_migration_is_a_module_of_the_package() -> None:
    folder = Path(import_module("orwatch.store.migrations.versions").__path__[0])
    modules = sorted(file.stem for file in folder.glob("m*.py"))

    assert tuple(str(int(module[1:5])) for module in modules) == KNOWN_REVISIONS


def test_a_new_database_holds_the_unknown_names_its_birthday_and_nothing_else(store: Store) -> None:
    assert dump(store, "models") == dump(store, "providers") == [(0, None)]
    assert dump(store, "ledger_state") == [(1, int(NOW.timestamp()), None, None, None)]
    assert [table for table in sorted(metadata.tables) if dump(store, table)] == [
        "ledger_state",
        "models",
        "providers",
    ]
