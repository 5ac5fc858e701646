"""Known faults of an installation of torch and Chatterbox, each with its cure.

torch, torchaudio and perth are imported in a separate process, because a broken one may raise
anything, or end Python.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.version import Version

from chatter_nb.base.version import installed_version
from chatter_nb.engines.watermark import CURE as PERTH_CURE
from chatter_nb.setup.gpus import Gpu

PAIR = "2.11.0"  # of torch and torchaudio, as in constraints.txt
GET_STARTED = "pytorch.org/get-started/locally"

Finding = tuple[str, str]  # what is wrong, and the command or the step that cures it


_PROBE = """
import importlib, json, sys, warnings

out, sys.stdout = sys.stdout, sys.stderr

def look_at(module):
    if module.__name__ == "perth":
        return {"none": module.PerthImplicitWatermarker is None}
    look = {"version": module.__version__}
    if module.__name__ == "torch":
        cuda = module.cuda
        look["cuda"] = module.version.cuda
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            look["available"] = cuda.is_available()
        look["warnings"] = [str(warning.message).splitlines()[0] for warning in caught]
        if look["available"]:
            look["built_for"] = cuda.get_arch_list()
            look["gpus"] = [
                (cuda.get_device_name(i), cuda.get_device_capability(i))
                for i in range(cuda.device_count())
            ]
    return look

for name in sys.argv[1:]:
    print(json.dumps({"module": name}), file=out, flush=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
        look = look_at(module)
    except BaseException as error:
        message = (str(error).strip().splitlines() or [""])[0]
        look = {"error": f"{type(error).__name__}: {message}"}
    print(json.dumps({"module": name, "look": look}), file=out, flush=True)
"""
_PROBE_S = 180


def look_at_imports(*, load: bool = True) -> dict[str, dict[str, Any]]:
    """Import torch, torchaudio and perth in a separate process; the result by module.

    Modules that are not installed are left out; a module that does not load has an "error". Unless
    they are to `load`, which takes ten seconds, only what their files say is in the result.
    """
    names = [name for name in ("torch", "torchaudio", "perth") if find_spec(name)]
    if not names:
        return {}
    if not load:
        return {name: _look_at_files(name) for name in names}
    command = [sys.executable, "-c", _PROBE, *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S)
        lines, ended = done.stdout.splitlines(), f"Python ended with status {done.returncode}"
    except subprocess.TimeoutExpired as late:
        text = late.stdout or ""
        lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
        ended = f"not imported after {_PROBE_S} s"
    imports: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line.startswith('{"module"'):  # before each import, and with its look after it
            report = json.loads(line)
            imports[report["module"]] = report.get("look", {"error": ended})
    return imports


def _look_at_files(name: str) -> dict[str, Any]:
    if name == "perth":
        return {"none": find_spec("pkg_resources") is None}  # it then gives up without an error
    spec = find_spec(name)
    file = Path(spec.origin or "").with_name("version.py") if spec else Path()
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    line = re.search(r"^__version__ = ['\"](.+)['\"]", text, re.MULTILINE)  # names the build
    return {"version": line[1] if line else installed_version(name)}


def import_traps(imports: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """Faults of torch, torchaudio and perth: not importable, or not complete."""
    torch, torchaudio, perth = (imports.get(name, {}) for name in ("torch", "torchaudio", "perth"))
    if "error" in torch:
        finding = f"torch {installed_version('torch')} does not load ({torch['error']})"
        yield finding, f"pip install --force-reinstall torch=={PAIR} torchaudio=={PAIR}"
    if not torch or "error" in torch:
        return  # the others do not load without it
    version = torchaudio.get("version") or installed_version("torchaudio")
    if "error" in torchaudio:
        finding = f"torchaudio {version} cannot load beside torch {torch['version']}"
        yield f"{finding} ({torchaudio['error']})", _torchaudio_for(torch["version"])
    elif version and not belong_together(torch["version"], version):
        finding = f"torchaudio {version} is built for another torch than {torch['version']}"
        yield finding, _torchaudio_for(torch["version"])
    if "error" in perth or perth.get("none"):
        reason = perth.get("error") or "no reason told"
        if "error" not in perth and find_spec("pkg_resources") is None:
            reason = f"setuptools {installed_version('setuptools')} has no pkg_resources"
        finding = f"PerTh, the watermark, does not load ({reason})"
        yield f"{finding}: Chatterbox does not speak without it", PERTH_CURE


def belong_together(torch: str, torchaudio: str) -> bool:
    """Whether a version of torchaudio works with a version of torch.

    torchaudio 2.11 and later work with every later torch, earlier ones with the same version only
    (docs.pytorch.org/audio/2.11.0/installation.html).
    """
    ours, theirs = Version(torch).release[:2], Version(torchaudio).release[:2]
    return ours >= theirs if theirs >= (2, 11) else ours == theirs


def _torchaudio_for(torch: str) -> str:
    """The torchaudio of torch's own version and build, without touching torch."""
    public, _, build = torch.partition("+")
    version = public if Version(public).release < (2, 11) else PAIR
    command = f"pip install --force-reinstall --no-deps torchaudio=={version}"
    return _from_build(command, build) if build else command


def gpu_traps(torch: dict[str, Any], gpus: list[Gpu]) -> Iterator[Finding]:
    """NVIDIA cards that torch cannot use, or that it would fail on."""
    if not torch or "error" in torch:
        return
    build = f"torch {torch['version']}"
    for name, capability in torch.get("gpus", []):
        if not runs_on(tuple(capability), torch["built_for"]):
            made_for = " ".join(torch["built_for"])
            dotted = ".".join(map(str, capability))
            driver = gpus[0].driver if gpus else ""
            yield (
                f"{build} has no code for {name} (compute capability {dotted}; it has {made_for})",
                _torch_for(Gpu(name, driver, tuple(capability))),
            )
    if torch.get("available") or not gpus:
        return
    gpu = gpus[0]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch["cuda"]:
        yield f"{build} is a build without CUDA, and {gpu.name} stays idle", _torch_for(gpu)
    elif hidden is not None and not re.match(r"\d|GPU-|MIG-", hidden):
        yield f"CUDA_VISIBLE_DEVICES={hidden!r} hides {gpu.name}", "unset CUDA_VISIBLE_DEVICES"
    elif _driver(gpu) and _driver(gpu) < _least_driver(torch["cuda"]):
        yield (
            f"the NVIDIA driver {gpu.driver} is too old for {build} (CUDA {torch['cuda']}, "
            f"which needs {_least_driver(torch['cuda'])})",
            _torch_for(gpu),
        )
    else:
        why = f": {torch['warnings'][0]}" if torch["warnings"] else ""
        cure = "nvidia-smi must work here: restart the machine after a driver's update; "
        yield f"{build} cannot use {gpu.name}{why}", cure + "in Docker, run with --gpus all"


def runs_on(capability: tuple[int, ...], built_for: list[str]) -> bool:
    """Whether a build of torch has code for a card: for its major version, or older PTX."""
    if not built_for or not all(arch.startswith(("sm_", "compute_")) for arch in built_for):
        return True  # AMD's names, or none: nothing known against it
    for arch in built_for:
        kind, _, digits = arch.rstrip("af").partition("_")
        made_for = (int(digits[:-1]), int(digits[-1]))
        if made_for <= capability and (kind == "compute" or made_for[0] == capability[0]):
            return True
    return False


def _torch_for(gpu: Gpu) -> str:
    """The command that installs PyTorch's build for a card and its driver.

    Of torch 2.11: cu126 has code for capabilities 5.0 to 9.0, cu128 and cu130 for 7.5 and up
    (pytorch/pytorch#172352); CUDA 12 needs driver 525, 12.8 for new cards 570, 13 needs 580.
    """
    capability = gpu.capability or (8, 0)
    driver = _driver(gpu)
    newest = capability >= (10, 0)
    if driver and driver < (570 if newest else 525):
        return "update the NVIDIA driver to 580 or newer, then run chatter-nb doctor again"
    if capability < (7, 5):
        build = "cu126"
    elif driver and driver < 580:
        build = "cu128" if newest else "cu126"
    else:
        build = "cu130"
    pair = f"torch=={PAIR} torchaudio=={PAIR}"
    return _from_build(f"pip uninstall -y torch torchaudio && pip install {pair}", build)


def _from_build(command: str, build: str) -> str:
    """The command with a hint at the index of a build: PyTorch has one for each, see its page."""
    return f"{command} with the index of PyTorch's {build} build: {GET_STARTED}"


def _driver(gpu: Gpu) -> int:
    """The driver's major version; 0 where it is not known."""
    return int(gpu.driver.partition(".")[0] or 0)


def _least_driver(cuda: str) -> int:
    return {11: 450, 12: 525}.get(Version(cuda).major, 580)
