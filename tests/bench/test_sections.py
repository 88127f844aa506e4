"""The benchmarks can be run. How fast anything is no test looks at."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.bench.__main__ import LONG_SECTIONS, SECTIONS, measure
from tests.bench.measure import Options, Row, table


@pytest.mark.parametrize("section", SECTIONS + LONG_SECTIONS)
def test_every_section_of_the_benchmarks_can_be_measured(section: str) -> None:
    assert callable(importlib.import_module(f"tests.bench.{section}").measure)


def test_a_section_tells_what_it_has_measured(tmp_path: Path) -> None:
    (row,) = measure("parsing", Options(tmp_path, tmp_path, scale=0.01))

    assert row.figure > 0


def test_a_row_is_compared_with_its_goal() -> None:
    met = Row("a", 1.3, 1.2, beside=1.0)
    allowed = Row("b", 1.3, 1.4, beside=1.0, allowance=0.2)
    missed = Row("c", 0.05, 0.06)

    assert [row.is_met for row in (met, allowed, missed)] == [True, True, False]
    lines = table([met, allowed, missed], {"c": 0.07}).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["pass", "pass", "MISS"]
    assert "50.0 ms  60.0 ms  70.0 ms" in lines[3]
