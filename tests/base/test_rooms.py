"""The house: few rooms, and importing one loads nothing that it does not need.

Which room may import which is `import-linter`'s to say (`make lint`).
"""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / "chatter_nb"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_")
# Where names of ours are loaded by a string: on first use, or when an engine or a suite is chosen.
BY_STRING = {"engines/registry.py", "bench/suites/__init__.py"}


def loaded_by(statement: str) -> set[str]:
    """Our modules that are in memory after a statement, in a process of its own."""
    code = f"import sys; {statement}; print(*(m for m in sys.modules if 'chatter_nb' in m))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_floor_has_no_more_rooms_than_a_person_remembers():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert len(entries) <= 15, sorted(entries)
    assert entries == {"__init__.py", *ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for_and_loads_nothing_else(room):
    assert ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    assert loaded_by(f"import chatter_nb.{room}") == {"chatter_nb", f"chatter_nb.{room}"}


def test_every_name_of_a_room_is_there():
    """They load on first use: a wrong one would be found by whoever types it."""
    names = "[getattr(room, name) for name in getattr(room, '__all__', ())]"
    for room in ("chatter_nb", *(f"chatter_nb.{room}" for room in ROOMS)):
        loaded_by(f"import {room} as room; {names}")


def test_papermill_loads_the_warm_engine_and_no_more():
    """Papermill loads the entry point of every engine, for every notebook."""
    warm = "chatter_nb.batch.warm"
    others = [name for name in loaded_by("import papermill") if not name.startswith(f"{warm}.")]
    assert sorted(others) == ["chatter_nb", "chatter_nb.batch", warm]


def test_showing_a_run_loads_what_shows_a_run():
    assert len(loaded_by("from chatter_nb import show")) <= 45


def test_what_notebooks_and_users_type_is_there():
    loaded_by("from chatter_nb import colab, forms, show, warm; warm.WarmEngine")


def test_modules_of_ours_are_loaded_by_name_where_it_is_said():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                what = ast.unparse(node.args[0])
                if "chatter_nb" in what or "__name__" in what or what == "self.module":
                    found.add(str(path.relative_to(PACKAGE)))
    assert found == BY_STRING
