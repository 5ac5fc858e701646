"""Colab: the cell's address, what is found missing, what pip may move, samples, Drive and token.

Only `google.colab` is a stand-in; pip and the environments it works in are real.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import types
import zipfile
from pathlib import Path

import lazy_loader
import nbformat
import pytest
from conftest import ROOT

from chatter_nb.base.errors import OutputError, ParamError
from chatter_nb.setup import colab, packages

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def google(monkeypatch):
    """A `google.colab` of the test's own: what it is asked is in `asked`."""
    asked: list[str] = []
    drive, userdata = types.ModuleType("drive"), types.ModuleType("userdata")

    def mount(place: str) -> None:
        asked.append(f"mount {place}")
        (Path(place) / "MyDrive").mkdir(parents=True)

    def get(name: str) -> str:
        asked.append(f"get {name}")
        return "hf_of_colab"

    drive.mount, userdata.get = mount, get
    for name, module in {"drive": drive, "userdata": userdata}.items():
        monkeypatch.setitem(sys.modules, f"google.colab.{name}", module)
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    # Set, then deleted: what the code under test sets is gone after the test as well.
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.delenv("HF_TOKEN")
    return types.SimpleNamespace(asked=asked, drive=drive, userdata=userdata)


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The Python of an environment that holds pip, and what the first cell installs beside us."""
    return environment(tmp_path_factory.mktemp("bare") / "env")


def environment(folder: Path, *options: str) -> Path:
    subprocess.run([sys.executable, "-m", "venv", *options, folder], check=True)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    source = Path(lazy_loader.__file__).parent
    shutil.copytree(source, Path(done.stdout.strip()) / source.name)
    return python


def distribution(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A distribution of no modules: what pip needs to see one installed, and what a wheel holds."""
    place = folder / f"{name}-{version}.dist-info"
    place.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requires}"] if requires else []
    (place / "METADATA").write_text("\n".join(lines) + "\n")
    (place / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (place / "RECORD").write_text("".join(f"{place.name}/{n},,\n" for n in ("METADATA", "RECORD")))


def run(python: Path, code: str, **env: str) -> str:
    """What a Python with this package on its path prints."""
    told = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    command = [python, "-c", code]
    done = subprocess.run(command, env=told, cwd=python.parent, capture_output=True, text=True)
    return done.stdout + done.stderr


# -- the notebooks' cell ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_colab_cell_installs_from_the_projects_address(path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (cell,) = [c for c in nbformat.read(path, 4).cells if "colab" in c.metadata.get("tags", [])]
    assert cell.source.split("git+")[1].split()[0] == project["urls"]["Repository"]


def test_the_cell_needs_nothing_but_python(bare):
    """Before anything is installed `chatter_nb.setup.colab` imports; nobody watches."""
    code = "from chatter_nb import colab; print(colab.person_watches())"
    assert run(bare, code) == "False\n"


# -- what is missing -------------------------------------------------------------------------------


def test_nothing_is_missing_where_all_is_installed():
    assert packages.needs() == []


def test_a_bare_environment_lacks_what_the_package_requires(bare, tmp_path):
    """Extras are asked for by name; what does not fit is told with what is here."""
    place = tmp_path / "here"
    distribution(
        place, "chatter_nb", "0.1", 'papermill>=2.6\nRequires-Dist: old>=2; extra == "new"'
    )
    distribution(place, "old", "1.0")
    code = "from chatter_nb.setup.packages import needs; print(needs(), needs('new'))"
    assert run(bare, code, PYTHONPATH=f"{place}{os.pathsep}{ROOT}") == (
        "[Need(name='papermill', requirement='papermill>=2.6', have=None)] "
        "[Need(name='old', requirement='old>=2', have='1.0')]\n"
    )


def test_with_chatterbox_come_the_witnesses_of_verify(bare, tmp_path):
    place = tmp_path / "here"
    extras = ["papermill", 'voice; extra == "chatterbox"', 'ear; extra == "verify"']
    distribution(place, "chatter_nb", "0.1", "\nRequires-Dist: ".join(extras))
    code = "from chatter_nb.setup.colab import install_missing as i; i({})"
    env = {"PYTHONPATH": f"{place}{os.pathsep}{ROOT}", "PIP_NO_INDEX": "1"}
    assert "installing papermill, voice, ear …" in run(bare, code.format(True), **env)
    assert "installing papermill …" in run(bare, code.format(False), **env)


# -- pip -------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(bare, tmp_path) -> dict[str, str]:
    """Wheels in a folder instead of an index; `held` and `pair`, both 1.0, are installed."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, version, requires in (
        ("held", "1.0", ""),
        ("held", "2.0", ""),
        ("wants_new", "1.0", "held>=2"),
        ("modest", "1.0", "held"),
        ("pair", "1.0", "held==1.0"),
        ("pair", "2.0", "held==2.0"),
    ):
        contents = tmp_path / f"{name}-{version}"
        distribution(contents, name, version, requires)
        with zipfile.ZipFile(wheels / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path in contents.glob("*/*"):
                wheel.write(path, path.relative_to(contents))
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    pip = [bare, "-m", "pip", "install", "--quiet", "--force-reinstall", "held==1.0", "pair==1.0"]
    subprocess.run(pip, env={**os.environ, **env}, check=True)
    return env


def installing(bare, shelf, call: str) -> str:
    """What an install says, and which versions are there after it."""
    code = f"""
from chatter_nb.setup import packages
from chatter_nb.base.errors import UnavailableError
try:
    packages.install({call})
except UnavailableError as error:
    print(error)
found = packages.installed()
print({{name: found.get(name) for name in ("held", "pair", "modest")}})
"""
    return run(bare, code, **shelf)


def test_what_is_installed_stays(bare, shelf):
    assert (
        installing(bare, shelf, "['modest']") == "{'held': '1.0', 'pair': '1.0', 'modest': '1.0'}\n"
    )


def test_what_may_be_replaced_takes_its_own_requirements_along(bare, shelf):
    """As pydantic does pydantic-core, of which it wants one version."""
    told = installing(bare, shelf, "['pair>=2'], replace=['pair']")
    assert told.startswith("{'held': '2.0', 'pair': '2.0'")


def test_but_not_those_that_are_kept(bare, shelf):
    told = installing(bare, shelf, "['pair>=2'], replace=['pair'], keep=['held']")
    assert "installed and kept: held==1.0" in told
    assert "{'held': '1.0', 'pair': '1.0'" in told


def test_a_conflict_names_the_version_at_fault(bare, shelf):
    """And who asks for another, in a line, without pip's advice."""
    told, versions = installing(bare, shelf, "['wants_new']").splitlines()
    assert told.startswith("pip could not install wants_new: ")
    assert "wants-new 1.0 depends on held>=2; installed and kept: held==1.0" in told
    assert "http" not in told
    assert versions.startswith("{'held': '1.0'")


def test_what_no_index_has_is_told(bare, shelf):
    told, _ = installing(bare, shelf, "['nowhere_to_be_found']").splitlines()
    assert "No matching distribution found for nowhere_to_be_found" in told


def test_without_pip_the_cure_is_told(tmp_path):
    python = environment(tmp_path / "env", "--without-pip")
    told = run(python, "from chatter_nb.setup import packages; packages.install(['held'])")
    assert f"`{python} -m ensurepip`" in told
    assert f"`uv pip install --python {python} pip`" in told
    assert subprocess.run([python, "-m", "ensurepip"], capture_output=True).returncode == 0


# -- samples ---------------------------------------------------------------------------------------


def test_samples_are_laid_out_once(tmp_path):
    """Parameters, recordings and notebooks; what a person has there is left alone."""
    (tmp_path / "params").mkdir()
    (tmp_path / "params" / "mine.yaml").write_text("text: mine\n")
    assert colab.lay_out(tmp_path) == ("notebooks",)
    assert colab.lay_out(tmp_path / "empty") == ("params", "notebooks")
    assert colab.lay_out(tmp_path / "empty") == ()
    assert [path.name for path in (tmp_path / "params").iterdir()] == ["mine.yaml"]
    laid = sorted(path.name for path in (tmp_path / "empty" / "notebooks").iterdir())
    assert laid == [path.name for path in NOTEBOOKS]
    assert (tmp_path / "empty" / "params" / "recordings" / "reading.flac").is_file()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot lay out params/ in .*file.*can be written"):
        colab.lay_out(tmp_path / "file")


# -- Drive, token, GPU -----------------------------------------------------------------------------


def test_drive_is_mounted_and_worked_on(google, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = colab.work_on_drive(watched=True, mount=tmp_path / "drive")
    assert google.asked == [f"mount {tmp_path / 'drive'}"]
    assert Path.cwd() == tmp_path / "drive" / "MyDrive" / "chatter_nb"
    assert told == f"Drive: outputs go to {Path.cwd()}/outputs"


def test_without_a_person_drive_is_not_asked_for(google, tmp_path, monkeypatch):
    """Colab's question would wait for ever in a kernel of Papermill's."""
    monkeypatch.chdir(tmp_path)
    told = colab.work_on_drive(watched=False, mount=tmp_path / "drive")
    assert google.asked == []
    assert Path.cwd() == tmp_path
    assert "outer notebook" in told


def test_a_mounted_drive_is_used_without_a_person(google, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drive" / "MyDrive").mkdir(parents=True)
    colab.work_on_drive(watched=False, mount=tmp_path / "drive")
    assert google.asked == []
    assert Path.cwd() == tmp_path / "drive" / "MyDrive" / "chatter_nb"


def test_a_refused_drive_is_a_sentence(google, tmp_path, monkeypatch):
    def refuse(place: str) -> None:
        raise ValueError("mount failed: credential propagation was unsuccessful")

    monkeypatch.setattr(google.drive, "mount", refuse)
    with pytest.raises(OutputError, match=r"credential propagation .* set drive to False"):
        colab.work_on_drive(watched=True, mount=tmp_path / "drive")


def test_the_token_is_passed_on(google):
    assert colab.pass_on_token(watched=True) == "HF_TOKEN: passed on from Colab's secrets"
    assert os.environ["HF_TOKEN"] == "hf_of_colab"


def test_a_token_that_is_there_is_not_asked_for(google, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    colab.pass_on_token(watched=True)
    assert os.environ["HF_TOKEN"] == "hf_mine"
    assert google.asked == []


def test_without_a_person_the_token_is_not_asked_for(google):
    assert "no person is here" in colab.pass_on_token(watched=False)
    assert google.asked == []


def test_a_refused_token_is_a_sentence(google, monkeypatch):
    def refuse(name: str) -> str:
        raise PermissionError(f"Notebook does not have access to secret {name}")

    monkeypatch.setattr(google.userdata, "get", refuse)
    assert colab.pass_on_token(watched=True).startswith("HF_TOKEN: none (PermissionError)")
    assert "HF_TOKEN" not in os.environ


def test_without_a_gpu_the_way_to_one_is_told():
    assert "Runtime > Change runtime type > T4 GPU" in colab.gpu_sentence(None)
    assert colab.gpu_sentence("Tesla T4") == "GPU: Tesla T4"


def test_what_moved_asks_for_a_restart():
    before = {"numpy": "2.1.3", "torch": "2.11.0", "papermill": "2.6"}
    assert colab.kept_sentence(before, before) == "kept: torch 2.11.0, numpy 2.1.3"
    after = before | {"numpy": "2.4.6", "papermill": "2.7"}
    told = colab.kept_sentence(before, after)
    assert told.startswith("numpy 2.1.3 is now 2.4.6: choose Runtime > Restart session")


def test_set_up_where_nothing_is_missing(google, tmp_path, monkeypatch, capsys):
    """It installs nothing, lays out the samples and says what it found."""
    monkeypatch.chdir(tmp_path)
    colab.set_up(chatterbox="no", watched=True)
    told = capsys.readouterr().out
    assert "packages: nothing is missing" in told
    assert f"params/ laid out in {tmp_path}" in told
    assert told.endswith("HF_TOKEN: passed on from Colab's secrets\n")


def test_a_wrong_wish_is_told(google):
    with pytest.raises(ParamError, match="chatterbox is True: use 'auto', 'yes' or 'no'"):
        colab.set_up(chatterbox=True)  # type: ignore[arg-type]


# -- all of it -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_runtime_with_colabs_versions(tmp_path):
    """The cell, the forms and the notebooks on ipywidgets 7.7.1; nothing of Colab's moves."""
    command = [sys.executable, ROOT / "tests" / "colab_env.py", tmp_path / "runtime"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
