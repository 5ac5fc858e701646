"""Colab as near as it can be had without Google: its versions, its first cell, our notebooks.

`python tests/colab_env.py [--torch] [--keep] FOLDER` builds a virtual environment in FOLDER with
the versions that Colab brings, and a `google.colab` that its kernels load as Colab's do. A watched
kernel runs the Colab cell, which installs this working tree by way of git; the same kernel then
clicks the forms, and a real browser one of them, in the classic notebook: its widgets are those of
ipywidgets 7. The notebooks run by Papermill in an empty folder. With `--torch` Chatterbox is
installed too. Ends with a table and 1 if anything failed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from classic import speaks
from notebook_cells import ROOT, colab_cell, repository

from chatter_nb.base.errors import UnavailableError
from chatter_nb.bench.suites.lab import browser_path

# What is in use before the first cell runs, or must not move. The rest resolves of itself. Of
# widgetsnbextension Colab has 3.6.10, and does not use it: in a browser its `Output` fails.
COLABS = (
    *("ipywidgets==7.7.1", "ipykernel==6.17.1", "ipython==7.34.0", "widgetsnbextension==3.6.1"),
    *("jupyter-client==7.4.9", "jupyter-core==5.8.1", "traitlets==5.7.1", "tornado==6.5.1"),
    *("pyzmq==26.2.1", "notebook==6.5.7", "numpy==2.1.3", "matplotlib==3.10.0"),
    *("pydantic==2.11.7", "setuptools==75.2.0", "scipy", "typer", "pyyaml", "tqdm", "packaging"),
)
COLABS_TORCH = ("torch==2.11.0", "torchaudio==2.11.0", "transformers==5.15.0")
SINGLE = (
    ("00_check", "hibari"),
    ("01_speak", "hibari"),
    ("02_convert", "world"),
    ("06_book", "hibari"),
)
CALLS = "colab_calls.txt"  # in the environment: what was asked of Colab's front end
STUB = {
    "__init__.py": "def load_ipython_extension(shell):\n    pass\n",
    "output.py": "def enable_custom_widget_manager():\n    pass\n",
    "userdata.py": f"""import pathlib, sys
def get(key):
    with pathlib.Path(sys.prefix, {CALLS!r}).open("a") as calls:
        print("userdata.get", key, file=calls)
    return "hf_of_colab"
""",
    "drive.py": f"""import pathlib, sys
def mount(place):
    with pathlib.Path(sys.prefix, {CALLS!r}).open("a") as calls:
        print("drive.mount", place, file=calls)
    pathlib.Path(place, "MyDrive").mkdir(parents=True)
""",
}
SPEAK_FORM = """
from chatter_nb.notebook.forms.kinds import SpeakForm
from chatter_nb.params.runs import SpeakParams
form = SpeakForm(SpeakParams(text="A form on Colab.", engine="hibari", run_name="form"))
form._go.click()
assert form.wait(600), "it did not end"
assert form.takes.all, form.notices.box.value
display(form)
print(form.takes.all[0].speech)
"""
CONVERT_FORM = """
from chatter_nb.notebook.forms.kinds import ConvertForm
from chatter_nb.params.runs import ConvertParams
both = {"source": "params/recordings/target.flac", "target": "params/recordings/reading.flac"}
form = ConvertForm(ConvertParams(**both, engine="world", run_name="convert_form"))
form._go.click()
assert form.wait(600), "it did not end"
assert form.takes.all, form.notices.box.value
display(form)
print(form.takes.all[0].speech)
"""
BLIND_FORM = """
from chatter_nb.notebook.compare import blindform
from chatter_nb.notebook.compare.comparison import load_comparison
from chatter_nb.notebook.compare import CompareParams
from chatter_nb.notebook.compare.preferences import Preferences
from chatter_nb.runs.speak import generate_tts
for pace in (1.0, 0.8):
    generate_tts(SpeakParams(text="One. Two.", engine="hibari", speed=pace, run_name=str(pace)))
params = CompareParams(runs=["1.0", "0.8"], blind=True)
blindform.LISTEN_S = 0  # nobody listens here
blind = blindform.BlindForm(Preferences(load_comparison(params), params))
blind.buttons[0].click()
assert "Pair 1 of" not in blind.content, blind.content
display(blind.box)
print("one answer given")
"""
CHATTERBOX = """
from chatter_nb.engines.chatterbox.random_checkpoints import make_checkpoint
place = str(make_checkpoint("checkpoint", "chatterbox", "tiny"))
values = {"text": "A model.", "engine": "chatterbox", "checkpoint": place, "run_name": "model"}
print(generate_tts(SpeakParams(**values)))
"""

Check = tuple[str, bool, str]  # what, whether it held, what is told of it


class Fault(Exception):
    """What went wrong, in a line."""


def check(name: str, call: Callable[[], str], checks: list[Check]) -> bool:
    """Do one thing, and put down how it went."""
    began_s = time.perf_counter()
    try:
        held, told = True, call()
    except Exception as error:
        held, told = False, f"{type(error).__name__}: {error}"
    took = f"{time.perf_counter() - began_s:.0f} s"
    checks.append((name, held, f"{told} ({took})"))
    print(f"{'ok    ' if held else 'FAILED'} {name}: {told} ({took})", flush=True)
    return held


def colab(folder: Path, python: str, torch: bool) -> list[Check]:
    """Everything, in a folder of its own; the checks in order."""
    checks: list[Check] = []
    env, content = folder / "env", folder / "content"
    content.mkdir(parents=True)
    pins = [*COLABS, *(COLABS_TORCH if torch else ())]
    if not check("environment", lambda: build(env, python, pins), checks):
        return checks
    before = versions(env)
    source = f"git+{source_repository(folder / 'clone').as_uri()}"
    cell = colab_cell().replace(f"git+{repository()}", source)
    cell = cell.replace('chatterbox = "auto"', 'chatterbox = "yes"') if torch else cell
    forms = [("SpeakForm", SPEAK_FORM), ("ConvertForm", CONVERT_FORM), ("BlindForm", BLIND_FORM)]
    forms += [("Chatterbox, tiny", CHATTERBOX)] if torch else []
    with kernel(env, content) as run:
        if not check("Colab cell", lambda: run(cell), checks):
            return checks
        check("nothing that was there moved", lambda: unmoved(before, versions(env)), checks)
        check("asked for the token, once", lambda: asked(env, ["userdata.get HF_TOKEN"]), checks)
        token = 'import os; assert os.environ["HF_TOKEN"] == "hf_of_colab"'
        check("token passed on", lambda: run(token), checks)
        for name, code in forms:
            check(name, lambda code=code: run(code), checks)
    check("SpeakForm in a browser", lambda: in_a_browser(env, content), checks)
    for name, engine in SINGLE:
        check(name, lambda n=name, e=engine: single(env, content, n, e, source), checks)
    for name in ("03_batch", "05_compare"):
        check(name, lambda n=name: papermill(env, content, n, source), checks)
    short = ("-y", "{chunks: 2, lengths: [300, 600, 1200]}")
    check("04_timing", lambda: papermill(env, content, "04_timing", source, *short), checks)
    check("no notebook asked", lambda: asked(env, ["userdata.get HF_TOKEN"]), checks)
    return checks


def build(env: Path, python: str, pins: list[str]) -> str:
    """The environment with what Colab brings; tells which of its versions did not install."""
    subprocess.run([python, "-m", "venv", env], check=True, capture_output=True)
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    own = [env / "bin" / "python", "-m", "pip", "install", "--quiet"]
    command = [uv, "pip", "install", "--quiet", "--python", env / "bin" / "python"] if uv else own
    missing = []
    if subprocess.run([*command, *pins], capture_output=True).returncode:
        installs = {pin: subprocess.run([*command, pin], capture_output=True) for pin in pins}
        missing = [pin for pin, done in installs.items() if done.returncode]  # tell which
    place = Path(written(env, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    for name, text in STUB.items():
        path = place / "google" / "colab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    config = env / "etc" / "ipython" / "ipython_config.py"  # every kernel loads it, as on Colab
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text('c.InteractiveShellApp.extensions = ["google.colab"]\n', encoding="utf-8")
    if set(missing) & set(COLABS):
        raise Fault(f"not installed: {', '.join(missing)}")
    left_out = f"; not installed: {', '.join(missing)}" if missing else ""
    return f"{written(env, 'import platform; print(platform.python_version())')}{left_out}"


def source_repository(folder: Path) -> Path:
    """The working tree, uncommitted changes and all, as a repository that pip can clone."""
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    identity = ("-c", "user.name=colab_env", "-c", "user.email=colab_env@localhost")
    git(folder, *identity, "commit", "--quiet", "--no-verify", "--message", "working tree")
    return folder.resolve()


def git(folder: Path, *args: str) -> str:
    """In this folder, whatever repository the caller is in."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", *args], cwd=folder, env=clean, check=True, capture_output=True, text=True
    ).stdout


def surroundings(env: Path) -> dict[str, str]:
    """As in the environment's own shell, with nothing of this one's Jupyter or token."""
    foreign = ("JUPYTER", "IPYTHON", "PYTHON", "VIRTUAL_ENV", "MPLBACKEND", "HF_", "JPY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    path = f"{env.resolve() / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "IPYTHONDIR": str(env.resolve() / "ipython")}


def written(env: Path, code: str) -> str:
    """What the environment's Python prints."""
    command = [env / "bin" / "python", "-c", code]
    return subprocess.run(
        command, env=surroundings(env), check=True, capture_output=True, text=True
    ).stdout.strip()


def versions(env: Path) -> dict[str, str]:
    """Every distribution in the environment."""
    code = "import importlib.metadata as m, json; d = m.distributions(); "
    code += "print(json.dumps({one.metadata['Name']: one.version for one in d}))"
    return json.loads(written(env, code))


def unmoved(before: dict[str, str], after: dict[str, str]) -> str:
    """All of them, not only those that a kernel holds."""
    moved = [f"{name} {before[name]} -> {after.get(name)}" for name in before]
    moved = [
        line for line, name in zip(moved, before, strict=True) if after.get(name) != before[name]
    ]
    if moved:
        raise Fault(", ".join(moved))
    return f"{len(before)} kept, {len(after) - len(before)} added"


def asked(env: Path, expected: list[str]) -> str:
    calls = env / CALLS
    found = calls.read_text(encoding="utf-8").splitlines() if calls.exists() else []
    if found != expected:
        raise Fault(f"asked {found}")
    return "as it should be"


@contextmanager
def kernel(env: Path, content: Path) -> Iterator[Callable[[str], str]]:
    """A kernel of the environment, with a person at it; answers a cell's last line."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager

    argv = [str(env.resolve() / "bin" / "python"), "-m", "ipykernel_launcher"]
    argv += ["-f", "{connection_file}"]
    spec = env / "kernels" / "colab" / "kernel.json"
    spec.parent.mkdir(parents=True)
    told = {"argv": argv, "display_name": "Colab", "language": "python"}
    spec.write_text(json.dumps(told), encoding="utf-8")
    specs = KernelSpecManager(kernel_dirs=[str(spec.parents[1])], ensure_native_kernel=False)
    manager = KernelManager(kernel_name="colab", kernel_spec_manager=specs)
    manager.start_kernel(cwd=str(content), env=surroundings(env))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=600)
        yield lambda code: execute(client, code)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(client, code: str) -> str:
    """The last line that a cell prints; raises what it raised."""
    printed: list[str] = []

    def heard(message) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, allow_stdin=True, output_hook=heard, timeout=1_800)
    text = "".join(printed).strip()
    if reply["content"]["status"] != "ok":
        trace = "\n".join(reply["content"].get("traceback", []))
        raise Fault(f"{reply['content'].get('evalue')}\n{text}\n{trace}")
    return text.splitlines()[-1] if text else "as it should be"


def in_a_browser(env: Path, content: Path) -> str:
    """Left out, and told, where there is no browser."""
    try:
        browser_path()
    except UnavailableError as error:
        return f"left out: {error}"
    return speaks(env, content, surroundings(env))


def single(env: Path, content: Path, name: str, engine: str, source: str) -> str:
    """A notebook that makes one run, which must be ok."""
    papermill(env, content, name, source, "-p", "engine", engine, "-p", "run_name", name)
    record = json.loads((content / "outputs" / name / "run.json").read_text(encoding="utf-8"))
    if record["status"] != "ok":
        raise Fault(f"run.json says {record['status']}: {record['error']}")
    return f"{record['engine']['name']}, {record['audio_s']:.1f} s of audio"


def papermill(env: Path, content: Path, name: str, source: str, *args: str) -> str:
    """One notebook, brought here alone, in a kernel where no person is."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(f"git+{repository()}", source)
    (content / "brought").mkdir(exist_ok=True)
    nbformat.write(notebook, content / "brought" / f"{name}.ipynb")
    out = content / "brought" / f"{name}_out.ipynb"
    command = [env / "bin" / "python", "-m", "papermill", f"brought/{name}.ipynb", out]
    command += ["--no-progress-bar", "-k", "python3", *args]
    done = subprocess.run(
        command, cwd=content, env=surroundings(env), capture_output=True, text=True, timeout=1_800
    )
    if done.returncode:
        raise Fault(done.stderr[-2000:])
    executed = out.read_text(encoding="utf-8")
    if "HF_TOKEN: not asked for" not in executed:
        raise Fault("the Colab cell did not run, or did not see that no person is there")
    if "the reset failed" in executed:
        raise Fault("the warm kernel could not be reset")
    return "as it should be"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an empty or new folder to work in")
    parser.add_argument("--torch", action="store_true", help="with torch and Chatterbox, 5 GB")
    parser.add_argument("--keep", action="store_true", help="leave the environment there")
    parser.add_argument("--python", default=sys.executable, help="Colab's is 3.12")
    options = parser.parse_args()
    if options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty")
    checks = colab(options.folder.resolve(), options.python, options.torch)
    if not options.keep:
        shutil.rmtree(options.folder)
    width = max(len(name) for name, _, _ in checks)
    print()
    for name, held, told in checks:
        first, _, _ = told.partition("\n")
        print(f"{name:<{width}}  {'ok' if held else 'FAILED':<6}  {first}")
    return 0 if all(held for _, held, _ in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
