"""Random checkpoints: upstream itself loads them, they speak, end, and leave no trace."""

import contextlib
import json
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from safetensors.torch import load_file  # noqa: E402 - needs what is asked for above

from chatter_nb.base.errors import InputError  # noqa: E402
from chatter_nb.engines.chatterbox.architecture import Sidecar, read_sidecar, reduced  # noqa: E402
from chatter_nb.engines.chatterbox.random_checkpoints import MODELS, make_checkpoint  # noqa: E402

TEXTS = ("Hello there, this is a random voice.", "No.", "It goes on, and on; then it ends.")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Upstream's multilingual tokenizer asks the hub for a file that the folder has."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """These networks are so small that a second thread only waits for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """One tiny checkpoint a model, shared by the tests that only read."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {model: make_checkpoint(root / model, model) for model in MODELS}


def _load(folder, model: str):
    """Upstream's own loading of a tiny checkpoint."""
    from chatterbox.mtl_tts import ChatterboxMultilingualTTS
    from chatterbox.tts import ChatterboxTTS
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    classes = (ChatterboxTTS, ChatterboxMultilingualTTS, ChatterboxTurboTTS)
    with reduced(read_sidecar(folder)):
        return dict(zip(MODELS, classes, strict=True))[model].from_local(folder, "cpu")


@pytest.fixture(scope="module")
def loaded(checkpoints):
    return {model: _load(folder, model) for model, folder in checkpoints.items()}


def _tokens(tts, seed: int, text: str = TEXTS[0], limit: int = 1000) -> list[int]:
    """What T3 says with upstream's default sampling, its end token included where it has one."""
    torch.manual_seed(seed)
    if tts.t3.is_gpt:
        ids = tts.tokenizer(text, return_tensors="pt").input_ids
        return tts.t3.inference_turbo(tts.conds.t3, ids, max_gen_len=limit)[0].tolist()
    language = {"language_id": "en"} if tts.t3.hp.is_multilingual else {}
    ids = tts.tokenizer.text_to_tokens(text, **language).repeat(2, 1)
    ids = torch.nn.functional.pad(ids, (1, 0), value=tts.t3.hp.start_text_token)
    ids = torch.nn.functional.pad(ids, (0, 1), value=tts.t3.hp.stop_text_token)
    penalty = {"repetition_penalty": 2.0} if language else {}
    sampling = {"temperature": 0.8, "min_p": 0.05, "top_p": 1.0, "cfg_weight": 0.5} | penalty
    spoken = tts.t3.inference(
        t3_cond=tts.conds.t3, text_tokens=ids, max_new_tokens=limit, **sampling
    )
    return spoken[0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_upstream_speaks_with_it(loaded, model):
    """Upstream's own generate gives finite sound, not silent, not clipped, a chunk long."""
    torch.manual_seed(1)
    language = {"language_id": "en"} if model == "chatterbox-multilingual" else {}
    wave = loaded[model].generate(TEXTS[0], **language)[0].numpy()
    assert np.isfinite(wave).all()
    assert 0.02 < np.abs(wave).max() < 0.9
    assert wave.std() > 0.005
    assert 20 < len(wave) / 960 < 120


@pytest.mark.parametrize("model", ["chatterbox", "chatterbox-turbo"])
def test_chunks_end_after_about_sixty_tokens(loaded, model):
    """Chunks end by themselves, sixty tokens long on average, and their tokens differ."""
    chunks = [_tokens(loaded[model], seed, TEXTS[seed % 3]) for seed in range(12)]
    assert 50 < np.mean([len(chunk) for chunk in chunks]) < 70
    assert max(len(chunk) for chunk in chunks) < 150
    assert all(len(set(chunk)) > 0.8 * len(chunk) for chunk in chunks)
    assert max(max(chunk[:-1]) for chunk in chunks) < 6561


def test_multilingual_chunks_end_once_the_text_is_read(loaded):
    """The alignment analyzer lets a chunk end after its text's length in tokens, not later."""
    text = TEXTS[2] * 3
    assert 40 < len(_tokens(loaded["chatterbox-multilingual"], 1)) < 100
    assert len(text) - 5 < len(_tokens(loaded["chatterbox-multilingual"], 1, text)) < 150


def test_the_text_and_the_seed_change_the_tokens(loaded):
    """A random model still listens, so that a mix-up of texts or seeds shows."""
    tts = loaded["chatterbox"]
    said = _tokens(tts, 0)
    assert said == _tokens(tts, 0)
    assert said != _tokens(tts, 1)
    assert said != _tokens(tts, 0, TEXTS[2])


@pytest.mark.slow
def test_mean_tokens_moves_the_end(tmp_path):
    """A model asked for shorter chunks speaks shorter chunks."""
    for model in ("chatterbox", "chatterbox-turbo"):
        tts = _load(make_checkpoint(tmp_path / model, model, mean_tokens=20), model)
        assert 12 < np.mean([len(_tokens(tts, seed)) for seed in range(8)]) < 28


@pytest.mark.parametrize("model", MODELS)
def test_without_an_end_only_the_limit_ends(tmp_path, model):
    """`ends=False` speaks up to the limit on new tokens, far past the mean."""
    tts = _load(make_checkpoint(tmp_path / "c", model, mean_tokens=10, ends=False), model)
    spoken = _tokens(tts, 0, limit=60)
    assert len(spoken) == 60 + tts.t3.is_gpt  # Turbo counts its first token apart
    assert max(spoken) < 6561


def test_the_same_seed_gives_the_same_tensors(tmp_path, checkpoints):
    """A checkpoint is its arguments: made again it is equal, with another seed it is not."""
    again = make_checkpoint(tmp_path / "again")
    other = make_checkpoint(tmp_path / "other", seed=1)
    for name in ("t3_cfg.safetensors", "s3gen.safetensors", "ve.safetensors"):
        first = load_file(checkpoints["chatterbox"] / name)
        second, third = load_file(again / name), load_file(other / name)
        assert all(torch.equal(value, second[key]) for key, value in first.items())
        assert any(not torch.equal(value, third[key]) for key, value in first.items())


def test_the_global_random_state_is_left_alone(tmp_path):
    """Making a checkpoint draws nothing from the generators that others use."""
    random.seed(7), np.random.seed(7), torch.manual_seed(7)  # noqa: NPY002 - the global one
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    make_checkpoint(tmp_path / "c")
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


@pytest.mark.parametrize("model", MODELS)
def test_small_on_disk(checkpoints, model):
    """A tiny checkpoint stays under 40 MB."""
    assert sum(path.stat().st_size for path in checkpoints[model].iterdir()) < 40e6


@pytest.mark.parametrize("model", MODELS)
def test_the_voice_has_upstreams_shapes(checkpoints, model):
    """conds.pt holds what upstream's Conditionals.save writes, in full size, and loads safely."""
    voice = torch.load(checkpoints[model] / "conds.pt", weights_only=True)
    prompt = 375 if model == "chatterbox-turbo" else 150
    assert voice["t3"]["speaker_emb"].shape == (1, 256)
    assert voice["t3"]["cond_prompt_speech_tokens"].shape == (1, prompt)
    count = int(voice["gen"]["prompt_token_len"])
    assert voice["gen"]["prompt_token"].shape == (1, count)
    assert voice["gen"]["prompt_feat"].shape == (1, 2 * count, 80)
    assert voice["gen"]["embedding"].shape == (1, 192)


def test_a_recording_can_become_a_voice(loaded, tmp_path):
    """The reduced encoders take a recording, as cloning needs, and their speaker is finite."""
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, 6 * 24_000)
    soundfile.write(tmp_path / "voice.wav", noise, 24_000)
    tts = _clone(loaded["chatterbox"], tmp_path / "voice.wav")
    assert tts.conds.gen["prompt_token"].shape == (1, 150)
    assert len(tts.conds.gen["prompt_token"].unique()) > 20
    assert tts.conds.gen["embedding"].isfinite().all()
    assert tts.conds.t3.speaker_emb.norm().item() == pytest.approx(1, abs=0.05)


def _clone(tts, path):
    """A copy that has the voice: the loaded model is shared by other tests."""
    import copy

    copied = copy.copy(tts)
    copied.prepare_conditionals(str(path))
    return copied


def test_the_sidecar_describes_the_checkpoint(checkpoints):
    """What was asked for stands in chatter_nb.json and reads back as it was written."""
    folder = checkpoints["chatterbox-multilingual"]
    sidecar = read_sidecar(folder)
    data = json.loads((folder / "chatter_nb.json").read_text())
    assert (data["random"], data["size"], data["t3_layers"]) == (True, "tiny", 14)
    assert sidecar == Sidecar.model_validate(data)
    assert sidecar.model == "chatterbox-multilingual"


def test_no_sidecar_is_a_real_checkpoint(tmp_path):
    """A folder without the file is not a random checkpoint."""
    assert read_sidecar(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"t3_layers": "many"}', '{"size": "huge"}', "\xff"])
def test_a_broken_sidecar_is_named(tmp_path, text):
    """What cannot be read is an error that names the file."""
    (tmp_path / "chatter_nb.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"chatter_nb\.json"):
        read_sidecar(tmp_path)


def _sizes() -> dict[str, object]:
    """Upstream's constructors and settings that `reduced` replaces."""
    from chatterbox.models.s3gen import s3gen
    from chatterbox.models.s3gen.transformer import upsample_encoder
    from chatterbox.models.t3.llama_configs import LLAMA_CONFIGS
    from chatterbox.models.t3.modules import cond_enc
    from chatterbox.models.voice_encoder import VoiceEncConfig
    from s3tokenizer.model_v2 import S3TokenizerV2

    return {
        "t3": {name: dict(config) for name, config in LLAMA_CONFIGS.items()},
        "modules": [dict(vars(module)) for module in (s3gen, upsample_encoder, cond_enc)],
        "voice": VoiceEncConfig.ve_hidden_size,
        "tokenizer": S3TokenizerV2.__init__.__defaults__,
    }


def test_the_patches_are_undone(checkpoints):
    """Upstream is as it was afterwards, also when building fails."""
    before = _sizes()
    with contextlib.suppress(ZeroDivisionError), reduced(read_sidecar(checkpoints["chatterbox"])):
        assert _sizes() != before
        raise ZeroDivisionError
    assert _sizes() == before


@pytest.mark.parametrize("sidecar", [None, Sidecar(size="full")])
def test_a_real_or_full_checkpoint_changes_nothing(sidecar):
    """Without a reduced architecture upstream is not touched at all."""
    before = _sizes()
    with reduced(sidecar):
        assert _sizes() == before


def test_an_unknown_model_is_refused(tmp_path):
    """The error names the models there are."""
    with pytest.raises(InputError, match="chatterbox-turbo"):
        make_checkpoint(tmp_path, "chatterbocks")
