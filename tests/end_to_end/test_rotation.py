"""`secret rotate`: a new encryption key for everything, and nothing lost however it ends."""

from __future__ import annotations

import random
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from orwatch.demo.api import FakeOpenRouter
from orwatch.demo.server import Answer, FakeServer
from orwatch.demo.usage import FakeKey
from orwatch.secrets import Vault, generate_encryption_key
from tests.end_to_end.support import DEADLINE_SECONDS, Machine, finish, kill, make_keys, told, wait_for
from tests.end_to_end.test_at_once import Gate

ROUNDS = 10
MANY = 100  # so many secrets that a rotation takes long enough to be met in its midst
LONGEST_WAIT_SECONDS = 0.15
TIME_TO_OVERTAKE_SECONDS = 2.0  # for a rotation that nothing keeps waiting

# Stops when it has seen what is stored, and before it writes anything, until a file is there.
_SLOW = """
import sys, time
from pathlib import Path
from orwatch import secrets
folder, generate = Path(sys.argv[1]), secrets.generate_encryption_key
def slowly():
    (folder / "reached").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return generate()
secrets.generate_encryption_key = slowly
from orwatch.cli import run
sys.exit(run(sys.argv[3:]))
"""


def test_after_a_rotation_every_key_works_and_the_old_encryption_key_opens_nothing(
    watching: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...]
) -> None:
    old = watching.encryption_key()
    sealed = watching.query("SELECT secret_encrypted FROM api_keys")

    rotated = watching.run("secret", "rotate")

    new = watching.encryption_key()
    assert (rotated.code, rotated.stderr) == (0, "")
    assert rotated.stdout.startswith("Re-encrypted 3 secrets under a new encryption key")
    assert old not in rotated.stdout
    assert new not in rotated.stdout
    assert new != old
    assert not set(sealed) & set(watching.query("SELECT secret_encrypted FROM api_keys"))
    assert stat.S_IMODE(watching.env_file.stat().st_mode) == 0o600
    with_old = watching.run("sync", ORWATCH_ENCRYPTION_KEY=old)
    assert (with_old.code, with_old.stdout) == (78, "")
    assert watching.run("sync", "--days", "30").code == 0
    assert watching.stored() == told(api.answer, keys)


def test_the_old_encryption_key_can_be_kept_for_backups(watching: Machine) -> None:
    old = watching.encryption_key()

    assert watching.run("secret", "rotate", "--keep-old").code == 0

    new, kept = watching.encryption_key().split(",")
    assert (kept, new != old) == (old, True)
    assert watching.run("validate", ORWATCH_ENCRYPTION_KEY=new).code == 0


def test_other_lines_of_the_env_file_stay_as_they_are(watching: Machine) -> None:
    old = watching.encryption_key()
    text = f"# mine\nexport ORWATCH_SYNC_DAYS='3'  # few\n\nORWATCH_ENCRYPTION_KEY={old}\nOTHER=\"a b\"\n"
    watching.env_file.write_text(text, encoding="utf-8")

    assert watching.run("secret", "rotate").code == 0

    before, after = text.split(old)
    rotated = watching.env_file.read_text(encoding="utf-8")
    assert rotated.startswith(before)
    assert rotated.endswith(after)
    assert old not in rotated


def test_encryption_keys_of_the_environment_are_rotated_there(watching: Machine) -> None:
    old, new = watching.encryption_key(), generate_encryption_key()
    before = watching.env_file.read_bytes()

    rotated = watching.run("secret", "rotate", ORWATCH_ENCRYPTION_KEY=f"{new},{old}")

    assert (rotated.code, rotated.stderr) == (0, "")
    assert "Re-encrypted 3 secrets under the first key" in rotated.stdout
    assert watching.env_file.read_bytes() == before
    assert watching.run("validate", ORWATCH_ENCRYPTION_KEY=new).code == 0


def opened_secrets(machine: Machine) -> list[str]:
    """What the encryption keys of the env file make of the stored secrets."""
    vault = Vault(machine.encryption_key().split(","))
    return [
        vault.open(token) for (token,) in machine.query("SELECT secret_encrypted FROM api_keys ORDER BY id")
    ]


def test_two_rotations_through_two_names_of_one_env_file_lose_nothing(
    watching: Machine, keys: tuple[FakeKey, ...], tmp_path: Path
) -> None:
    link = tmp_path / "linked" / "orwatch.env"
    link.parent.mkdir(mode=0o700)
    link.symlink_to(watching.env_file)
    slow = watching.start("secret", "rotate", launcher=(sys.executable, "-c", _SLOW, str(tmp_path)))
    try:
        wait_for(lambda: (tmp_path / "reached").exists())
        other = watching.start("--env-file", link, "secret", "rotate")
        deadline = time.monotonic() + TIME_TO_OVERTAKE_SECONDS
        while other.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        (tmp_path / "go").touch()
    ended = [finish(slow), finish(other)]

    assert [(each.code, each.stderr) for each in ended] == [(0, "")] * 2
    assert opened_secrets(watching) == [key.secret for key in keys]
    assert "," not in watching.encryption_key()


def test_the_first_key_of_all_is_added_while_a_rotation_runs(
    machine: Machine, api: FakeOpenRouter, keys: tuple[FakeKey, ...], serve: Callable[[Answer], FakeServer]
) -> None:
    assert machine.run("init").code == 0
    gate = Gate(api.answer)
    machine.api_url = serve(gate.answer).url
    adding = machine.start("key", "add", "production", stdin=subprocess.PIPE)
    try:
        assert adding.stdin is not None
        adding.stdin.write(keys[0].secret)
        adding.stdin.close()
        adding.stdin = None
        assert gate.is_reached.wait(DEADLINE_SECONDS)
        rotated = machine.run("secret", "rotate")
    finally:
        gate.open()

    assert (rotated.code, finish(adding).code) == (0, 0)
    assert opened_secrets(machine) == [keys[0].secret]


def test_a_rotation_that_is_killed_has_lost_nothing(
    machine: Machine, serve: Callable[[Answer], FakeServer]
) -> None:
    keys = make_keys(MANY)
    machine.api_url = serve(FakeOpenRouter(keys, history_days=1).answer).url
    machine.set_up(keys)
    chance = random.Random(20261120)
    was_killed, had_two_keys = [], []

    for number in range(ROUNDS):
        before = machine.env_file.read_bytes()
        process = machine.start("secret", "rotate")
        # From the moment on at which the new encryption key is written, everything is in motion.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while machine.env_file.read_bytes() == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        if number % 2:  # the others are killed at once: a fast one is over soon
            time.sleep(chance.uniform(0, LONGEST_WAIT_SECONDS))
        was_killed.append(kill(process))

        assert machine.is_whole()
        assert opened_secrets(machine) == [key.secret for key in keys]
        modes = {stat.S_IMODE(path.stat().st_mode) for path in machine.env_file.parent.iterdir()}
        assert modes == {0o600}
        had_two_keys.append("," in machine.encryption_key())
        if had_two_keys.count(True) == 1 and had_two_keys[-1]:
            assert machine.run("sync", "--days", "1").code == 0

    assert was_killed.count(True) >= ROUNDS // 3, "the rotations were over before they could be killed"
    assert True in had_two_keys, "no rotation was killed between its two writes of the env file"
    assert machine.run("sync", "--days", "1").code == 0
    assert machine.run("secret", "rotate").code == 0
    assert "," not in machine.encryption_key()
    assert opened_secrets(machine) == [key.secret for key in keys]
