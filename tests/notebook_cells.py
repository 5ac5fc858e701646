"""Writes what all notebooks share, so that none can drift: badge, Colab cell, parameters cell.

`python tests/notebook_cells.py` brings every notebook up to date; a test compares them. All other
cells are left as they are.
"""

import sys
import tomllib
from pathlib import Path

import nbformat
from parameters_cell import parameters_cell

ROOT = Path(__file__).resolve().parents[1]
KINDS = {
    "01_speak": "speak",
    "02_convert": "convert",
    "03_batch": "batch",
    "04_timing": "timing",
    "05_compare": "compare",
    "06_book": "book",
}
FOLDED = {
    "01_speak",
    "02_convert",
    "06_book",
}  # open on a form: the cells before it are a line each
_BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
_COLAB = "https://colab.research.google.com/github"


def repository() -> str:
    """The project's address, from the one place where it stands."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def badge(path: Path) -> str:
    """Opens the notebook on Colab."""
    place = repository().removeprefix("https://github.com/")
    return f"{_BADGE}({_COLAB}/{place}/blob/main/notebooks/{path.name})"


def colab_cell() -> str:
    """Installs what is missing on a bare runtime; elsewhere it does nothing."""
    # what the package itself needs comes in the next line; this is what its first import needs
    install = f"python -m pip install -q --no-deps lazy-loader git+{repository()}"
    return f"""# @title Colab: install what is missing (elsewhere this cell does nothing)
drive = False  # @param {{"type":"boolean"}}
chatterbox = "auto"  # @param ["auto", "yes", "no"]
if "google.colab" in __import__("sys").modules:
    !python -c "from chatter_nb import colab" 2>/dev/null || {install}
    from chatter_nb import colab

    colab.set_up(drive=drive, chatterbox=chatterbox)"""


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def _folded(path: Path) -> dict:
    """What folds a cell to a line, in Jupyter and on Colab."""
    return {"jupyter": {"source_hidden": True}, "cellView": "form"} if path.stem in FOLDED else {}


def up_to_date(path: Path):
    """The notebook as it should be."""
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0]
    lines = [line for line in first.source.splitlines() if not line.startswith(_BADGE)]
    text = "\n".join(lines).replace("\n\n\n", "\n\n")
    title, _, rest = text.partition("\n")
    first.source = f"{title}\n\n{badge(path)}\n\n{rest.strip()}"
    if not any("colab" in tags(cell) for cell in notebook.cells):
        made = nbformat.v4.new_code_cell("", id="colab", metadata={"tags": ["colab"]})
        notebook.cells.insert(1, made)
    for cell in notebook.cells:
        if "colab" in tags(cell):
            cell.source = colab_cell()
            cell.metadata |= _folded(path)
        elif "parameters" in tags(cell) and path.stem in KINDS:
            cell.source = parameters_cell(KINDS[path.stem])
            cell.metadata |= _folded(path)
    return notebook


if __name__ == "__main__":
    for notebook_path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        nbformat.write(up_to_date(notebook_path), notebook_path)
        print(notebook_path.name, file=sys.stderr)
