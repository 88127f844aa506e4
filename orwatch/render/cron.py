"""The installed schedule as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from orwatch.jobs.cron.result import (
    HOW_TO_GET_CRON,
    NO_CRONTAB,
    CronChange,
    CronEntry,
    CronInstallResult,
    CronPlace,
    CronRemoveResult,
    CronSchedule,
    CronShowResult,
    CronTime,
    CronWarning,
    ScheduleState,
)
from orwatch.render import numbers
from orwatch.render.console import Parts, Screen, as_view
from orwatch.render.json_text import Member, Shape, ok_or_attention
from orwatch.render.tables import Column, make_table
from orwatch.text import printable

_STATES = {
    ScheduleState.INSTALLED: "as this version writes them.",
    ScheduleState.OTHER_SETTINGS: "another set-up's, with the env file {env_file}.",
    ScheduleState.DIFFERS: "not as this version writes them: run `{command}`.",
}
_STYLES = {
    ScheduleState.INSTALLED: "green",
    ScheduleState.DIFFERS: "yellow",
    ScheduleState.OTHER_SETTINGS: "",
}
_UNITS = {CronPlace.SYSTEMD: "Units in "}


@as_view
def view(screen: Screen, result: CronShowResult) -> Parts:
    """Each place with its entries, when they are next due and what they run."""
    shown: list[RenderableType] = []
    for schedule in result.schedules:
        shown += [*([Text()] if shown else []), *_schedule_parts(schedule, screen.width)]
    if result.broken:
        shown += [Text(printable(str(error)), style="red") for error in result.broken]
    elif not result.ours:
        shown += [Text(_not_installed(result), style="yellow")]
    if result.own_lines:
        shown += [Text(printable(f"Lines of your own start orwatch: {', '.join(result.own_lines)}."))]
    return [*shown, *_warning_lines(result.general_warnings)]


def _not_installed(result: CronShowResult) -> str:
    if result.unreadable:
        return "It is not known whether it is installed."
    if any(schedule.place is CronPlace.USER_CRONTAB for schedule in result.schedules):
        return "The jobs of this env file are not installed: remove the others first, as shown above."
    if not result.has_crontab:
        return f"Not installed, and {NO_CRONTAB}. {HOW_TO_GET_CRON}"
    return "Not installed: `orwatch cron install` lets cron run the jobs."


def _schedule_parts(schedule: CronSchedule, width: int) -> list[RenderableType]:
    edited = [entry for entry in schedule.entries if entry.job is None]
    differing = [
        _unbroken(f"! not as this version would write it: {entry.command}", "yellow") for entry in edited
    ]
    place = f"{_UNITS.get(schedule.place, 'Entries in ')}{printable(schedule.location)}: "
    state = _STATES[schedule.state].format(
        command=schedule.place.install_command, env_file=printable(schedule.other_env_file or "")
    )
    shown: list[RenderableType] = [
        Text(f"{place}{state}", style=_STYLES[schedule.state]),
        Text(),
        _table(schedule.entries, width),
        Text(),
        Text("Commands", style="bold"),
        *(_unbroken(f"  {entry.command}") for entry in schedule.entries),
    ]
    notes = [*differing, *_warning_lines(schedule.warnings)]
    return [*shown, Text(), *notes] if notes else shown


def _unbroken(line: str, style: str = "") -> RenderableType:
    """A line that can be copied: the terminal wraps it, and nothing else does."""
    # Of a text that is printed by itself rich forgets that it is not to be wrapped.
    return Group(Text(printable(line), style=style, no_wrap=True, overflow="ignore"))


def _table(entries: Sequence[CronEntry], width: int) -> RenderableType:
    rows = [
        ("" if index else entry.job or "differs", time)
        for entry in entries
        for index, time in enumerate(entry.next_times or (None,))
    ]
    return make_table(
        [
            Column("Job", [name for name, _ in rows], is_word=True),
            Column(
                "Next three times (UTC)", [numbers.moment(time.utc if time else None) for _, time in rows]
            ),
            Column("Local time", [_local(time) for _, time in rows], is_word=True),
        ],
        width,
    )


def _local(time: CronTime | None) -> str:
    return f"{time.local:%Y-%m-%d %H:%M %z}" if time else numbers.UNKNOWN


def _warning_lines(warnings: Sequence[CronWarning]) -> list[RenderableType]:
    return [
        Text(f"! {printable(warning.text)}", style="red" if warning.is_fatal else "yellow")
        for warning in warnings
    ]


def _local_text(time: CronTime) -> str:
    """The same moment in the machine's time zone, with its offset from UTC."""
    return time.local.isoformat(timespec="seconds")


_TIME = Shape(
    CronTime,
    Member("utc", "When it is due."),
    Member("local", "The same in the machine's time zone, with its offset from UTC.", _local_text),
)
_ENTRY = Shape(
    CronEntry,
    Member("job", "The job's name; null where orwatch would not write such an entry."),
    Member("command", "What it runs."),
    Member("next_times", "The next three times.", shape=_TIME),
)
_WARNING = Shape(
    CronWarning,
    Member("text", "What is wrong and what to do."),
    Member("is_fatal", "Whether it keeps the jobs from running."),
)
_SCHEDULE = Shape(
    CronSchedule,
    Member("place", "Where it is kept."),
    Member("location", "The file or folder, in words."),
    Member("state", "Whether it is as this version would write it."),
    Member("entries", "Its entries.", shape=_ENTRY),
)
ANSWER = Shape(
    CronShowResult,
    Member("status", "`attention` where the exit code is not 0.", ok_or_attention),
    Member("state", "What is known of it, in a word; as in `orwatch status`."),
    Member("now", "When this was found."),
    Member("schedules", "Each place in which something is installed.", shape=_SCHEDULE),
    Member("own_lines", "Where lines of your own start orwatch."),
    Member("warnings", "What is wrong.", "all_warnings", _WARNING),
)


_DONE = {
    CronChange.INSTALLED: "Put the three jobs into {location}.",
    CronChange.CORRECTED: "Corrected the three jobs in {location}.",
    CronChange.UNCHANGED: "The three jobs are in {location} as they should be; nothing was changed.",
}
_WOULD = {
    CronChange.INSTALLED: "would put this into {location}; nothing was changed.",
    CronChange.CORRECTED: "would correct {location} to this; nothing was changed.",
    CronChange.UNCHANGED: "this is in {location} already; nothing was changed.",
}


def install_sentence(result: CronInstallResult) -> str:
    """What was done, or would be."""
    sentences = _WOULD if result.is_dry_run else _DONE
    return sentences[result.change].format(location=printable(result.location))


def remove_sentence(result: CronRemoveResult) -> str:
    """What was taken out, or would be."""
    if not result.locations:
        return "There was nothing to remove." if not result.warnings else "Nothing was removed."
    done = "Would remove" if result.is_dry_run else "Removed"
    return f"{done} the three jobs from {printable(', '.join(result.locations))}."
