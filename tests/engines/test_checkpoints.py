"""A model's files: listed where missing, refused where damaged, never half there."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.engines.checkpoints import MODELS, cached, fetch, identity, locate
from chatter_nb.engines.models import get_or_load_tts_model, get_or_load_vc_model


@pytest.fixture
def copy(tiny, tmp_path):
    return lambda model="chatterbox": shutil.copytree(tiny(model), tmp_path / "copy")


@pytest.fixture(autouse=True)
def _own(own_models):
    pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub cache of the test's own, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    snapshot = tmp_path / "hub" / "models--ResembleAI--chatterbox" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    return snapshot


def test_a_folder_that_lacks_files_is_told_which(copy):
    folder = copy()
    (folder / "s3gen.safetensors").unlink()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(
        InputError, match=r"lacks s3gen\.safetensors, tokenizer\.json of chatterbox: put them there"
    ):
        get_or_load_tts_model("chatterbox", "cpu", str(folder))


def test_another_models_folder_is_told_apart(tiny):
    with pytest.raises(InputError, match=r"lacks ve\.pt, t3_mtl23ls_v2\.safetensors"):
        locate("chatterbox-multilingual", str(tiny()))
    with pytest.raises(InputError, match="'nowhere' is not a folder"):
        locate("chatterbox", "nowhere")


@pytest.mark.parametrize(
    "name", ["ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors", "tokenizer.json"]
)
def test_a_truncated_file_is_named_with_its_cure(copy, name):
    path = copy() / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"cannot read .*{name}.*fetch it again"):
        get_or_load_tts_model("chatterbox", "cpu", str(path.parent))


@pytest.mark.parametrize("name", ["ve.pt", "s3gen.pt"])
def test_a_truncated_pt_file_is_named_with_its_cure(copy, name):
    path = copy("chatterbox-multilingual") / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=rf"cannot read .*{name}.*fetch it again"):
        get_or_load_tts_model("chatterbox-multilingual", "cpu", str(path.parent))


def test_a_damaged_built_in_voice_is_named(copy, tmp_path):
    from chatter_nb.engines.voices import Library

    path = copy() / "conds.pt"
    path.write_bytes(b"nothing")
    engine = get_or_load_tts_model("chatterbox", "cpu", str(path.parent))
    library = Library(tmp_path, tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*conds\.pt"):
        engine.prepare_voice("", library)
    path.unlink()
    with pytest.raises(InputError, match=r"no voice of its own .*name a recording"):
        engine.prepare_voice("", library)


def test_wrong_shapes_are_told(copy):
    """A tiny checkpoint without its sidecar is one of upstream's shape with wrong weights."""
    folder = copy()
    (folder / "chatter_nb.json").unlink()
    with pytest.raises(InputError, match=r"cannot read .*ve\.safetensors: .*size mismatch"):
        get_or_load_tts_model("chatterbox", "cpu", str(folder))


def test_missing_weights_are_told(copy):
    """Upstream's `strict=False` takes a decoder without weights for a good one."""
    from safetensors.torch import load_file, save_file

    path = copy() / "s3gen.safetensors"
    weights = load_file(path)
    save_file({k: v for k, v in weights.items() if not k.startswith("flow.encoder.")}, path)
    with pytest.raises(InputError, match=r"not the checkpoint of this model: lacks \d+ weights"):
        get_or_load_vc_model("chatterbox", "cpu", str(path.parent))


def test_offline_the_missing_files_and_their_places_are_listed(hub):
    with pytest.raises(UnavailableError) as told:
        get_or_load_tts_model("chatterbox", "cpu")
    for name in MODELS["chatterbox"].needed:
        assert name in str(told.value)
    assert "chatter-nb fetch chatterbox" in str(told.value)
    assert "set checkpoint to it" in str(told.value)
    assert str(hub.parents[2]) in str(told.value)
    assert told.value.exit_code == 2


def test_the_hubs_cache_is_used_without_a_network(hub, tiny):
    for path in tiny().iterdir():
        shutil.copy(path, hub)
    assert cached("chatterbox") == hub
    assert get_or_load_tts_model("chatterbox", "cpu").name == "chatterbox"


def test_an_interrupted_download_is_nothing_that_loads(hub, tiny):
    """What has arrived stands under its name, the rest under a temporary one among the blobs."""
    for name in ("ve.safetensors", "tokenizer.json"):
        shutil.copy(tiny() / name, hub)
    blobs = hub.parents[1] / "blobs"
    blobs.mkdir()
    (blobs / "123.incomplete").write_bytes(b"half")
    assert cached("chatterbox") is None
    with pytest.raises(UnavailableError, match="cannot be fetched"):
        locate("chatterbox")


def test_an_unknown_model_comes_with_those_there_are(cli):
    done = cli("fetch", "chatterbot", check=2)
    assert "no model 'chatterbot'; there are: chatterbox, chatterbox-multilingual" in done.stderr


def test_fetch_without_the_hubs_client_says_what_brings_it(monkeypatch):
    monkeypatch.setattr("chatter_nb.engines.checkpoints.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="it comes with: make chatterbox"):
        fetch("chatterbox")


def test_fetch_asks_the_hub_for_this_models_files_only(monkeypatch, tmp_path, tiny):
    """A stand-in for the hub's client: there is no network here."""
    import huggingface_hub

    asked = {}

    def download(repo, **options):
        asked[repo] = options
        return str(tiny())

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert fetch("chatterbox") == tiny()
    assert set(asked["ResembleAI/chatterbox"]["allow_patterns"]) == set(MODELS["chatterbox"].names)


def test_a_checkpoints_identity_is_its_content(copy, tiny):
    folder = copy()
    (folder / "conds.pt").unlink()  # a voice has a hash of its own
    assert identity(folder, "chatterbox") == identity(tiny(), "chatterbox")
    path = folder / "t3_cfg.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert identity(folder, "chatterbox") != identity(tiny(), "chatterbox")


@pytest.mark.parametrize("model", ["chatterbox", "chatterbox-multilingual", "chatterbox-turbo"])
def test_the_file_names_are_upstreams(model):
    """The names that `from_local` reads, from its source."""
    import inspect

    from chatterbox import mtl_tts, tts, tts_turbo

    module = {"chatterbox": tts, "chatterbox-multilingual": mtl_tts, "chatterbox-turbo": tts_turbo}
    source = inspect.getsource(module[model])
    named = [name for name in MODELS[model].names if not name.endswith((".json", ".txt"))]
    assert [name for name in named if name not in source] == []
    assert MODELS[model].repo in source


def test_cuda_asked_for_and_absent_is_bad_input(cli, tiny):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    place = ("-p", "text=Hi.", "-p", "engine=chatterbox", "-p", f"checkpoint={tiny()}")
    done = cli("speak", *place, "-p", "device=cuda", check=2)
    assert "device 'cuda' is not there; there is: cpu" in done.stderr


@pytest.mark.slow
def test_json_output_is_json_even_where_upstream_prints(tiny, tmp_path):
    """Nothing of upstream's bars, prints and warnings reaches our output."""
    args = ("speak", "-p", "text=Hello there.", "-p", "engine=chatterbox-turbo")
    args += ("-p", f"checkpoint={tiny('chatterbox-turbo')}", "-p", f"outputs_dir={tmp_path}")
    done = subprocess.run(
        [sys.executable, "-m", "chatter_nb.cli", *args, "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=1_800,
    )
    assert json.loads(done.stdout)["status"] == "ok", done.stderr
    assert done.stderr == ""


def test_what_reads_a_text_is_part_of_the_version(copy, monkeypatch):
    """Cangjie's table, and the helpers that are installed: chunks made otherwise are others."""
    from chatter_nb.engines.chatterbox import multilingual

    folder = copy("chatterbox-multilingual")
    before = identity(folder, "chatterbox-multilingual")
    (folder / "Cangjie5_TC.json").write_text("[]")
    assert identity(folder, "chatterbox-multilingual") != before
    monkeypatch.setattr(multilingual, "installed_version", lambda package: "9.9")
    assert "+russian-text-stresser9.9" in multilingual.helper_versions()


@pytest.mark.parametrize("spoilt", ["keys", "shapes"])
def test_a_voice_file_of_another_kind_is_named(copy, tmp_path, spoilt):
    import torch

    from chatter_nb.engines.voices import Library

    path = copy() / "conds.pt"
    found = torch.load(path, weights_only=True)
    if spoilt == "keys":
        del found["gen"]
    else:
        found["gen"]["prompt_feat"] = found["gen"]["prompt_feat"][:, :-7]
    torch.save(found, path)
    engine = get_or_load_tts_model("chatterbox", "cpu", str(path.parent))
    with pytest.raises(InputError, match=r"cannot read .*conds\.pt"):
        engine.prepare_voice("", Library(tmp_path, tmp_path))


def test_another_spelling_of_a_folder_is_the_same_model(tiny, monkeypatch):
    monkeypatch.chdir(tiny().parent)
    first = get_or_load_tts_model("chatterbox", "cpu", str(tiny()))
    assert get_or_load_tts_model("chatterbox", "cpu", tiny().name) is first
