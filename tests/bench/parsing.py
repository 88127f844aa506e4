"""An answer of 5,400 rows, from bytes to what the ledger takes, beside the bare parsing of its JSON."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

from orwatch.openrouter.parse import parse_usage
from tests.bench.measure import TODAY, Options, Row, in_turn, work_seconds

_DAYS, _MODELS = 30, 180


def measure(options: Options) -> list[Row]:
    """One row."""
    items = [
        {
            "date": (TODAY - timedelta(days=day)).isoformat(),
            "model": f"maker/model-{model}",
            "requests_count": 5,
            "tokens_input": 12_345,
            "tokens_output": 678,
            "cost": (day * 7_919 + model * 104_729) % 10**9 / 10**9,
        }
        for day in range(_DAYS)
        for model in range(options.scaled(_MODELS))
    ]
    body = json.dumps({"data": items}).encode()
    since = TODAY - timedelta(days=_DAYS - 1)
    parsed, loaded = in_turn(
        lambda: work_seconds(lambda: parse_usage(body, since, TODAY)),
        lambda: work_seconds(lambda: json.loads(body, parse_float=Decimal)),
        options.rounds * 10,
    )
    return [Row("5,400 rows, bytes to models / json.loads", 2.0, parsed, beside=loaded)]
