"""``orwatch secret rotate``: a new encryption key, and nothing lost on the way."""

from __future__ import annotations

import resource
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from orwatch.config.env_file import write_encryption_keys
from orwatch.errors import EncryptionKeyError
from orwatch.jobs.key import rotation
from orwatch.store.keys import table as stored_keys
from tests.cli.support import CI_SECRET, ENCRYPTION_KEY, OTHER_ENCRYPTION_KEY, SECRET, Home, Orwatch


@pytest.fixture(autouse=True)
def two_keys(home: Home) -> None:
    home.write_settings(ORWATCH_SYNC_DAYS="3")
    home.set_up("production", "ci")


def listed(home: Home) -> list[str]:
    """The encryption keys of the env file."""
    lines = home.env_file.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if "ENCRYPTION" in line).partition("=")[2].split(",")


def test_every_secret_is_under_a_new_key_and_the_old_one_is_gone(orwatch: Orwatch, home: Home) -> None:
    code, out, err = orwatch("secret", "rotate")
    assert (code, err) == (0, "")
    assert out.startswith(
        f"Re-encrypted 2 secrets under a new encryption key, which is in {home.env_file}.\n"
    )
    assert "The old key is gone" in out
    (new,) = listed(home)
    assert new != ENCRYPTION_KEY
    assert (home.opened_secret("production", new), home.opened_secret("ci", new)) == (SECRET, CI_SECRET)
    with pytest.raises(EncryptionKeyError):
        home.opened_secret("production", ENCRYPTION_KEY)


def test_the_other_settings_stay_and_the_file_stays_private(orwatch: Orwatch, home: Home) -> None:
    orwatch("secret", "rotate")
    assert "ORWATCH_SYNC_DAYS=3\n" in home.env_file.read_text(encoding="utf-8")
    assert home.env_file.stat().st_mode & 0o777 == 0o600


def test_no_key_is_printed(orwatch: Orwatch, home: Home) -> None:
    result = orwatch("secret", "rotate", "--keep-old")
    assert not any(key in result.out + result.err for key in listed(home))


def test_keep_old_lists_the_old_key_behind_the_new_one(orwatch: Orwatch, home: Home) -> None:
    code, out, _err = orwatch("secret", "rotate", "--keep-old")
    assert code == 0
    assert "The old key is gone" not in out
    new, old = listed(home)
    assert old == ENCRYPTION_KEY
    assert home.opened_secret("production", new) == SECRET


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_killed_at_any_step_it_has_lost_nothing_and_can_be_run_again(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    steps = []

    def dying(name: str, step: object) -> object:
        def maybe_die(*arguments: object) -> object:
            steps.append(name)
            if len(steps) == killed_at:
                raise KeyboardInterrupt
            return step(*arguments)  # type: ignore[operator]

        return maybe_die

    with monkeypatch.context() as patch:
        patch.setattr(stored_keys, "replace_secrets", dying("reencrypt", stored_keys.replace_secrets))
        patch.setattr(rotation, "write_encryption_keys", dying("write", write_encryption_keys))
        assert orwatch("secret", "rotate").code == 130
    assert steps == ["reencrypt", "write", "write"][:killed_at]
    assert home.opened_secret("production", *listed(home)) == SECRET
    assert orwatch("secret", "rotate").code == 0
    assert home.opened_secret("production", *listed(home)) == SECRET
    assert len(listed(home)) == 1


def test_a_secret_that_no_listed_key_opens_stops_it_before_anything_changes(
    orwatch: Orwatch, home: Home
) -> None:
    home.env_file.write_text(f"ORWATCH_ENCRYPTION_KEY={OTHER_ENCRYPTION_KEY}\n", encoding="utf-8")
    code, out, err = orwatch("secret", "rotate")
    assert (code, out) == (78, "")
    assert "does not open the secret of 'production'; nothing was changed" in err
    assert listed(home) == [OTHER_ENCRYPTION_KEY]
    assert home.opened_secret("production", ENCRYPTION_KEY) == SECRET


def test_a_key_of_the_environment_is_only_applied_and_the_env_file_left_alone(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = home.env_file.read_bytes()
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", f"{OTHER_ENCRYPTION_KEY},{ENCRYPTION_KEY}")
    code, out, err = orwatch("secret", "rotate")
    assert (code, err) == (0, "")
    assert out == (
        "Re-encrypted 2 secrets under the first key of ORWATCH_ENCRYPTION_KEY.\n"
        "The others are needed only for older backups of the database.\n"
    )
    assert home.opened_secret("production", OTHER_ENCRYPTION_KEY) == SECRET
    assert home.env_file.read_bytes() == before


def test_a_key_of_a_file_is_only_applied_and_read_from_there(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home.folder / "key"
    file.write_text(f"{OTHER_ENCRYPTION_KEY},{ENCRYPTION_KEY}\n", encoding="utf-8")
    before = home.env_file.read_bytes()
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY_FILE", str(file))
    assert "Encryption key: in ORWATCH_ENCRYPTION_KEY_FILE\n" in orwatch("init").out
    code, out, err = orwatch("secret", "rotate")
    assert (code, err) == (0, "")
    assert out.startswith("Re-encrypted 2 secrets under the first key of ORWATCH_ENCRYPTION_KEY_FILE.\n")
    assert home.opened_secret("production", OTHER_ENCRYPTION_KEY) == SECRET
    assert home.env_file.read_bytes() == before


def test_no_core_dump_can_hold_a_key(orwatch: Orwatch, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: limits.append(limit))
    assert orwatch("secret", "rotate").code == 0
    assert [(name, soft) for name, (soft, _hard) in limits] == [(resource.RLIMIT_CORE, 0)]


def test_a_single_key_of_the_environment_gets_told_how_to_change_it(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORWATCH_ENCRYPTION_KEY", ENCRYPTION_KEY)
    code, out, _err = orwatch("secret", "rotate")
    assert code == 0
    assert "list a new one first" in out
    assert "<new>,<old>" in out
    assert ENCRYPTION_KEY not in out
    assert home.opened_secret("production", ENCRYPTION_KEY) == SECRET


def test_the_env_file_is_read_again_under_its_lock(
    orwatch: Orwatch, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another rotation may have ended while this one waited."""
    lock = rotation.env_file_lock

    def lock_after_another(env_file: Path) -> AbstractContextManager[None]:
        write_encryption_keys(home.env_file, (OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY))
        return lock(env_file)

    monkeypatch.setattr(rotation, "env_file_lock", lock_after_another)
    assert orwatch("secret", "rotate", "--keep-old").code == 0
    assert listed(home)[1:] == [OTHER_ENCRYPTION_KEY, ENCRYPTION_KEY]
    assert home.opened_secret("production", listed(home)[0]) == SECRET
