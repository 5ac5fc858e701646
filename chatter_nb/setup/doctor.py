"""Examines this machine: what is installed, what a run would use, and known traps with their cures.

Loads no model.
"""

from __future__ import annotations

import platform
import shlex
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import soundfile

from chatter_nb.base.disk import free_disk_bytes
from chatter_nb.base.errors import EngineError
from chatter_nb.base.formats import PLAIN_FORMATS
from chatter_nb.base.project import resolve_path, shown_path
from chatter_nb.base.version import __version__, installed_version
from chatter_nb.engines.checkpoints import MODELS, PACKAGE, cached
from chatter_nb.engines.models import Choice, has_gpu_driver, pick_device, pick_engine
from chatter_nb.engines.registry import INSTALL_CHATTERBOX, TTS_ENGINES, VC_ENGINES, not_installed
from chatter_nb.runs.checking import lacking
from chatter_nb.setup.gpus import look_at_gpus
from chatter_nb.setup.packages import UPSTREAM, needs, requirements
from chatter_nb.setup.traps import Finding, gpu_traps, import_traps, look_at_imports
from chatter_nb.verify.spelling import INSTALL

PACKAGES = (
    "papermill jupyterlab ipywidgets numpy soundfile hibari-tts pyworld-prebuilt torch torchaudio "
    f"transformers setuptools resemble-perth {PACKAGE}"
).split()
INSTALL_BASE = "pip install -c constraints.txt -e ."
INSTALL_SERVICE = "pip install -c constraints.txt -e '.[serve]'"
SERVICE = ("fastapi", "uvicorn", "multipart", "gradio", "prometheus_client")
NO_DEPS = f"pip install --no-deps {PACKAGE}=={UPSTREAM}"
_LOW_DISK_BYTES = 1e9
_TORCH_PAIR = ("torch", "torchaudio")


@dataclass(frozen=True)
class Report:
    """The result of `examine`. `missing`, `traps` and `notes` are pairs (finding, cure).

    A trap breaks what is installed; a note concerns some runs only. Unless `loaded`, it was not
    tried whether torch and what needs it load. `weights` is the folder of each
    model in the hub's cache, or None if its files are downloaded on first use.
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
    loaded: bool = True

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        rows = {name: version or "not installed" for name, version in self.versions.items()}
        rows |= {"": "", "engine auto": self.engine, "converter auto": self.converter}
        rows |= {"device auto": self.device, "audio formats": " ".join(self.formats)}
        rows["outputs"] = f"{self.outputs} ({self.free_disk_bytes / 1e9:.1f} GB free)"
        if not self.loaded:
            rows["torch loads"] = "not tried, as no GPU is here; to try: chatter-nb doctor --load"
        lines = [f"{name:16} {value}".rstrip() for name, value in rows.items()]
        for name, folder in self.weights.items():
            state = "are here" if folder else f"come on first use, or now: chatter-nb fetch {name}"
            lines.append(f"weights          {name}: {state}")
        for kind in ("missing", "traps", "notes"):
            label, findings = kind.removesuffix("s"), getattr(self, kind)
            lines += [f"{label}: {what}\n  {cure}" for what, cure in findings]
        ready = "ready to speak" if self.can_speak else "cannot speak yet: see missing and trap"
        return "\n".join([*lines, "", ready])


def examine(*, load: bool = False) -> Report:
    """Examine this machine. Torch and what needs it are loaded on request, and beside a GPU."""
    gpus = look_at_gpus()
    load = load or bool(gpus) or has_gpu_driver()
    imports = look_at_imports(load=load)
    torch = imports.get("torch", {})
    outputs = resolve_path("outputs")
    free_bytes = free_disk_bytes(outputs)
    engine, can_speak = _choice(lambda: pick_engine(), torch)
    versions = {"chatter_nb": __version__, "python": platform.python_version()}
    installed = {name: installed_version(name) for name in PACKAGES}
    builds = {name: look["version"] for name, look in imports.items() if "version" in look}
    return Report(
        versions=versions | installed | builds,  # torch itself names its build: 2.11.0+cpu
        engine=engine,
        converter=_choice(lambda: pick_engine(kind="convert"), torch)[0],
        device=_choice(lambda: pick_device(), torch)[0],
        formats=_formats(),
        outputs=shown_path(outputs),
        free_disk_bytes=free_bytes,
        weights=look_at_weights(),
        missing=tuple(_missing(free_bytes)),
        traps=(*_package_traps(), *import_traps(imports), *gpu_traps(torch, gpus)),
        notes=tuple(_notes()),
        can_speak=can_speak,
        loaded=load or not imports,
    )


def _choice(choose: Callable[[], Choice], torch: dict[str, Any]) -> tuple[str, bool]:
    """What `auto` stands for here, as a sentence, and whether it stands for anything."""
    broken = "torch does not load; engine: hibari and engine: world do without it"
    if "error" in torch and not TTS_ENGINES["chatterbox"].missing():
        return broken, False
    try:
        return str(choose()), True
    except EngineError as error:
        return str(error), False
    except Exception:  # from torch, which is imported in this process here
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
    if len(_formats()) < len(PLAIN_FORMATS):
        yield "a libsndfile that writes mp3 and opus", "pip install -U soundfile"
    if find_spec("av") is None:
        yield "av, which writes opus", INSTALL_BASE
    if find_spec("ipykernel") is None:
        yield "ipykernel, which runs notebooks", INSTALL_BASE
    if free_bytes < _LOW_DISK_BYTES:
        yield f"disk: {free_bytes / 1e9:.1f} GB free", "chatter-nb clean --unused"


def install_chatterbox() -> str:
    """The command that installs Chatterbox here. An installed torch, Colab's say, stays."""
    has_torch = find_spec("torch") is not None
    checkout = look_for_checkout()
    if checkout is None:
        names = [
            shlex.quote(str(requirement))
            for requirement in requirements("chatterbox")
            if not (has_torch and requirement.name in _TORCH_PAIR)
        ]
        return f"pip install {' '.join(names)} && {NO_DEPS}"
    if has_torch:  # the pins would replace it
        return f"{_in(checkout)}pip install -e '.[chatterbox]' && {NO_DEPS}"
    return f"{_in(checkout)}{INSTALL_CHATTERBOX}"


def _in(folder: Path) -> str:
    return "" if folder == Path.cwd() else f"cd {shlex.quote(str(folder))} && "


def _package_traps() -> Iterator[Finding]:
    """Versions of packages that do not fit the installed Chatterbox."""
    version = installed_version(PACKAGE)
    if version is None:
        return
    if version != UPSTREAM:
        yield f"{PACKAGE} is {version}; the engines are made for {UPSTREAM}", NO_DEPS
    with suppress(metadata.PackageNotFoundError):  # a clone that is run and not installed
        for need in needs("chatterbox", without=("setuptools",)):  # PerTh's trap names setuptools
            if need.have or need.name not in _TORCH_PAIR:  # a missing engine names these
                state = f"is {need.have}" if need.have else "is not installed"
                finding = f"{need.name} {state}; {PACKAGE} needs {need.requirement}"
                yield finding, f"pip install {shlex.quote(need.requirement)}"


def lacking_for_service() -> str:
    """A sentence that names the packages `serve` needs and that are missing; empty if none is."""
    return not_installed([name for name in SERVICE if find_spec(name) is None])


def _notes() -> Iterator[Finding]:
    if missing := lacking():
        yield f"{missing}: verify and chatter-nb verify need them", INSTALL
    if missing := lacking_for_service():
        yield f"{missing}: chatter-nb serve and app need them", INSTALL_SERVICE
    if installed_version(PACKAGE) and find_spec("spacy_pkuseg") is None:
        what = "Chinese (chatterbox-multilingual, language zh) needs spacy-pkuseg"
        yield what, "pip install spacy-pkuseg"


def look_at_weights() -> dict[str, str | None]:
    """Each model's folder in the hub's cache; empty if the hub's client is not installed."""
    if find_spec("huggingface_hub") is None:
        return {}
    folders = {name: cached(name) for name in MODELS}
    return {name: str(folder) if folder else None for name, folder in folders.items()}


def look_for_checkout() -> Path | None:
    """The folder of this project's sources, if the package runs from it; else None."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "constraints.txt").is_file() else None


def _formats() -> tuple[str, ...]:
    containers = soundfile.available_formats()
    return tuple(name for name, row in PLAIN_FORMATS.items() if row.container in containers)
