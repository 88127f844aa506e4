"""The env file: found, read, created, and the one line that orwatch writes into it."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orwatch.errors import SettingsError
from orwatch.files import replace_file


def write_encryption_keys(env_file: Path, keys: tuple[str, ...]) -> None:
    """Put ``ORWATCH_ENCRYPTION_KEY`` into the env file: whole or not at all, mode 0600, folder 0700.

    Every other line stays as it is, to the byte. Raises ``SettingsError`` when the file cannot be written.
    """
    try:
        make_private_folder(env_file.parent)
        # Where the file is a link, the file behind it is the one to change. It has to last on the disk: the
        # secrets are only as durable as the key that opens them.
        target = env_file.resolve()
        before = target.read_bytes() if target.exists() else b""
        replace_file(target, _with_encryption_keys(before, ",".join(keys).encode("ascii")))
    except OSError as error:
        raise SettingsError(
            f"cannot write the encryption key to {env_file}: {error.strerror}. "
            "Make that file writable, name another one with --env-file, "
            "or set ORWATCH_ENCRYPTION_KEY in the environment."
        ) from error


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
    """Keep other orwatch processes from writing the env file; dies with the process."""
    try:
        make_private_folder(env_file.parent)
        descriptor = os.open(env_file.parent, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"cannot use the folder {env_file.parent}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def make_private_folder(folder: Path) -> None:
    """Create the folder and the missing ones above it, mode 0700; one that is there is left as it is."""
    for missing in reversed([folder, *folder.parents]):
        if not missing.exists():
            missing.mkdir(mode=0o700, exist_ok=True)


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
        env_file.touch(mode=0o600)
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
    return system if not _exists(own) and _exists(system) else own


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


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
