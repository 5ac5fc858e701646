"""README keeps its word: its commands run, its files exist, its Python works."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from chatter_nb.engines.registry import TTS_ENGINES, VC_ENGINES
from chatter_nb.params.runs import SpeakParams

README = (ROOT / "README.md").read_text()
ENGINES = (ROOT / "chatter_nb" / "engines" / "README.md").read_text()
# README's first, then those of the rooms.
PATHS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "params" / "README.md"]
PATHS += sorted((ROOT / "chatter_nb").rglob("README.md"))


def blocks(language: str) -> list[str]:
    """Those of all pages, each once."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return list(dict.fromkeys(found for path in PATHS for found in fence.findall(path.read_text())))


COMMANDS = list(dict.fromkeys(line for block in blocks("sh") for line in block.splitlines()))
MAKE = sorted(
    {
        target
        for line in COMMANDS
        if line.startswith("make ")
        for target in line.split("#")[0].split()[1:]
    }
)
# The benchmark takes minutes; its suite has a test of its own.
OTHERS = [c for c in COMMANDS if not c.startswith("make ") and " bench " not in c]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of what a user has, so that the commands' outputs land beside it.

    One for all commands: they run in the order of the page, as a reader runs them.
    """
    copy = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, copy / name)
    (copy / "outputs").mkdir()
    return copy


def run(command: list[str] | str, project: Path, **kwargs) -> subprocess.CompletedProcess:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kwargs |= {"env": {**os.environ, "PATH": path}, "capture_output": True, "text": True}
    return subprocess.run(command, cwd=project, **kwargs)


def test_there_are_commands_to_run():
    """Guards the pattern above: an empty list would test nothing."""
    assert {"demo", "test", "lab", "lint"} <= set(MAKE)
    assert len(OTHERS) >= 7


@pytest.mark.slow
@pytest.mark.parametrize("command", OTHERS)
def test_a_command_of_the_readme_runs(command, project):
    """Random checkpoints need Chatterbox; what needs weights or a network is in no sh block."""
    if "random" in command and find_spec("chatterbox") is None:
        pytest.skip("Chatterbox is not installed")
    done = run(command, project, shell=True, timeout=1_800)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", MAKE)
def test_a_make_target_of_the_pages_exists(target):
    """CI runs demo (in a fresh clone), lint and test for real; here: make knows the target."""
    done = run(["make", "--dry-run", target], ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("code", blocks("python"))
def test_a_python_example_runs(code, project):
    done = run([sys.executable, "-c", code], project)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("example", blocks("yaml"))
def test_a_yaml_example_is_valid(example):
    SpeakParams.create(yaml.safe_load(example))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_exists(path):
    page = path.read_text()
    named = re.findall(r"`((?:params|notebooks|chatter_nb|tests)/[\w./-]+\.\w+)`", page)
    links = re.findall(r"\]\(([\w./]+\.md)(?:#[\w-]+)?\)", page)
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [name for name in links if not (path.parent / name).exists()] == []


def test_readme_links_every_page_and_is_short():
    linked = {(ROOT / link).resolve() for link in re.findall(r"\]\(([\w./]+\.md)", README)}
    assert set(PATHS[1:]) <= linked
    assert len(README.splitlines()) <= 200


def test_the_table_of_engines_is_theirs():
    """Languages, shortest voice, knobs and their defaults are those of the classes."""
    pytest.importorskip("chatterbox")
    rows = re.findall(r"^\| `([\w-]+)`( \(converts\))? \| (.*) \| (.*) \| (.*) \|$", ENGINES, re.M)
    told = {(name, bool(converts)): cells for name, converts, *cells in rows}
    english = told["chatterbox", False][2]
    for converts, entries in ((False, TTS_ENGINES), (True, VC_ENGINES)):
        for name, entry in entries.items():
            engine = entry.engine_class()
            languages, _, knobs = told.pop((name, converts))
            knobs = knobs.replace("the same, but", english)
            wanted = engine.accepts - {"checkpoint"}
            assert set(re.findall(r"`(\w+)`", knobs)) == wanted, name
            for knob, default in getattr(engine, "defaults", {}).items():
                assert f"`{knob}` {default}" in knobs, name
            if len(getattr(engine, "languages", ())) > 1:
                assert languages.startswith(f"{len(engine.languages)},")
                assert (
                    f"The {len(engine.languages)} are {' '.join(sorted(engine.languages))}."
                    in ENGINES
                )
    assert told == {}


def test_every_preset_and_room_is_in_the_readme():
    presets = {f"params/{path.name}" for path in (ROOT / "params").glob("*.yaml")}
    rooms = {f"{path.parent.name}/" for path in (ROOT / "chatter_nb").glob("*/__init__.py")}
    assert sorted(name for name in presets | rooms if name not in README) == []
