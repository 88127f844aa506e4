"""What pip installs: the wheel is built, without the network, from the same files as a user's."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import click
import pytest

from tests.documents import ROOT
from tests.test_docs import COMMANDS

CONTAINERFILE = (ROOT / ".github" / "Containerfile").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = {name.split()[0] for name in COMMANDS if " " in name}
PAGES = {"orwatch.1", *(f"orwatch-{name.replace(' ', '-')}.1" for name in {*COMMANDS, *GROUPS})}


def build(target: str, source: Path, folder: Path) -> Path:
    """As pip does, but with the hatchling that is installed here."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


def read_pages(wheel: Path) -> dict[str, str]:
    """The man pages, by the names of the files that pip puts into ``share/man/man1``."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            name.rpartition("/")[2]: archive.read(name).decode("ascii")
            for name in archive.namelist()
            if ".data/data/share/man/man1/" in name
        }


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The man pages of a wheel that is built from the source distribution."""
    folder = tmp_path_factory.mktemp("built")
    with tarfile.open(build("sdist", ROOT, folder / "sdist")) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.glob("orwatch-*")
    return read_pages(build("wheel", source, folder / "wheel"))


def test_every_command_has_a_man_page(pages: dict[str, str]) -> None:
    assert pages.keys() == PAGES


def test_a_man_page_is_the_help_of_its_command(pages: dict[str, str]) -> None:
    page = pages["orwatch-key-add.1"]
    assert "\norwatch\\-key\\-add \\- Store an API key under NAME\n" in page
    assert "\n\\fBorwatch key add\\fR [OPTIONS] NAME\n" in page
    assert "\n.TP\n\\fB\\-h, \\-\\-help\\fR\nShow this message and exit.\n" in page
    assert "\n.nf\nExamples:\n  orwatch key add production\n" in page
    assert page.endswith("\n.SH SEE ALSO\n\\fBorwatch\\-key\\fR(1)\n")
    assert "\n.TP\n\\fBorwatch\\-key\\-add\\fR(1)\nStore an API key under NAME\n" in pages["orwatch-key.1"]


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
def test_groff_has_nothing_to_say_against_a_man_page(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        command = ["groff", "-man", "-Tascii", "-ww"]
        shown = subprocess.run(command, input=page, capture_output=True, text=True, check=True, timeout=30)
        assert (name, shown.stderr) == (name, "")


def load_build_hook() -> ModuleType:
    path = ROOT / PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]["path"]
    spec = importlib.util.spec_from_file_location("build_hook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_man_page_shows_what_its_own_language_would_take_for_something_else() -> None:
    command = click.Command("odd", help=".hidden 'quoted' C:\\new `x` ~/a…\n\n\b\n.TH\n'br", hidden=True)
    group = click.Group("all", commands={"odd": command})
    hook = load_build_hook()
    (name, page), *below = hook.pages(click.Context(command, info_name="odd"), "odd 1")
    assert (name, below) == ("odd.1", [])
    assert (
        "\n\\&.hidden \\(aqquoted\\(aq C:\\enew \\(gax\\(ga \\(ti/a...\n.PP\n.nf\n\\&.TH\n\\(aqbr\n.fi\n"
        in page
    )
    assert [name for name, _ in hook.pages(click.Context(group, info_name="all"), "all 1")] == ["all.1"]


def test_an_editable_installation_gets_no_man_pages() -> None:
    hook = load_build_hook().ManPages(str(ROOT), {}, None, None, "", "wheel")
    build_data: dict[str, dict[str, str]] = {"shared_data": {}}
    hook.initialize("editable", build_data)
    assert build_data == {"shared_data": {}}
    hook.finalize("editable", build_data, "")


def test_the_container_is_built_from_files_that_make_a_whole_wheel(
    tmp_path: Path, pages: dict[str, str]
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    copies = [line.split()[1:] for line in CONTAINERFILE.splitlines() if line.startswith("COPY ")]
    for *names, target in copies:
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, source / target)
    wheel = build("wheel", source, tmp_path / "wheel")
    assert read_pages(wheel) == pages
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("orwatch/")}
    here = [path for path in (ROOT / "orwatch").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert packed == {str(path.relative_to(ROOT)) for path in here}


def test_the_build_needs_no_newer_click_than_the_program() -> None:
    assert [each for each in PYPROJECT["build-system"]["requires"] if each.startswith("click")] == [
        each for each in PYPROJECT["project"]["dependencies"] if each.startswith("click")
    ]
