"""The doctor names every trap with its cure: simulated where it is looked for, then for real."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

from chatter_nb.engines.models import Choice
from chatter_nb.engines.registry import TTS_ENGINES, VC_ENGINES
from chatter_nb.setup import doctor, gpus, packages, traps
from chatter_nb.setup.gpus import Gpu

TORCH = {
    "version": "2.11.0+cu130",
    "cuda": "13.0",
    "warnings": [],
    "available": True,
    "built_for": ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"],
    "gpus": [["NVIDIA L4", [8, 9]]],
}
NO_GPU = TORCH | {"available": False}
AUDIO = {"version": "2.11.0+cu130"}
PERTH = {"none": False}
L4 = Gpu("NVIDIA L4", "580.65.06", (8, 9))


@pytest.fixture
def healthy(monkeypatch):
    """A machine with everything in order; a test spoils one look."""
    looks = {
        "look_at_imports": {"torch": TORCH, "torchaudio": AUDIO, "perth": PERTH},
        "look_at_gpus": [L4],
        "look_at_weights": dict.fromkeys(doctor.MODELS, "/cache"),
        "pick_engine": Choice("chatterbox", "the best there is"),
        "pick_device": Choice("cuda", "NVIDIA L4"),
    }

    def see(**changed) -> doctor.Report:
        for name, found in (looks | changed).items():
            monkeypatch.setattr(doctor, name, lambda found=found, **_: found)
        return doctor.examine()

    for module in (doctor, traps):
        version = lambda name: "0.1.7" if "tts" in name else None  # noqa: E731
        monkeypatch.setattr(module, "installed_version", version)
        monkeypatch.setattr(module, "find_spec", lambda name: object())
    monkeypatch.setattr(packages, "requirements", lambda extra: [])
    monkeypatch.setattr("chatter_nb.engines.registry.find_spec", lambda name: object())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return see


def trap(report: doctor.Report) -> tuple[str, str]:
    """The only trap, which the printed report names with its cure."""
    (found,) = report.traps
    assert f"trap: {found[0]}\n  {found[1]}" in str(report)
    return found


def imports(**found) -> dict:
    return {"torch": TORCH, "torchaudio": AUDIO, "perth": PERTH} | found


def test_a_machine_in_order_has_no_traps(healthy):
    """No false alarm: a compute capability between two that torch has code for is fine."""
    report = healthy()
    assert (report.missing, report.traps, report.notes) == ((), (), ())
    assert str(report).endswith("ready to speak")


def test_perth_that_is_none(healthy, monkeypatch):
    """Upstream then fails with "NoneType is not callable"."""
    monkeypatch.setattr(traps, "find_spec", lambda name: name != "pkg_resources" or None)
    what, cure = trap(healthy(look_at_imports=imports(perth={"none": True})))
    assert "PerTh, the watermark, does not load (setuptools None has no pkg_resources)" in what
    assert cure == "pip install 'setuptools<81' resemble-perth"


def test_perth_that_raises(healthy):
    broken = {"error": "AttributeError: x"}
    assert "AttributeError: x" in trap(healthy(look_at_imports=imports(perth=broken)))[0]


def test_torchaudio_that_cannot_load(healthy):
    """A CPU build of torch with the ordinary index's torchaudio; both versions are named."""
    broken = {"error": "OSError: libc10_cuda.so: cannot open shared object file"}
    torch = TORCH | {"version": "2.10.0+cpu"}
    report = healthy(look_at_imports=imports(torch=torch, torchaudio=broken))
    what, cure = trap(report)
    assert "beside torch 2.10.0+cpu (OSError: libc10_cuda.so" in what
    assert "--no-deps torchaudio==2.10.0 with the index of" in cure
    assert "cpu build" in cure


@pytest.mark.parametrize(
    ("torch", "torchaudio", "fits"),
    [
        ("2.11.0+cu130", "2.11.0+cu130", True),
        ("2.13.0", "2.11.0", True),
        ("2.10.0", "2.11.0", False),
        ("2.11.0", "2.10.0", False),
        ("2.6.0+cu124", "2.6.0", True),
    ],
)
def test_torch_and_torchaudio_of_two_ages(healthy, torch, torchaudio, fits):
    """torchaudio 2.11 works with every later torch, earlier ones with their own only."""
    both = {"torch": TORCH | {"version": torch}, "torchaudio": {"version": torchaudio}}
    found = healthy(look_at_imports=imports(**both)).traps
    assert [what for what, _ in found] == (
        [] if fits else [f"torchaudio {torchaudio} is built for another torch than {torch}"]
    )


def test_torch_that_does_not_load(healthy):
    """The rest is not blamed for it, and no engine is promised."""
    report = healthy(look_at_imports={"torch": {"error": "OSError: libcudart.so.13"}})
    what, cure = trap(report)
    assert "does not load (OSError: libcudart.so.13)" in what
    assert "torch==2.11.0 torchaudio==2.11.0" in cure
    assert report.can_speak is False
    assert "engine: hibari" in report.engine


def test_a_gpu_that_torch_has_no_code_for(healthy):
    """CUDA 13 builds leave out cards before 7.5: PyTorch's cu126 build has them."""
    torch = TORCH | {"gpus": [["Tesla V100", [7, 0]]]}
    what, cure = trap(healthy(look_at_imports=imports(torch=torch)))
    assert "no code for Tesla V100 (compute capability 7.0; it has sm_75" in what
    assert "cu126 build" in cure


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 9), ["sm_80", "sm_86"], True),  # the same major version
        ((9, 0), ["sm_80", "sm_86"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # PTX is compiled for newer cards
        ((7, 5), ["sm_86", "compute_86"], False),
        ((9, 0), ["sm_90a"], True),
        ((9, 4), ["gfx942"], True),  # AMD: nothing known against it
    ],
)
def test_which_cards_a_build_runs_on(capability, built_for, runs):
    assert traps.runs_on(capability, built_for) is runs


@pytest.mark.parametrize(
    ("gpu", "end"),
    [
        (L4, "cu130"),
        (Gpu("NVIDIA L4", "550.54.15", (8, 9)), "cu126"),
        (Gpu("NVIDIA B200", "570.10", (10, 0)), "cu128"),
        (Gpu("Tesla P100", "580.1", (6, 0)), "cu126"),
        (Gpu("NVIDIA A10", "470.1", (8, 6)), "then run chatter-nb doctor again"),
        (Gpu("an NVIDIA GPU", ""), "cu130"),
    ],
)
def test_a_torch_without_cuda_beside_a_gpu(healthy, gpu, end):
    """The cure is a build that the card's driver can run, or a newer driver."""
    torch = NO_GPU | {"version": "2.11.0+cpu", "cuda": None}
    both = imports(torch=torch, torchaudio={"version": "2.11.0+cpu"})
    what, cure = trap(healthy(look_at_imports=both, look_at_gpus=[gpu]))
    assert f"torch 2.11.0+cpu is a build without CUDA, and {gpu.name} stays idle" in what
    assert end in cure


def test_a_driver_too_old_for_torch(healthy):
    old = Gpu("NVIDIA L4", "535.104.05", (8, 9))
    what, cure = trap(healthy(look_at_imports=imports(torch=NO_GPU), look_at_gpus=[old]))
    assert (
        "driver 535.104.05 is too old for torch 2.11.0+cu130 (CUDA 13.0, which needs 580)" in what
    )
    assert "cu126 build" in cure


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden(healthy, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    what, cure = trap(healthy(look_at_imports=imports(torch=NO_GPU)))
    assert "hides NVIDIA L4" in what
    assert cure == "unset CUDA_VISIBLE_DEVICES"


def test_a_gpu_that_torch_cannot_use_for_another_reason(healthy):
    """Torch's own words are passed on."""
    torch = NO_GPU | {"warnings": ["CUDA initialization: CUDA unknown error"]}
    what, cure = trap(healthy(look_at_imports=imports(torch=torch)))
    assert "cannot use NVIDIA L4: CUDA initialization" in what
    assert "nvidia-smi" in cure


def test_packages_of_another_age(healthy, monkeypatch):
    """Chatterbox with a transformers it cannot use, one package missing, itself another version."""
    versions = {"chatterbox-tts": "0.1.4", "transformers": "4.46.3", "numpy": "2.4"}
    monkeypatch.setattr(doctor, "installed_version", versions.get)
    monkeypatch.setattr(packages, "installed", lambda: versions)
    wanted = [Requirement(one) for one in ("transformers>=5.2", "conformer", "numpy>=1.26")]
    monkeypatch.setattr(packages, "requirements", lambda extra: wanted)
    assert healthy().traps == (
        (
            "chatterbox-tts is 0.1.4; the engines are made for 0.1.7",
            "pip install --no-deps chatterbox-tts==0.1.7",
        ),
        (
            "transformers is 4.46.3; chatterbox-tts needs transformers>=5.2",
            "pip install 'transformers>=5.2'",
        ),
        (
            "conformer is not installed; chatterbox-tts needs conformer",
            "pip install conformer",
        ),
    )


def test_engines_that_are_not_installed(healthy, monkeypatch):
    """One command for all of Chatterbox, one for the embedded converter."""
    there = {"hibari", "ipykernel", "av"}
    monkeypatch.setattr(doctor, "find_spec", lambda name: name in there or None)
    monkeypatch.setattr("chatter_nb.engines.registry.find_spec", lambda name: name in there or None)
    monkeypatch.setattr(doctor, "installed_version", lambda name: None)
    report = healthy(look_at_imports={}, look_at_gpus=[])
    chatterbox, world = report.missing
    assert chatterbox[0] == (
        "torch, torchaudio, chatterbox (for engine chatterbox, engine chatterbox-multilingual, "
        "engine chatterbox-turbo, converter chatterbox)"
    )
    assert chatterbox[1] == (
        "pip install -c constraints.txt -e '.[chatterbox]' && "
        "pip install --no-deps chatterbox-tts==0.1.7"
    )
    assert world == ("pyworld (for converter world)", "pip install pyworld-prebuilt")
    assert report.traps == ()
    ((service, cure),) = report.notes
    assert service.startswith("fastapi, uvicorn, multipart, gradio, prometheus_client are not")
    assert cure == "pip install -c constraints.txt -e '.[serve]'"


def test_the_install_command_of_the_place(healthy, monkeypatch, tmp_path):
    """A torch that is here stays; elsewhere than in the checkout it goes there, or needs none."""
    no_deps = " && pip install --no-deps chatterbox-tts==0.1.7"
    assert doctor.install_chatterbox() == "pip install -e '.[chatterbox]'" + no_deps
    monkeypatch.chdir(tmp_path)
    assert doctor.install_chatterbox().startswith(f"cd {ROOT} && pip install -e '.[chatterbox]'")
    monkeypatch.setattr(doctor, "look_for_checkout", lambda: None)
    wanted = [Requirement(one) for one in ("torch>=2.6", "torchaudio>=2.6", "librosa<1")]
    monkeypatch.setattr(doctor, "requirements", lambda extra: wanted)
    assert doctor.install_chatterbox() == "pip install 'librosa<1'" + no_deps
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    assert doctor.install_chatterbox().startswith("pip install 'torch>=2.6' 'torchaudio>=2.6' ")


def test_other_things_that_are_missing(healthy, monkeypatch):
    """Each comes with its command."""
    lost = {"ipykernel", "av"}
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in lost else object())
    monkeypatch.setattr(doctor, "_formats", lambda: ("wav", "flac"))
    monkeypatch.setattr(doctor, "free_disk_bytes", lambda path: 5e8)
    assert healthy().missing == (
        ("a libsndfile that writes mp3 and opus", "pip install -U soundfile"),
        ("av, which writes opus", "pip install -c constraints.txt -e ."),
        ("ipykernel, which runs notebooks", "pip install -c constraints.txt -e ."),
        ("disk: 0.5 GB free", "chatter-nb clean --unused"),
    )


def test_chinese_is_a_note(healthy, monkeypatch):
    lacks = "spacy_pkuseg"
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == lacks else object())
    (note,) = healthy().notes
    assert note[1] == "pip install spacy-pkuseg"


def test_weights_are_information(healthy):
    """Those that are to be fetched come with the command, and are no defect."""
    weights = {"chatterbox": "/cache", "chatterbox-turbo": None}
    report = healthy(look_at_weights=weights)
    assert "weights          chatterbox: are here" in str(report)
    assert "chatter-nb fetch chatterbox-turbo" in str(report)
    assert report.missing == report.traps == ()


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """Stand-ins for torch and its relatives, imported by the doctor's own process."""

    def make(**sources: str) -> dict:
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(traps, "find_spec", lambda name: name in sources or None)
        return traps.look_at_imports()

    return make


def test_without_a_gpu_nothing_is_loaded_unless_asked(healthy, monkeypatch):
    """Ten seconds for what nothing uses by itself; the report says what was not tried."""
    monkeypatch.setattr(doctor, "has_gpu_driver", lambda: False)
    report = healthy(look_at_gpus=[])
    assert report.loaded is False
    assert "torch loads      not tried, as no GPU is here" in str(report)
    assert doctor.examine(load=True).loaded is True
    monkeypatch.setattr(doctor, "has_gpu_driver", lambda: True)
    assert doctor.examine().loaded is True


def test_what_is_not_loaded_is_read_from_its_files(tmp_path, monkeypatch):
    """The build of torch, a torchaudio of another age, and a PerTh that would give up."""
    for name, version in (("torch", "2.10.0+cpu"), ("torchaudio", "2.11.0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('it was loaded')")
        (tmp_path / name / "version.py").write_text(f"__version__ = '{version}'\ncuda = None\n")
    (tmp_path / "perth.py").write_text("raise SystemExit('it was loaded')")
    for name in ("torch", "torchaudio", "perth"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        traps, "find_spec", lambda name: None if name == "pkg_resources" else find_spec(name)
    )
    found = traps.look_at_imports(load=False)
    assert found == {
        "torch": {"version": "2.10.0+cpu"},
        "torchaudio": {"version": "2.11.0"},
        "perth": {"none": True},
    }
    told = [what for what, _ in traps.import_traps(found)]
    assert "torchaudio 2.11.0 is built for another torch than 2.10.0+cpu" in told
    assert any("PerTh, the watermark, does not load" in what for what in told)


def test_an_import_that_raises_or_prints_is_told(modules):
    """The rest is still looked at."""
    found = modules(
        torchaudio="print('hello')\nraise OSError('libc10_cuda.so: cannot open\\nmore')",
        perth="print('loading'); PerthImplicitWatermarker = None",
    )
    assert found == {
        "torchaudio": {"error": "OSError: libc10_cuda.so: cannot open"},
        "perth": {"none": True},
    }


def test_an_import_that_takes_python_down_is_told(modules):
    """As a build for another processor does (SIGILL); the doctor goes on."""
    found = modules(torch="import os; os.kill(os.getpid(), 4)")
    assert found == {"torch": {"error": "Python ended with status -4"}}


def test_an_import_that_hangs_is_told(modules, monkeypatch):
    monkeypatch.setattr(traps, "_PROBE_S", 2)
    found = modules(torch="import time; time.sleep(60)")
    assert found == {"torch": {"error": "not imported after 2 s"}}


def test_cards_are_read_from_the_driver(monkeypatch, tmp_path):
    """From nvidia-smi, else from the kernel module's own page; none where there is neither."""
    told = "NVIDIA L4, 580.65.06, 8.9\nNVIDIA H200, 580.65.06, 9.0\n"

    def smi(command, **_):
        return subprocess.CompletedProcess(command, returncode, told, "")

    monkeypatch.setattr(gpus.subprocess, "run", smi)
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path / "version")
    returncode = 0
    assert gpus.look_at_gpus() == [L4, Gpu("NVIDIA H200", "580.65.06", (9, 0))]
    returncode = 9
    assert gpus.look_at_gpus() == []
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\nGCC version: 12.2"
    )
    assert gpus.look_at_gpus() == [Gpu("an NVIDIA GPU", "535.104.05")]


def test_the_extras_requirements_are_read_from_the_metadata():
    """They name upstream's needs, setuptools for PerTh among them."""
    wanted = {one.name: str(one.specifier) for one in packages.requirements("chatterbox")}
    assert wanted["setuptools"] == "<81"
    assert {"torch", "torchaudio", "transformers", "resemble-perth"} <= set(wanted)


@pytest.fixture(scope="module")
def this_machine():
    """`chatter-nb doctor --load --json`, looked at for real."""
    command = [sys.executable, "-m", "chatter_nb.cli", "doctor", "--load", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_800)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_doctor_says_what_is_here(this_machine):
    """Whatever else a machine lacks, the embedded engines work; JSON and text say the same."""
    assert this_machine["formats"] == ["wav", "flac", "mp3", "opus"]
    assert this_machine["can_speak"] is True
    assert this_machine["engine"].split()[0] in TTS_ENGINES
    assert this_machine["converter"].split()[0] in VC_ENGINES
    text = str(doctor.Report(**this_machine))
    assert f"engine auto      {this_machine['engine']}" in text
    assert text.endswith("ready to speak")


@pytest.mark.skipif(find_spec("chatterbox") is None, reason="Chatterbox is not installed")
def test_chatterbox_as_make_installs_it_is_whole(this_machine):
    """torch, torchaudio and PerTh load and fit; no package is missing or of another age."""
    spoiled = [what for what, _ in this_machine["traps"] if "NVIDIA" not in what]
    assert spoiled == []
    assert this_machine["versions"]["chatterbox-tts"] == doctor.UPSTREAM
    assert set(this_machine["weights"]) == set(doctor.MODELS)


def test_the_doctors_versions_are_the_constraints():
    """Its commands install what `make chatterbox` does."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    for name, version in (
        ("torch", traps.PAIR),
        ("torchaudio", traps.PAIR),
        ("chatterbox-tts", doctor.UPSTREAM),
    ):
        assert f"{name}=={version}" in pins
