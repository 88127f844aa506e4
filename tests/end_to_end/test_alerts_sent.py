"""Alerts that leave the machine, by the installed program: once, whatever happens, and with no secret."""

from __future__ import annotations

import json
import re
import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from orwatch.demo.server import Answer, FakeServer, Request, Response
from orwatch.domain.alerts.alert import Rule
from tests.end_to_end.support import DEADLINE_SECONDS, Machine, finish, kill, wait_for
from tests.end_to_end.test_postgres import Team
from tests.end_to_end.test_postgres import database as database
from tests.end_to_end.test_postgres import team as team
from tests.jobs.alert.support import silent_server
from tests.jobs.alert.test_command import is_gone
from tests.postgres import PostgresServer
from tests.store.conftest import postgres as postgres

Serve = Callable[[Answer], FakeServer]

# Its only rule finds something.
FINDING = (
    sys.executable,
    "-c",
    "import sys\n"
    "from orwatch.domain.alerts.alert import Finding, Rule\n"
    "from orwatch.jobs.alert import judge\n"
    "summary = '$5.00 of $5.00 are used'\n"
    "judge.RULES = {Rule.LIMIT: lambda _: [Finding(Rule.LIMIT, 'key:1', 'ci', '2026', True, summary, 100)]}\n"
    "sys.argv = sys.argv[1:]\n"
    "from orwatch.__main__ import main\n"
    "main()",
)
# Its calls are given up after a second.
IMPATIENT = (
    sys.executable,
    "-c",
    "import sys\n"
    "from orwatch.jobs.alert import send\n"
    "send.Limits.__init__.__defaults__ = (1.0, 60.0)\n"
    "sys.argv = sys.argv[1:]\n"
    "from orwatch.__main__ import main\n"
    "main()",
)
OFF = ",".join(Rule)  # what is sent here was raised before
HANGING = shlex.join(
    [
        sys.executable,
        "-c",
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "[open(path, 'w').write(f'{os.getpid()}.') for path in sys.argv[1:]]\n"
        "time.sleep(600)",
    ]
)
INSERT = (
    "INSERT INTO alerts (rule, subject, time_window, threshold, name, summary, figures, raised_at, tries) "
    "VALUES ('budget', 'budget:1', '{window}', 80, 'team', '80 % of $99 are spent.', '{{}}', {now}, 0)"
)


def raise_alerts(machine: Machine, *windows: str) -> None:
    """As a run that was killed has left them: stored, and not sent."""
    for window in windows:
        machine.query(INSERT.format(window=window, now="unixepoch()"))


def ids(requests: Sequence[Request]) -> list[int]:
    """The numbers of the alerts that a webhook got."""
    found = []
    for request in requests:
        named = re.search(r"orwatch alert show (\d+)", json.loads(request.body)["message"])
        assert named is not None
        found.append(int(named[1]))
    return found


def received(server: FakeServer) -> list[Request]:
    return [request for _, request in server.received]


def hook(server: FakeServer, word: str = "hook") -> str:
    """The address of a webhook for Apprise, with secrets in it."""
    return server.url.replace("http://", "json://s3cret-user:s3cret-pass@") + f"/{word}"


@pytest.fixture
def watching(synced: Machine) -> Machine:
    """A machine on which nothing raises an alert but the tests."""
    synced.settings["ORWATCH_ALERTS_OFF"] = OFF
    return synced


def on_alert(folder: Path) -> tuple[str, Path]:
    """A command that writes what it gets, a line for each alert, and the file."""
    code = (
        "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + sys.stdin.read().replace('\\n', '') + '\\n')"
    )
    file = folder / "on alert"
    return shlex.join([sys.executable, "-c", code, str(file), 'it\'s "two words" $HOME ']), file


def test_the_run_that_raises_an_alert_sends_it_as_well(synced: Machine, serve: Serve) -> None:
    server = serve(lambda _request: Response(200))
    synced.settings["ORWATCH_NOTIFY_URLS"] = hook(server)
    for command, code in (("sync", 1), ("validate", 0)):
        finished = synced.run(command, "--json", launcher=FINDING)
        assert (finished.code, [alert["id"] for alert in finished.json["alerts"]]) == (code, [1] * code)
    (said,) = (json.loads(request.body) for request in received(server))
    assert said["title"] == "orwatch: ci: $5.00 of $5.00 are used"
    assert finished.stderr == ""


def test_a_sync_sends_what_is_pending_once_and_the_command_gets_what_alert_show_says(
    watching: Machine, serve: Serve, tmp_path: Path
) -> None:
    raise_alerts(watching, "2026-10", "2026-11")
    server = serve(lambda _request: Response(200))
    command, file = on_alert(tmp_path)
    watching.settings |= {"ORWATCH_NOTIFY_URLS": hook(server), "ORWATCH_ON_ALERT": command}
    for job in "sync", "sync", "validate":
        finished = watching.run(job, "--quiet")
        assert (finished.code, finished.stdout, finished.stderr) == (0, "", "")
    assert ids(received(server)) == [1, 2]
    lines = file.read_text().splitlines()
    prefix = 'it\'s "two words" $HOME '
    assert [line.startswith(prefix) for line in lines] == [True, True]
    shown = watching.run("alert", "show", "1", "--json").json
    # When it was made it was not sent.
    assert json.loads(lines[0].removeprefix(prefix)) == {
        **shown,
        "sent_at": None,
        "ended_at": shown["ended_at"],
    }
    assert watching.query("SELECT count(*) FROM alerts WHERE sent_at IS NOT NULL") == [(2,)]


def test_a_run_that_is_killed_while_it_sends_has_the_next_one_send_the_same_again(
    watching: Machine, serve: Serve
) -> None:
    raise_alerts(watching, "2026-11")
    is_reached, is_killed = threading.Event(), threading.Event()

    def hold(_request: Request) -> Response:
        is_reached.set()
        is_killed.wait(DEADLINE_SECONDS)
        return Response(200)

    server = serve(hold)
    watching.settings["ORWATCH_NOTIFY_URLS"] = hook(server)
    process = watching.start("sync", "--quiet")
    assert is_reached.wait(DEADLINE_SECONDS)
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert kill(process)
    is_killed.set()
    assert (b"sync" in words, b"s3cret" in words) == (True, False)
    assert watching.query("SELECT status FROM job_runs ORDER BY id DESC LIMIT 1") == [("ok",)]
    assert watching.query("SELECT sent_at, tries FROM alerts") == [(None, 1)]

    # The other process may yet live: for two minutes it is left to it.
    assert watching.run("sync", "--quiet").code == 0
    assert ids(received(server)) == [1]
    watching.query("UPDATE alerts SET tried_at = tried_at - 120")
    assert watching.run("sync", "--quiet").code == 0
    assert ids(received(server)) == [1, 1]
    assert watching.query("SELECT count(*) FROM alerts WHERE sent_at IS NOT NULL") == [(1,)]


def test_neither_a_server_nor_a_command_that_hangs_keeps_the_run_from_its_end(watching: Machine) -> None:
    raise_alerts(watching, "2026-10", "2026-11")
    with silent_server() as port:
        urls = f"json://127.0.0.1:{port}/a?rto=600 mailto://127.0.0.1:{port}?from=a@b.example&to=a@b.example"
        watching.settings |= {"ORWATCH_NOTIFY_URLS": urls, "ORWATCH_ON_ALERT": HANGING}
        began = time.monotonic()
        finished = watching.run("sync", "--quiet", launcher=IMPATIENT)
        assert time.monotonic() - began < 60
    assert (finished.code, finished.stdout) == (0, "")
    late = "no answer in 1 s"
    error = f"json 1: {late}; mailto 2: {late}; command: took longer than 1 s and was ended"
    assert finished.stderr == (
        f"orwatch: alert 1 could not be sent, and is tried again by the next run: {error} "
        "(`orwatch alert test` tries every destination)\n"
    )
    # All destinations are silent: the second alert has not used up a try.
    assert watching.query("SELECT tries, send_error FROM alerts ORDER BY id") == [(1, error), (0, None)]


def test_a_signal_ends_the_sending_and_the_command_and_leaves_the_job_done(
    watching: Machine, tmp_path: Path
) -> None:
    raise_alerts(watching, "2026-11")
    pid_file = tmp_path / "pid"
    watching.settings["ORWATCH_ON_ALERT"] = f"{HANGING} {shlex.quote(str(pid_file))}"
    process = watching.start("sync", "--quiet")
    wait_for(lambda: pid_file.exists() and pid_file.read_text().endswith("."))
    process.terminate()
    finished = finish(process)
    assert (finished.code, finished.stderr) == (
        143,
        "orwatch: stopped by SIGTERM; the job is done; the next run sends what was not sent.\n",
    )
    assert watching.query("SELECT status FROM job_runs ORDER BY id DESC LIMIT 1") == [("ok",)]
    wait_for(lambda: is_gone(int(pid_file.read_text().rstrip("."))))


def test_two_machines_on_one_database_send_each_alert_once(
    team: Team, database: str, postgres: PostgresServer, server: FakeServer, serve: Serve
) -> None:
    everywhere = serve(lambda _request: Response(200))
    team.settings |= {"ORWATCH_ALERTS_OFF": OFF, "ORWATCH_NOTIFY_URLS": hook(everywhere)}
    machines = [team.machine(name, server.url) for name in ("one", "two", "three")]
    assert machines[0].run("init").code == 0
    for number in range(6):
        postgres.execute(
            INSERT.format(window=f"window {number}", now="extract(epoch FROM now())::bigint"), database
        )
    # One job of each kind runs at a time: these two send at once.
    running = [
        machine.start(job) for machine, job in zip(machines, ("sync", "validate", "sync"), strict=True)
    ]
    for process in running:
        assert finish(process).code in {0, 75}
    assert machines[0].run("sync").code == 0
    assert sorted(ids(received(everywhere))) == [1, 2, 3, 4, 5, 6]


def test_nothing_of_an_address_is_in_any_output_log_or_file_whatever_fails(
    watching: Machine, serve: Serve, tmp_path: Path
) -> None:
    raise_alerts(watching, "2026-11")
    server = serve(lambda request: Response(500, json.dumps(request.path).encode()))
    log_file = tmp_path / "log"
    # From a file, whose name may be seen by all.
    urls = tmp_path / "urls"
    urls.write_text(
        f"{hook(server, 's3cret-path')}\nslack://s3cret-a/s3cret-b\nmailto://s3cret:s3cret1@localhost:1"
    )
    said = []
    for more in {}, {"ORWATCH_LOG_FILE": str(log_file), "ORWATCH_LOG_LEVEL": "DEBUG"}:
        watching.settings |= {
            "ORWATCH_NOTIFY_URLS_FILE": str(urls),
            "ORWATCH_ON_ALERT": "false s3cret",
            **more,
        }
        for words in (
            ("sync", "-v"),
            ("validate", "-v"),
            ("alert", "test"),
            ("alert", "show", "1"),
            ("doctor",),
        ):
            finished = watching.run(*words)
            said.append(finished.stdout + finished.stderr)
    said.append(log_file.read_text())
    stored = json.dumps(watching.query("SELECT * FROM alerts"))
    assert "json 1: " in stored
    for text in [*said, stored]:
        assert "s3cret" not in text
    assert "alert 1 could not be sent, and is tried again by the next run: json 1: " in said[0]


def test_the_test_says_of_each_destination_what_became_of_it_and_stores_nothing(
    watching: Machine, serve: Serve, tmp_path: Path
) -> None:
    none = watching.run("alert", "test")
    assert (none.code, "ORWATCH_NOTIFY_URLS" in none.stderr) == (78, True)
    server = serve(lambda _request: Response(200))
    command, file = on_alert(tmp_path)
    good = {"ORWATCH_NOTIFY_URLS": hook(server), "ORWATCH_ON_ALERT": command}
    finished = watching.run("alert", "test", "--json", **good)
    assert (finished.code, finished.json) == (
        0,
        {
            "schema_version": 1,
            "status": "ok",
            "destinations": [
                {"destination": "json 1", "sent": len(Rule), "error": None},
                {"destination": "command", "sent": len(Rule), "error": None},
            ],
        },
    )
    titles = [json.loads(request.body)["title"] for request in received(server)]
    assert [re.match(r"orwatch: TEST of ([a-z-]+) alerts", title)[1] for title in titles] == [*Rule]  # type: ignore[index]
    assert len(file.read_text().splitlines()) == len(Rule)
    bad: dict[str, Any] = {**good, "ORWATCH_ON_ALERT": "false"}
    finished = watching.run("alert", "test", **bad)
    assert finished.code == 1
    assert re.search(rf"json 1 +{len(Rule)} of {len(Rule)} +ok", finished.stdout)
    assert re.search(rf"command +0 of {len(Rule)} +ended with 1", finished.stdout)
    assert watching.query("SELECT count(*) FROM alerts") == [(0,)]


def test_apprise_is_loaded_only_where_something_is_sent_to_an_address(watching: Machine) -> None:
    raise_alerts(watching, "2026-11")
    with_times = (sys.executable, "-X", "importtime")
    for settings in {}, {"ORWATCH_ON_ALERT": "true"}, {"ORWATCH_NOTIFY_URLS": "ntfy://topic"}:
        finished = watching.run("sync", "--quiet", launcher=with_times, **settings)
        assert finished.code == 0
        assert not re.search(r"\| +apprise$", finished.stderr, re.MULTILINE)
