"""What judging the alerts adds to a sync: 1,000 keys with limits, 50 budgets, 60 days of usage."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from itertools import cycle, islice

from orwatch.domain.budgets import DEFAULT_WARN_PERCENT, Budget, Per, Scope
from orwatch.domain.keys import Credits
from orwatch.jobs.alert.judge import judge
from orwatch.jobs.alert.result import WatchRules
from orwatch.store import budgets
from orwatch.store.engine.database import Store, open_store
from orwatch.store.keys import accounts
from orwatch.store.ledger import rollups
from orwatch.store.schema import to_day_number
from tests.bench.measure import NOW, TODAY, Options, Row, work_seconds

_KEYS, _BUDGETS, _DAYS, _MODELS = 1000, 50, 60, 20
_GOAL_SECONDS = 0.015
_SCOPES = (
    Scope(),
    Scope(key_ids=tuple(range(2, 12))),
    Scope(models=("maker1/*",)),
    Scope(workspaces=("w3",)),
    Scope(key_ids=(5,), models=("maker2/*",)),
)


def measure(options: Options) -> list[Row]:
    """The processor time of a judging that finds nothing new, as nearly all do."""
    with closing(open_store(f"sqlite:///{options.folder / 'judging.db'}", NOW)) as store:
        _fill(store, options.scaled(_KEYS))
        judge(store, NOW, WatchRules())
        rounds = 20 if options.scale == 1 else 1
        seconds = min(work_seconds(lambda: judge(store, NOW, WatchRules())) for _ in range(rounds))
    return [Row("judging the alerts of 1,000 keys and 50 budgets", _GOAL_SECONDS, seconds)]


def _fill(store: Store, key_count: int) -> None:
    today = to_day_number(TODAY)
    keys = f"WITH RECURSIVE n(i) AS (VALUES(2) UNION ALL SELECT i + 1 FROM n WHERE i <= {key_count})"
    with store.write() as connection:
        for statement in (
            "INSERT INTO api_keys (id, name, key_hash, hint, is_active, created_at, kind, secret_encrypted, "
            "synced_through, last_synced_at) "
            f"VALUES (1, 'ops', 'ops', '', 1, 0, 'management', 'x', {today}, {int(NOW.timestamp())})",
            f"{keys} INSERT INTO api_keys (id, name, key_hash, hint, is_active, created_at, kind, "
            "account_key_id, workspace, listed_created_at, limit_nano, limit_remaining_nano, limit_reset, "
            "facts_read_at, synced_through, last_synced_at) SELECT i, printf('key %d', i), "
            "printf('%064x', i), '', 1, 0, 'inference', 1, printf('w%d', i % 20), 0, 50000000000, "
            "CASE i % 50 WHEN 0 THEN 2000000000 ELSE 30000000000 END, 'monthly', "
            f"{int(NOW.timestamp())}, {today}, {int(NOW.timestamp())} FROM n",
            f"{keys} INSERT INTO models (id, name) SELECT i, printf('maker%d/model-%d', i % 9, i) FROM n "
            f"LIMIT {_MODELS}",
            f"{keys}, d(d) AS (VALUES({today - _DAYS + 1}) UNION ALL SELECT d + 1 FROM d WHERE d < {today}), "
            "m(m) AS (VALUES(0) UNION ALL SELECT m + 1 FROM m WHERE m < 2) INSERT INTO usage_stats "
            f"SELECT d, i, (i * 7 + m) % {_MODELS} + 2, 0, 5, 1000, 200, 0, NULL, "
            "(d * 7919 + i * 15485863) % 400000000, NULL FROM d CROSS JOIN n CROSS JOIN m",
            "INSERT INTO usage_days (date, api_key_id, source, read_at) "
            "SELECT DISTINCT date, api_key_id, 'analytics', 0 FROM usage_stats",
        ):
            connection.exec_driver_sql(statement)
        rollups.put_in(connection, rollups.Part(range(today - _DAYS + 1, today + 1)))
        accounts.update_account(connection, 1, backfilled_from=TODAY - timedelta(days=365))
        accounts.record_credits(connection, 1, Credits(Decimal(10**7), Decimal(10**6)), NOW)
        for number, (scope, per) in enumerate(islice(zip(cycle(_SCOPES), cycle(Per)), _BUDGETS)):
            budget = Budget(0, f"b{number}", Decimal(10**6), per, scope, DEFAULT_WARN_PERCENT, False, NOW)
            budgets.insert_budget(connection, budget)
