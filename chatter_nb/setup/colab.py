"""Prepares a new Colab runtime: missing packages, samples, Drive, the hub's token.

The first cell of every notebook installs this package alone and calls `set_up`. Colab's own
packages (torch, numpy, ipywidgets, IPython …) stay, so that no restart is needed. `packages` finds
and installs packages. Needs nothing but Python until the packages are installed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Literal

from chatter_nb.base.errors import OutputError, ParamError
from chatter_nb.setup.gpus import nvidia_smi
from chatter_nb.setup.packages import UPSTREAM, Need, install, installed, needs

Wish = Literal["auto", "yes", "no"]

# In use by the kernel before this cell runs, or built for Colab's driver: a change of one means a
# restart, or a runtime without its GPU.
KEPT = (  # noqa: SIM905  a list literal would take 15 lines
    "torch torchaudio numpy scipy pandas matplotlib transformers "
    "ipykernel ipython ipywidgets widgetsnbextension jupyter-client traitlets"
).split()
# Colab's pages take the place of JupyterLab's.
NOT_NEEDED = ("jupyterlab",)
DRIVE = Path("/content/drive")
DRIVE_FOLDER = "chatter_nb"
SAMPLES = ("params", "notebooks")
SWITCH = "Runtime > Change runtime type > T4 GPU"


def set_up(*, drive: bool = False, chatterbox: Wish = "auto", watched: bool | None = None) -> None:
    """Install missing packages, copy the samples, pass on the token; with `drive`, work on Drive.

    `chatterbox`: "auto" installs it if there is a GPU. `watched`: whether a person can answer
    Colab's questions; None finds out. Prints what it does. Raises `UnavailableError` if pip fails,
    `OutputError` if Drive cannot be used.
    """
    if chatterbox not in ("auto", "yes", "no"):
        raise ParamError(f"chatterbox is {chatterbox!r}: use 'auto', 'yes' or 'no'")
    watched = person_watches() if watched is None else watched
    gpu = gpu_name()
    print(gpu_sentence(gpu))
    before = installed()
    install_missing(chatterbox == "yes" or (chatterbox == "auto" and gpu is not None))
    print(kept_sentence(before, installed()))
    if drive:
        print(work_on_drive(watched=watched))
    for name in lay_out(Path.cwd()):
        print(f"{name}/ laid out in {Path.cwd()}")
    print(pass_on_token(watched=watched))


def gpu_name() -> str | None:
    """The name of the first NVIDIA card, or None; without torch, whose import takes seconds."""
    return next(iter(nvidia_smi("name").strip().splitlines()), None)


def gpu_sentence(gpu: str | None) -> str:
    """A sentence on the GPU; without a GPU, on how to get one."""
    if gpu:
        return f"GPU: {gpu}"
    return f"GPU: none. The embedded voice needs none; for Chatterbox choose {SWITCH}, and run all"


def install_missing(chatterbox: bool) -> None:
    """Install the requirements that Colab does not meet; with `chatterbox`, Chatterbox too.

    Chatterbox comes with the witnesses of `verify`: it drops words, the embedded voice does not.
    An installed package of `KEPT` is never replaced: if it does not fit, that is printed.
    """
    missing = needs(without=NOT_NEEDED)
    missing += needs("chatterbox") + needs("verify") if chatterbox else []
    held = [need for need in missing if need.name in KEPT and need.have is not None]
    for need in held:
        print(f"kept {need.name} {need.have}, though {need.requirement} is asked for")
    _install([need for need in missing if need not in held])
    if chatterbox and "chatterbox-tts" not in installed():
        release = f"chatterbox-tts=={UPSTREAM}"
        print(f"installing {release}, without its pins")
        install([release], deps=False)


def _install(missing: list[Need]) -> None:
    if not missing:
        print("packages: nothing is missing")
        return
    replaced = [need for need in missing if need.have is not None]
    for need in replaced:
        print(f"{need.name} {need.have} gives way to {need.requirement}")
    print(f"installing {', '.join(need.name for need in missing)} …")
    requirements = [need.requirement for need in missing]
    install(requirements, replace=[need.name for need in replaced], keep=KEPT)


def sample_folder(kind: str) -> Path | None:
    """The folder of the package's `params` or `notebooks`; None if it came without them.

    A wheel carries them as data (pyproject.toml maps both into it); in a clone they lie beside the
    package.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "sample" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    return None


def lay_out(folder: str | Path) -> tuple[str, ...]:
    """Copy params/ and notebooks/ into a folder; a folder that exists there stays as it is.

    Returns the names of the copied folders. Raises `OutputError` if `folder` cannot be written.
    """
    copied = []
    for kind in SAMPLES:
        source, target = sample_folder(kind), Path(folder) / kind
        if source is not None and not target.exists():
            _copy(source, target)
            copied.append(kind)
    return tuple(copied)


def _copy(source: Path, target: Path) -> None:
    """Copy a folder completely or not at all: nothing would complete half of it later."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".samples-") as scratch:
            whole = Path(scratch) / target.name
            ignored = shutil.ignore_patterns("__pycache__", ".*", "*.py", "*.pyc", "*.toml")
            shutil.copytree(source, whole, ignore=ignored)
            os.replace(whole, target)
    except OSError as error:
        raise OutputError(
            f"cannot lay out {target.name}/ in {target.parent}: {error.strerror or error}; work in "
            "a folder that can be written"
        ) from error


def kept_sentence(before: dict[str, str], after: dict[str, str]) -> str:
    """A sentence on `KEPT`: unchanged, or which packages changed and need a restart."""
    changed = [
        f"{name} {before[name]} is now {after.get(name, 'gone')}"
        for name in KEPT
        if name in before and after.get(name) != before[name]
    ]
    if changed:
        return f"{'; '.join(changed)}: choose Runtime > Restart session, then run all"
    return "kept: " + ", ".join(f"{name} {before[name]}" for name in KEPT if name in before)


def work_on_drive(*, watched: bool, mount: Path = DRIVE) -> str:
    """Mount Drive and change into a folder there, so that a relative `outputs_dir` is on Drive.

    Only a person can allow a mount: if it is not `watched`, only a mounted Drive is used. Returns
    a sentence on the result.
    """
    if not (mount / "MyDrive").is_dir():
        if not watched:
            return (
                "Drive is not mounted, and no person is here to allow it: run this cell in the "
                "outer notebook first; outputs stay on the runtime, which Colab deletes"
            )
        try:
            import_module("google.colab.drive").mount(str(mount))
        except Exception as error:  # whatever Colab raises, the person refused or Google failed
            message = f"Drive could not be mounted ({error})"
            raise OutputError(f"{message}: run the cell again, or set drive to False") from error
    folder = mount / "MyDrive" / DRIVE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    return f"Drive: outputs go to {folder}/outputs"


def pass_on_token(*, watched: bool) -> str:
    """Copy Colab's secret HF_TOKEN into the environment, for the hub and for child kernels."""
    if os.environ.get("HF_TOKEN"):
        return "HF_TOKEN: taken from the environment"
    if not watched:
        return "HF_TOKEN: not asked for, as no person is here; set it in the outer notebook"
    try:
        token = import_module("google.colab.userdata").get("HF_TOKEN")
    except Exception as error:  # absent, refused, or a front end that does not answer
        return (
            f"HF_TOKEN: none ({type(error).__name__}). Chatterbox's weights come without one; a "
            "token under Secrets (the key at the left) makes downloads faster"
        )
    if not token:
        return "HF_TOKEN: empty; see Secrets (the key at the left)"
    os.environ["HF_TOKEN"] = token
    return "HF_TOKEN: passed on from Colab's secrets"


def person_watches() -> bool:
    """Whether a person can answer questions of Colab's functions.

    In Papermill's kernels nobody can, and the functions would wait for ever. A kernel knows it from
    the message that asked it to run the cell.
    """
    if "IPython" not in sys.modules:
        return False
    shell = import_module("IPython").get_ipython()
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))
