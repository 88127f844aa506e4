"""Reports over ten million rows: the work of each beyond start-up, memory, the size of the file."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

from orwatch.domain.usage import Dimension
from orwatch.jobs.report import run as report_job
from tests.bench.big import big_database, open_big
from tests.bench.measure import TODAY, Options, Row, in_child, peak_memory_mb, work_seconds

_SINGLE = tuple(dimension for dimension in Dimension if dimension is not Dimension.WEEK)
_WINDOWS = {"30 days": TODAY - timedelta(days=29), "all time": None}
_SINGLE_SECONDS = {"30 days": 0.05, "all time": 0.15}
_OTHER_SECONDS = 0.5
_MEMORY_MB = 100
_SIZE_MB = 400


def measure(options: Options) -> list[Row]:
    """By each dimension, by day and model, and by each with a filter; the slowest of several."""
    path = big_database(options)
    seconds, memory_mb = in_child(__name__, "run_reports", str(path), 5 if options.scale == 1 else 1)
    rows = []
    for name in _WINDOWS:
        for dimension in _SINGLE:
            what = f"report by {dimension}, {name}"
            rows.append(Row(what, _SINGLE_SECONDS[name], seconds[what]))
        for by in ("day and model", "any, one key", "any, one model"):
            what = f"report by {by}, {name}"
            rows.append(Row(what, _OTHER_SECONDS, seconds[what]))
    return [
        *rows,
        Row("memory of a process that reports by each of these, one by one", _MEMORY_MB, memory_mb, "MB"),
        Row("database of ten million rows", _SIZE_MB, path.stat().st_size / 10**6, "MB"),
    ]


def run_reports(path: str, rounds: int) -> tuple[dict[str, float], float]:
    """The processor seconds of each report, and the most memory of a process that draws those by one."""
    from orwatch.render import console
    from orwatch.render import report as render

    seconds: dict[str, float] = {}
    with closing(open_big(path)) as store:

        def run(
            name: str,
            window: str,
            *by: Dimension,
            key_names: tuple[str, ...] = (),
            model_globs: tuple[str, ...] = (),
        ) -> None:
            request = report_job.ReportRequest(_WINDOWS[window], TODAY, by, key_names, model_globs)
            best = min(work_seconds(lambda: report_job.run(store, request)) for _ in range(rounds))
            what = f"report by {name}, {window}"
            seconds[what] = max(best, seconds.get(what, 0.0))
            if len(by) == 1:
                console.as_text(render.view(report_job.run(store, request)))

        for window in _WINDOWS:
            for dimension in _SINGLE:
                run(str(dimension), window, dimension)
                run("any, one key", window, dimension, key_names=("key 1",))
                run("any, one model", window, dimension, model_globs=("maker3/model-3",))
        memory_mb = peak_memory_mb()
        for window in _WINDOWS:
            run("day and model", window, Dimension.DAY, Dimension.MODEL)
    return seconds, memory_mb
