"""The env file: found, read, created, and the one line that orwatch writes into it."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orwatch.errors import SettingsError
from orwatch.files import exists, make_private_folder, open_file, regular_file, replace_file


def write_encryption_keys(env_file: Path, keys: tuple[str, ...]) -> None:
    """Put ``ORWATCH_ENCRYPTION_KEY`` into the env file: whole or not at all.

    A new file has mode 0600, its folder 0700; one that is there keeps its owner, and its mode where that
    gives others nothing. Every other line stays as it is, to the byte. Raises ``SettingsError`` when the
    file cannot be written.
    """
    try:
        make_private_folder(env_file.parent)
        # Where the file is a link, the file behind it is the one to change. It has to last on the disk: the
        # secrets are only as durable as the key that opens them.
        target = env_file.resolve()
        there = regular_file(target)
        before = b"" if there is None else target.read_bytes()
        line_value = ",".join(keys).encode("ascii")
        replace_file(target, _with_encryption_keys(before, line_value), _private_mode(there))
    except OSError as error:
        raise SettingsError(
            f"cannot write the encryption key to {env_file}: {error.strerror}. "
            "Make that file writable, name another one with --env-file, "
            "or set ORWATCH_ENCRYPTION_KEY in the environment."
        ) from error


def _private_mode(there: os.stat_result | None) -> int:
    """The mode of a file that its group may read at most, such as one for a service; else 0600."""
    mode = 0o600 if there is None else stat.S_IMODE(there.st_mode)
    return 0o600 if mode & 0o027 else mode


# python-dotenv can set a value too, but takes the blank lines above it away and leaves the disk to itself.
_ENCRYPTION_KEY_LINE = re.compile(rb"^[ \t]*(?:export[ \t]+)?ORWATCH_ENCRYPTION_KEY[ \t]*=.*$", re.MULTILINE)


def _with_encryption_keys(content: bytes, value: bytes) -> bytes:
    line = b"ORWATCH_ENCRYPTION_KEY=" + value
    content, replaced = _ENCRYPTION_KEY_LINE.subn(line, content)
    if replaced:
        return content
    separator = b"" if not content or content.endswith(b"\n") else b"\n"
    return content + separator + line + b"\n"


@contextmanager
def env_file_lock(env_file: Path) -> Iterator[None]:
    """Keep other orwatch processes from writing the env file, by whatever name; dies with the process."""
    folder = env_file.parent
    try:
        make_private_folder(folder)
        folder = env_file.resolve().parent
        make_private_folder(folder)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"cannot use the folder {folder}: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise SettingsError(
                f"cannot lock the folder {env_file.parent}: {error.strerror}",
                "Its file system has no locks: move the env file to a local disk.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def missing_env_file(environ: Mapping[str, str], env_file_option: str | None = None) -> Path | None:
    """The env file that was named and is not there; None: all is well.

    The user's own one need not be there, even where it is named, as in cron's entries: everything may come
    from the environment. Raises ``SettingsError``.
    """
    env_file = find_env_file(environ, env_file_option)
    is_named = bool(env_file_option or environ.get("ORWATCH_ENV_FILE", "").strip())
    if not is_named or os.path.lexists(env_file) or env_file == _own_env_file(environ):
        return None
    return env_file


def create_env_file(env_file: Path) -> None:
    """An empty env file, mode 0600. Raises ``SettingsError``."""
    try:
        make_private_folder(env_file.parent)
        os.close(open_file(env_file, os.O_RDWR))
    except OSError as error:
        raise SettingsError(f"cannot create the env file {env_file}: {error.strerror}.") from error


def _own_env_file(environ: Mapping[str, str]) -> Path:
    return base_folder(environ, "XDG_CONFIG_HOME", ".config") / "orwatch" / ".env"


def find_env_file(environ: Mapping[str, str], option: str | None) -> Path:
    """The env file, whether it is there or not. Raises ``SettingsError`` where no home folder is known."""
    named = option or environ.get("ORWATCH_ENV_FILE", "").strip()
    if named:
        return expanded_path("--env-file" if option else "ORWATCH_ENV_FILE", named).absolute()
    own = _own_env_file(environ)
    system = Path("/etc/orwatch/orwatch.env")
    return system if not exists(own) and exists(system) else own


def base_folder(environ: Mapping[str, str], name: str, below_home: str) -> Path:
    # The XDG specification: a path that is not absolute is to be ignored.
    named = environ.get(name, "")
    return Path(named) if named.startswith("/") else expanded_path(name, f"~/{below_home}")


@dataclass(frozen=True, slots=True)
class EnvLine:
    """One line of the env file that is no comment. ``value`` None: it is not NAME=value."""

    number: int
    name: str = field(repr=False)
    value: str | None = field(repr=False)


def read_env_file(env_file: Path) -> list[EnvLine]:
    """The lines of the env file. Raises ``SettingsError`` where it cannot be read."""
    try:
        if not env_file.exists():
            return []
        with env_file.open(encoding="utf-8-sig") as stream:
            from dotenv.parser import parse_stream

            bindings = [each for each in parse_stream(stream) if each.error or each.key is not None]
    except OSError as error:
        raise SettingsError(
            f"cannot read the env file {env_file}: {error.strerror}",
            f"`ls -l {shlex.quote(str(env_file))}` shows whose it is and its mode; only the user who runs "
            "orwatch should be able to read it.",
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"cannot read the env file {env_file}: it is not UTF-8 text", "Save it as plain text."
        ) from error
    lines = []
    for binding in bindings:
        text = binding.original.string
        number = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        lines.append(EnvLine(number, binding.key or "", binding.value))
    return lines


def expanded_path(name: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise SettingsError(
            f"{name}={value!r}: that home folder is not known", "Use an absolute path, or set HOME."
        ) from None
