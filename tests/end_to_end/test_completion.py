"""Completion in a real bash of names that it would take apart."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from orwatch.demo.usage import CI, FakeKey
from tests.end_to_end.support import ORWATCH, Machine
from tests.support import secret_of

# What is typed, and the word that the shell has then.
TYPED = {
    r"My\ a": "My app",
    "com": "comma, name",
    "st": "st*r $x",
    "'My ": "My app",
    '"My a': "My app",
    "pl": "plain",
}
NAMES = sorted({*TYPED.values(), "other"})

# As readline does: what is inserted takes the place of the word, after the quote that it begins with.
_SCRIPT = """
eval "$(_ORWATCH_COMPLETE=bash_source orwatch)"
for typed in "$@"; do
    COMP_WORDS=(orwatch key show "$typed") COMP_CWORD=3 COMPREPLY=()
    _orwatch_completion orwatch
    quote=${typed%%[!\\"\\']*}
    for reply in "${COMPREPLY[@]}"; do printf '%s\\n' "$quote$reply$quote"; done
done
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_name_that_bash_would_take_apart_is_completed_as_one_word(machine: Machine) -> None:
    machine.set_up(FakeKey(name, secret_of(name), CI) for name in NAMES)
    path = f"{ORWATCH.parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "--norc", "-c", _SCRIPT, "bash", *TYPED],
        cwd=machine.data_folder,
        env=machine.environment(PATH=path, LC_ALL="C.UTF-8"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert [shlex.split(line) for line in done.stdout.splitlines()] == [[name] for name in TYPED.values()]
