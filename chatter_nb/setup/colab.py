"""Makes a bare Colab runtime ready: packages that are missing, samples, Drive, the hub's token.

The first cell of every notebook installs this package alone and calls `set_up`. What Colab brings
(torch, numpy, ipywidgets, IPython …) stays, so that nothing has to be restarted. Not here: how
packages are found and installed (`packages`). Needs nothing but Python before it has installed it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Literal

from chatter_nb.base.errors import OutputError, ParamError
from chatter_nb.setup.packages import Need, install, installed, needs
from chatter_nb.setup.samples import lay_out

Wish = Literal["auto", "yes", "no"]

# In use by the kernel before this cell runs, or built for Colab's driver: changing one means a
# restart, or a runtime without its GPU.
KEPT = (
    *("torch", "torchaudio", "numpy", "scipy", "pandas", "matplotlib", "transformers"),
    *("ipykernel", "ipython", "ipywidgets", "widgetsnbextension", "jupyter-client", "traitlets"),
)
# Colab is the laboratory here, and its own pages are not JupyterLab's.
NOT_NEEDED = ("jupyterlab",)
DRIVE = Path("/content/drive")
DRIVE_FOLDER = "chatter_nb"
SWITCH = "Runtime > Change runtime type > T4 GPU"


def on_colab() -> bool:
    """Whether this is a kernel of Colab's."""
    return "google.colab" in sys.modules


def set_up(*, drive: bool = False, chatterbox: Wish = "auto", watched: bool | None = None) -> None:
    """Install what is missing, work on Drive if asked, lay out the samples, pass on the token.

    `chatterbox`: "auto" installs it where there is a GPU. `watched`: whether a person can answer
    Colab's questions; None finds out. Prints what it does. Raises `UnavailableError` when pip
    fails, `OutputError` when Drive cannot be used.
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
    """The first NVIDIA card as its driver names it; asked without torch, which takes seconds."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def gpu_sentence(gpu: str | None) -> str:
    """What there is, and how to get what there is not."""
    if gpu:
        return f"GPU: {gpu}"
    return f"GPU: none. The embedded voice needs none; for Chatterbox choose {SWITCH}, and run all"


def install_missing(chatterbox: bool) -> None:
    """Install what the package requires and Colab lacks; Chatterbox too, where it is wanted.

    What is in `KEPT` and does not fit is named instead of being replaced.
    """
    wanted = needs(without=NOT_NEEDED)
    wanted += needs("chatterbox") if chatterbox else []
    held = [need for need in wanted if need.name in KEPT and need.have is not None]
    for need in held:
        print(f"kept {need.name} {need.have}, though {need.requirement} is asked for")
    _install([need for need in wanted if need not in held])
    if chatterbox and "chatterbox-tts" not in installed():
        from chatter_nb.setup.doctor import UPSTREAM  # it needs what has just been installed

        release = f"chatterbox-tts=={UPSTREAM}"
        print(f"installing {release}, without its pins")
        install([release], deps=False)


def _install(wanted: list[Need]) -> None:
    if not wanted:
        print("packages: nothing is missing")
        return
    for need in wanted:
        if need.have is not None:
            print(f"{need.name} {need.have} gives way to {need.requirement}")
    print(f"installing {', '.join(need.name for need in wanted)} …")
    replaced = [need.name for need in wanted if need.have is not None]
    install([need.requirement for need in wanted], replace=replaced, keep=KEPT)


def kept_sentence(before: dict[str, str], after: dict[str, str]) -> str:
    """What of `KEPT` is as it was, or what is not and has to be restarted for."""
    changed = [
        f"{name} {before[name]} is now {after.get(name, 'gone')}"
        for name in KEPT
        if name in before and after.get(name) != before[name]
    ]
    if changed:
        return f"{'; '.join(changed)}: choose Runtime > Restart session, then run all"
    return "kept: " + ", ".join(f"{name} {before[name]}" for name in KEPT if name in before)


def work_on_drive(*, watched: bool, mount: Path = DRIVE) -> str:
    """Mount Drive and work in a folder there, so that relative `outputs_dir` lands on it.

    Only a person can grant access: without one a mounted Drive is used, and none is asked for.
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
            told = f"Drive could not be mounted ({error})"
            raise OutputError(f"{told}: run the cell again, or set drive to False") from error
    folder = mount / "MyDrive" / DRIVE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    return f"Drive: outputs go to {folder}/outputs"


def pass_on_token(*, watched: bool) -> str:
    """Put Colab's secret HF_TOKEN into the environment, where the hub and child kernels find it."""
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
    """Whether the front end answers questions: Papermill's does not, and Colab's calls would wait
    for ever in its kernels. A kernel knows from the message that asked it to run the cell."""
    if "IPython" not in sys.modules:
        return False
    shell = import_module("IPython").get_ipython()
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", False))
