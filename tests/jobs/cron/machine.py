"""A machine with a cron of its own: the folders and the command of the tests of ``orwatch cron``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from orwatch.config.settings import Settings, load_settings
from orwatch.jobs.cron.host import Host

# Keeps its file in a folder, and answers as Debian's does.
CRONTAB = """#!/bin/sh
tab={folder}/tab
if [ -e {folder}/refusal ]; then cat {folder}/refusal >&2; exit 1; fi
case "$1" in
-l) if [ -e "$tab" ]; then cat "$tab"; else echo "no crontab for me" >&2; exit 1; fi ;;
-r) rm "$tab" ;;
-) cat >"$tab.new" && mv "$tab.new" "$tab"; echo written >>{folder}/writes ;;
*) exit 2 ;;
esac
"""


def write_program(path: Path, text: str) -> Path:
    """A program that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class CronMachine:
    """``folder`` holds everything; its cron runs."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("bin", "home", "cron.d", "linger", "spool"):
            (self.folder / name).mkdir(parents=True)
        self.program.touch(mode=0o755)
        self.env_file.parent.mkdir(parents=True)
        self.env_file.touch(mode=0o600)
        self.add_crontab_command()
        self.add_process(1, "init")
        self.add_process(7, "cron", "/usr/sbin/cron", "-f")

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "orwatch"

    @property
    def env_file(self) -> Path:
        return self.folder / "home" / ".config" / "orwatch" / ".env"

    @property
    def tab(self) -> Path:
        """What `crontab -l` prints."""
        return self.folder / "spool" / "tab"

    @property
    def cron_d_file(self) -> Path:
        return self.folder / "cron.d" / "orwatch"

    @property
    def unit_folder(self) -> Path:
        return self.folder / "home" / ".config" / "systemd" / "user"

    @property
    def times_written(self) -> int:
        path = self.folder / "spool" / "writes"
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0

    def add_crontab_command(self, text: str = CRONTAB) -> None:
        write_program(self.folder / "bin" / "crontab", text.replace("{folder}", str(self.folder / "spool")))

    def add_systemctl(self, *, works: bool = True) -> None:
        """One that notes what it is told."""
        end = "exit 0" if works else "echo 'Failed to connect to bus' >&2; exit 1"
        write_program(
            self.folder / "bin" / "systemctl", f'#!/bin/sh\necho "$@" >>{self.folder}/told\n{end}\n'
        )

    @property
    def told(self) -> list[str]:
        """What systemctl was told."""
        path = self.folder / "told"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def refuse(self, message: str) -> None:
        (self.folder / "spool" / "refusal").write_text(message, encoding="utf-8")

    def add_process(self, number: int, name: str, *words: str, program: str = "") -> None:
        process = self.folder / "proc" / str(number)
        process.mkdir(parents=True, exist_ok=True)
        (process / "comm").write_text(f"{name}\n", encoding="utf-8")
        (process / "cmdline").write_text("\0".join([*(words or (name,)), ""]), encoding="utf-8")
        if program:
            (process / "exe").symlink_to(program)

    def host(self, *, uid: int | None = None, user: str = "me", **environ: str) -> Host:
        return Host(
            {
                "PATH": str(self.folder / "bin") + ":/usr/bin:/bin",
                "HOME": str(self.folder / "home"),
                **environ,
            },
            user,
            os.geteuid() if uid is None else uid,
            self.folder / "home",
            self.program,
            cron_d=self.folder / "cron.d",
            processes=self.folder / "proc",
            linger=self.folder / "linger",
        )

    def settings(self, **environ: str) -> Settings:
        data = str(self.folder / "home" / ".local" / "share")
        return load_settings({"XDG_DATA_HOME": data, **environ}, str(self.env_file))
