"""What is installed here, what a run would use, every known trap that can be seen, and its cure.

Loads no model. Torch and its relatives are imported in a process of their own: a broken one raises
anything, or takes Python down with it.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import soundfile
from packaging.requirements import Requirement

from chatter_nb.audio.writer import FORMATS
from chatter_nb.base.disk import free_disk_bytes
from chatter_nb.base.errors import EngineError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.version import __version__
from chatter_nb.engines.checkpoints import MODELS, PACKAGE, cached
from chatter_nb.engines.models import Choice, pick_device, pick_engine
from chatter_nb.engines.registry import INSTALL_CHATTERBOX, TTS_ENGINES, VC_ENGINES, not_installed
from chatter_nb.setup.traps import Finding, Gpu, gpu_traps, import_traps, installed_version

PACKAGES = (
    "papermill",
    "jupyterlab",
    "ipywidgets",
    "numpy",
    "soundfile",
    "hibari-tts",
    "pyworld-prebuilt",
    "torch",
    "torchaudio",
    "transformers",
    "setuptools",
    "resemble-perth",
    PACKAGE,
)
INSTALL_BASE = "pip install -c constraints.txt -e ."
INSTALL_SERVICE = "pip install -c constraints.txt -e '.[serve]'"
SERVICE = ("fastapi", "uvicorn", "multipart", "gradio", "prometheus_client", "av")
UPSTREAM = "0.1.7"  # the version of chatterbox-tts whose insides the engines know
NO_DEPS = f"pip install --no-deps {PACKAGE}=={UPSTREAM}"
_LOW_DISK_BYTES = 1e9
_CONTAINERS = {"wav": "WAV", "flac": "FLAC", "mp3": "MP3", "opus": "OGG"}
_TORCH_PAIR = ("torch", "torchaudio")


@dataclass(frozen=True)
class Report:
    """What was found. `missing`, `traps` and `notes` pair a finding with its cure.

    A trap spoils what is installed; a note concerns some runs only. `weights` are the folders of
    the models whose files are in the hub's cache, None for those to be fetched on first use.
    """

    versions: dict[str, str | None]
    engine: str
    converter: str
    device: str
    formats: tuple[str, ...]
    outputs: str
    free_disk_bytes: int
    weights: dict[str, str | None]
    missing: tuple[Finding, ...]
    traps: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    can_speak: bool

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = {name: found or "not installed" for name, found in self.versions.items()}
        rows |= {"": "", "engine auto": self.engine, "converter auto": self.converter}
        rows |= {"device auto": self.device, "audio formats": " ".join(self.formats)}
        rows["outputs"] = f"{self.outputs} ({self.free_disk_bytes / 1e9:.1f} GB free)"
        lines = [f"{name:16} {value}".rstrip() for name, value in rows.items()]
        for name, folder in self.weights.items():
            told = "are here" if folder else f"come on first use, or now: chatter-nb fetch {name}"
            lines.append(f"weights          {name}: {told}")
        for kind in ("missing", "traps", "notes"):
            found = getattr(self, kind)
            lines += [f"{kind.removesuffix('s')}: {what}\n  {cure}" for what, cure in found]
        ready = "ready to speak" if self.can_speak else "cannot speak yet: see missing and trap"
        return "\n".join([*lines, "", ready])


def examine() -> Report:
    """Look at this machine. Takes a few seconds where torch is installed."""
    imports = look_at_imports()
    torch = imports.get("torch", {})
    outputs = resolve_path("outputs")
    free_bytes = free_disk_bytes(outputs)
    engine, can_speak = _choice(lambda: pick_engine(), torch)
    versions = {"chatter_nb": __version__, "python": platform.python_version()}
    installed = {name: installed_version(name) for name in PACKAGES}
    built = {name: found["version"] for name, found in imports.items() if "version" in found}
    return Report(
        versions=versions | installed | built,  # torch itself names its build: 2.11.0+cpu
        engine=engine,
        converter=_choice(lambda: pick_engine(convert=True), torch)[0],
        device=_choice(lambda: pick_device(), torch)[0],
        formats=_formats(),
        outputs=_from_here(outputs),
        free_disk_bytes=free_bytes,
        weights=look_at_weights(),
        missing=tuple(_missing(free_bytes)),
        traps=(*_package_traps(), *import_traps(imports), *gpu_traps(torch, look_at_gpus())),
        notes=tuple(_notes()),
        can_speak=can_speak,
    )


def _choice(choose: Callable[[], Choice], torch: dict[str, Any]) -> tuple[str, bool]:
    """What `auto` comes to, and whether it comes to anything."""
    broken = "torch does not load; engine: hibari and engine: world do without it"
    if "error" in torch and not TTS_ENGINES["chatterbox"].missing():
        return broken, False
    try:
        return str(choose()), True
    except EngineError as error:
        return str(error), False
    except Exception:  # torch again, here and not in a process of its own
        return broken, False


def _missing(free_bytes: int) -> Iterator[Finding]:
    lacking: dict[Finding, list[str]] = {}
    for registry, does in ((TTS_ENGINES, "engine "), (VC_ENGINES, "converter ")):
        for name, entry in registry.items():
            if entry.missing():
                cure = entry.install
                cure = install_chatterbox() if cure == INSTALL_CHATTERBOX else cure
                lacking.setdefault((", ".join(entry.missing()), cure), []).append(does + name)
    for (modules, cure), uses in lacking.items():
        yield f"{modules} (for {', '.join(uses)})", cure
    if len(_formats()) < len(FORMATS):
        yield "a libsndfile that writes mp3 and opus", "pip install -U soundfile"
    if find_spec("ipykernel") is None:
        yield "ipykernel, which runs notebooks", INSTALL_BASE
    if free_bytes < _LOW_DISK_BYTES:
        yield f"disk: {free_bytes / 1e9:.1f} GB free", "chatter-nb clean --unused"


def install_chatterbox() -> str:
    """The command for this place. A torch that is here already, Colab's say, stays as it is."""
    has_torch = find_spec("torch") is not None
    checkout = look_for_checkout()
    if checkout is None:
        wanted = [str(one) for one in _wanted() if not (has_torch and one.name in _TORCH_PAIR)]
        return f"pip install {' '.join(map(shlex.quote, wanted))} && {NO_DEPS}"
    if has_torch:  # the pins would replace it
        return f"{_in(checkout)}pip install -e '.[chatterbox]' && {NO_DEPS}"
    return f"{_in(checkout)}{INSTALL_CHATTERBOX}"


def _in(folder: Path) -> str:
    return "" if folder == Path.cwd() else f"cd {shlex.quote(str(folder))} && "


def _package_traps() -> Iterator[Finding]:
    """Chatterbox beside packages of another age. Only where it is installed."""
    found = installed_version(PACKAGE)
    if found is None:
        return
    if found != UPSTREAM:
        yield f"{PACKAGE} is {found}; the engines are made for {UPSTREAM}", NO_DEPS
    for wanted in _wanted():
        here = installed_version(wanted.name)
        told_elsewhere = wanted.name == "setuptools" or (not here and wanted.name in _TORCH_PAIR)
        if told_elsewhere or (here and wanted.specifier.contains(here, prereleases=True)):
            continue
        told = f"is {here}" if here else "is not installed"
        needs = f"{PACKAGE} needs {wanted.name}{wanted.specifier}"
        yield f"{wanted.name} {told}; {needs}", f"pip install {shlex.quote(str(wanted))}"


def _wanted() -> list[Requirement]:
    """What the extra [chatterbox] asks for, its marker taken off."""
    try:
        lines = metadata.requires("chatter_nb") or []
    except metadata.PackageNotFoundError:
        return []
    plain = [line.partition(";") for line in lines]
    return [Requirement(wanted) for wanted, _, marker in plain if "chatterbox" in marker]


def lacking_for_service() -> str:
    """What `serve` needs and is not installed, as a sentence; empty if nothing."""
    return not_installed([name for name in SERVICE if find_spec(name) is None])


def _notes() -> Iterator[Finding]:
    if told := lacking_for_service():
        yield f"{told}: chatter-nb serve and app need them", INSTALL_SERVICE
    if installed_version(PACKAGE) and find_spec("spacy_pkuseg") is None:
        what = "Chinese (chatterbox-multilingual, language zh) needs spacy-pkuseg"
        yield what, "pip install spacy-pkuseg"


_PROBE = """
import importlib, json, sys, warnings

out, sys.stdout = sys.stdout, sys.stderr

def look_at(module):
    if module.__name__ == "perth":
        return {"none": module.PerthImplicitWatermarker is None}
    found = {"version": module.__version__}
    if module.__name__ == "torch":
        found.update(cuda=module.version.cuda, told=[])
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found["available"] = module.cuda.is_available()
        found["told"] = [str(one.message).splitlines()[0] for one in told]
        if found["available"]:
            cuda = module.cuda
            found["built_for"] = cuda.get_arch_list()
            found["gpus"] = [
                (cuda.get_device_name(i), cuda.get_device_capability(i))
                for i in range(cuda.device_count())
            ]
    return found

for name in sys.argv[1:]:
    print(json.dumps({"module": name}), file=out, flush=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
        found = look_at(module)
    except BaseException as error:
        told = (str(error).strip().splitlines() or [""])[0]
        found = {"error": f"{type(error).__name__}: {told}"}
    print(json.dumps({"module": name, "found": found}), file=out, flush=True)
"""
_PROBE_S = 180


def look_at_imports() -> dict[str, dict[str, Any]]:
    """Import torch, torchaudio and perth, those that are there, in a process of their own."""
    names = [name for name in ("torch", "torchaudio", "perth") if find_spec(name)]
    if not names:
        return {}
    command = [sys.executable, "-c", _PROBE, *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S)
        lines, ended = done.stdout.splitlines(), f"Python ended with status {done.returncode}"
    except subprocess.TimeoutExpired as late:
        text = late.stdout or ""
        lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
        ended = f"not imported after {_PROBE_S} s"
    told = [json.loads(line) for line in lines if line.startswith('{"module"')]
    imports = {one["module"]: {"error": ended} for one in told if "found" not in one}
    return imports | {one["module"]: one["found"] for one in told if "found" in one}


def look_at_gpus() -> list[Gpu]:
    """NVIDIA's cards, asked of its driver, not of torch."""
    fields = "--query-gpu=name,driver_version,compute_cap"
    command = ["nvidia-smi", fields, "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        told = done.stdout if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):
        told = ""
    cards = re.findall(r"^(.+), (\d[\d.]*), (\d+)\.(\d+)$", told, re.MULTILINE)
    found = [Gpu(name, driver, (int(major), int(minor))) for name, driver, major, minor in cards]
    if found or not _DRIVER.is_file():
        return found
    version = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", _DRIVER.read_text(errors="replace"))
    return [Gpu("an NVIDIA GPU", version[0] if version else "")]


_DRIVER = Path("/proc/driver/nvidia/version")  # where nvidia-smi is missing or broken


def look_at_weights() -> dict[str, str | None]:
    """Each model's folder in the hub's cache; nothing where the hub's client is not installed."""
    if find_spec("huggingface_hub") is None:
        return {}
    folders = {name: cached(name) for name in MODELS}
    return {name: str(folder) if folder else None for name, folder in folders.items()}


def look_for_checkout() -> Path | None:
    """The folder of this project's sources, if the package runs from there."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "constraints.txt").is_file() else None


def _formats() -> tuple[str, ...]:
    return tuple(f for f in FORMATS if _CONTAINERS[f] in soundfile.available_formats())


def _from_here(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
