"""Chatterbox' speech engines on random checkpoints: upstream's samples, no state, nothing lost."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from fakes import NoWatermark  # noqa: E402

from chatter_nb.base.errors import EngineError, InputError, ParamError, UnavailableError  # noqa: E402
from chatter_nb.engines.base import ChunkRequest  # noqa: E402
from chatter_nb.engines.chatterbox.architecture import read_sidecar, reduced  # noqa: E402
from chatter_nb.engines.chatterbox.batch import Rows  # noqa: E402
from chatter_nb.engines.chatterbox.random_checkpoints import make_checkpoint  # noqa: E402
from chatter_nb.engines.chatterbox.s3gen import Synthesizer  # noqa: E402
from chatter_nb.engines.checks import check_supported  # noqa: E402
from chatter_nb.engines.models import get_or_load_tts_model, get_or_load_vc_model, unload  # noqa: E402
from chatter_nb.engines.voices import Library, content_hash  # noqa: E402
from chatter_nb.params.runs import SpeakParams  # noqa: E402

MODELS = ("chatterbox", "chatterbox-multilingual", "chatterbox-turbo")
# The multilingual model's tests are the longest.
MOST_MODELS = [
    pytest.param(model, marks=pytest.mark.slow) if "multilingual" in model else model
    for model in MODELS
]
TARGET = str(ROOT / "params" / "recordings" / "target.flac")
TEXT = "the cat sat on the mat; and it was “happy” there… [sigh] Or was it?"


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Upstream's multilingual tokenizer asks the hub for a file that the folder has."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module", autouse=True)
def _unloaded():
    yield
    unload()


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "voices", tmp_path / "cache")


@pytest.fixture
def load(tiny):
    return lambda model="chatterbox": get_or_load_tts_model(model, "cpu", str(tiny(model)))


@pytest.fixture
def say(load, library):
    """Speak one chunk and return its samples."""

    def run(
        text=TEXT, *, model="chatterbox", voice="", seed=1, language="en", path="fast", **knobs
    ):
        engine = load(model)
        own = engine.prepare_voice(str(voice), library)
        request = ChunkRequest(0, text, seed, own, language, knobs)
        ((_, audio, _),) = engine.synthesize([request], engine_path=path)
        return audio

    return run


@pytest.fixture(scope="module")
def upstream(tiny):
    """Upstream's own class on the same files, its watermarker the identity."""
    loaded = {}
    from chatterbox.mtl_tts import ChatterboxMultilingualTTS
    from chatterbox.tts import ChatterboxTTS
    from chatterbox.tts_turbo import ChatterboxTurboTTS

    classes = (ChatterboxTTS, ChatterboxMultilingualTTS, ChatterboxTurboTTS)

    def load(model):
        with reduced(read_sidecar(tiny(model))):
            tts = dict(zip(MODELS, classes, strict=True))[model].from_local(tiny(model), "cpu")
        tts.watermarker = NoWatermark()
        return tts

    return lambda model: loaded.get(model) or loaded.setdefault(model, load(model))


@pytest.fixture
def they_say(upstream, tiny, monkeypatch):
    """What upstream's `generate` makes of the same text.

    With numpy 2, which its pins exclude, a numpy scalar of its loudness makes the wave float64, at
    which its tokenizer fails.
    """
    import pyloudnorm

    measure = pyloudnorm.Meter.integrated_loudness
    as_float = lambda self, wave: float(measure(self, wave))  # noqa: E731
    monkeypatch.setattr(pyloudnorm.Meter, "integrated_loudness", as_float)

    def run(model, seed, **knobs):
        if "multilingual" in model:
            knobs["language_id"] = "en"
        tts = upstream(model)
        tts.conds = type(tts.conds).load(tiny(model) / "conds.pt")  # not the last call's voice
        torch.manual_seed(seed)
        return tts.generate(TEXT, **knobs).squeeze(0).numpy()

    return run


def near(ours, theirs):
    """As long, and within 1e-4 of full scale."""
    return len(ours) == len(theirs) and float(np.abs(ours - theirs).max()) < 1e-4


@pytest.mark.parametrize("voice", ["", TARGET], ids=["built-in", "cloned"])
@pytest.mark.parametrize("model", MOST_MODELS)
def test_a_chunk_is_upstreams_sample_for_sample(model, voice, say, they_say):
    """The same seed, voice and defaults: `generate` after `torch.manual_seed`."""
    theirs = they_say(model, 7, audio_prompt_path=voice or None)
    ours = say(model=model, voice=voice, seed=7, path="upstream")
    assert len(ours) > 10_000
    assert np.array_equal(ours, theirs)
    assert near(say(model=model, voice=voice, seed=7), theirs)


def test_every_knob_is_upstreams(say, they_say):
    knobs = {
        "exaggeration": 1.1,
        "cfg_weight": 0.9,
        "temperature": 1.3,
        "min_p": 0.1,
        "top_p": 0.8,
        "repetition_penalty": 1.6,
    }
    theirs = they_say("chatterbox", 3, **knobs)
    assert np.array_equal(say(seed=3, path="upstream", **knobs), theirs)
    assert near(say(seed=3, **knobs), theirs)


def test_turbos_knobs_are_upstreams(say, they_say):
    knobs = {"temperature": 1.2, "top_k": 30, "top_p": 0.7, "repetition_penalty": 1.5}
    theirs = they_say("chatterbox-turbo", 4, **knobs)
    ours = say(model="chatterbox-turbo", seed=4, path="upstream", **knobs)
    assert np.array_equal(ours, theirs)
    assert near(say(model="chatterbox-turbo", seed=4, **knobs), theirs)


@pytest.mark.parametrize("model", MODELS)
def test_the_defaults_are_upstreams(model, load, upstream):
    """A new release that changes one must break this and not a user's seeds."""
    import inspect

    engine = load(model)
    theirs = inspect.signature(upstream(model).generate).parameters
    for name, value in engine.defaults.items():
        if name != "max_new_tokens":
            assert theirs[name].default == value, name
    known = set(theirs) - {"self", "text", "audio_prompt_path", "language_id", "norm_loudness"}
    ignored_by_turbo = {"exaggeration", "cfg_weight", "min_p"} if "turbo" in model else set()
    assert known - ignored_by_turbo == set(engine.defaults) - {"max_new_tokens"}
    assert set(engine.defaults) <= engine.accepts


def test_no_guidance_works_and_is_no_guidance(say):
    """Upstream's English model fails at cfg_weight 0; it is the limit of small weights."""
    assert np.array_equal(
        say(cfg_weight=0.0, path="upstream"), say(cfg_weight=1e-12, path="upstream")
    )
    assert near(say(cfg_weight=0.0), say(cfg_weight=1e-12))
    assert not np.array_equal(say(cfg_weight=0.0), say(cfg_weight=1.5))


@pytest.mark.parametrize("model", MODELS)
def test_the_global_generators_are_left_as_they_were(model, say):
    random.seed(1)
    old_numpy = np.random.get_state  # the generator that other people's code still uses
    torch.manual_seed(1)
    before = random.getstate(), old_numpy()[1].copy(), torch.get_rng_state()
    say(model=model, voice=TARGET)
    assert random.getstate() == before[0]
    assert np.array_equal(old_numpy()[1], before[1])
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.mark.parametrize("model", MOST_MODELS)
def test_voices_in_turn_never_leak_into_each_other(model, say, second_voice, own_models):
    """Upstream keeps the last voice, and the last exaggeration, for the next call."""
    knobs = {} if "turbo" in model else {"exaggeration": 1.5}
    quick = {"model": model, "n_cfm_timesteps": 1}
    alone = [say("Hi.", voice=voice, **quick) for voice in ("", TARGET, second_voice)]
    assert not np.array_equal(alone[1], alone[2])
    for voice, expected in zip((TARGET, "", second_voice), alone[1::-1] + alone[2:], strict=True):
        say("No.", voice=voice, seed=9, **quick, **knobs)
        assert np.array_equal(say("Hi.", voice=voice, **quick), expected)


def test_threads_do_not_speak_in_each_others_voice_or_draw_each_others_numbers(say, second_voice):
    """The server's lesson: two requests at once are two requests in turn."""
    import threading

    wanted = [{"voice": TARGET, "seed": 1}, {"voice": second_voice, "seed": 2}]
    alone = [say("Hi.", n_cfm_timesteps=1, **one) for one in wanted]
    together: dict[int, np.ndarray] = {}

    def run(index):
        together[index] = say("Hi.", n_cfm_timesteps=1, **wanted[index])

    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        assert np.array_equal(together[index], expected)


def test_turbo_wants_more_than_five_seconds(load, library, tmp_path):
    import soundfile

    signal, rate = soundfile.read(TARGET)
    for name, samples in (("five", 5 * rate), ("more", 5 * rate + 1), ("three", 3 * rate)):
        soundfile.write(tmp_path / f"{name}.wav", signal[:samples], rate)
    with pytest.raises(InputError, match=r"5\.00 s long; more than 5 s are needed"):
        load("chatterbox-turbo").prepare_voice(str(tmp_path / "five.wav"), library)
    load("chatterbox-turbo").prepare_voice(str(tmp_path / "more.wav"), library)
    load().prepare_voice(str(tmp_path / "three.wav"), library)


def test_a_voice_is_encoded_once_and_kept_on_disk(load, library, monkeypatch, own_models):
    """Fifty chunks, one encoding; after a restart none."""
    from chatterbox.models.s3gen import S3Gen

    calls = []
    embed = S3Gen.embed_ref
    monkeypatch.setattr(
        S3Gen, "embed_ref", lambda self, *a, **k: calls.append(1) or embed(self, *a, **k)
    )
    first = [load().prepare_voice(TARGET, library) for _ in range(50)][-1]
    unload()
    again = load().prepare_voice(TARGET, library)
    assert len(calls) == 1
    assert torch.equal(first.data.t3["speaker_emb"], again.data.t3["speaker_emb"])
    assert again.content_hash == first.content_hash


def test_a_recording_with_room_before_it_is_encoded_without_it(load, library, tmp_path):
    """Its key says what was mended; a recording without a fault keeps its file's."""
    import soundfile

    signal, rate = soundfile.read(TARGET, dtype="float32")
    soundfile.write(tmp_path / "room.wav", np.concatenate([np.zeros(5 * rate), signal]), rate)
    mended = load().prepare_voice(str(tmp_path / "room.wav"), library)
    (note,) = mended.notes
    assert "s without speech at its beginning are left out" in note
    assert mended.content_hash.startswith(f"{content_hash(tmp_path / 'room.wav')}-prepared1-")
    by_hand = library.recording(str(tmp_path / "room.wav")).signal
    assert len(by_hand) < len(signal) + rate
    soundfile.write(tmp_path / "hand.wav", by_hand, rate, subtype="FLOAT")
    other = load().prepare_voice(str(tmp_path / "hand.wav"), library)
    assert (other.content_hash, other.notes) == (content_hash(tmp_path / "hand.wav"), ())
    assert torch.equal(mended.data.t3["speaker_emb"], other.data.t3["speaker_emb"])
    clean = load().prepare_voice(TARGET, library)
    assert (clean.content_hash, clean.notes) == (content_hash(Path(TARGET)), ())


def test_a_damaged_kept_voice_is_made_again(load, library, own_models):
    load().prepare_voice(TARGET, library)
    (kept,) = library.cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    unload()
    voice = load().prepare_voice(TARGET, library)
    assert voice.data.gen["embedding"].shape == (1, 192)
    assert kept.stat().st_size > 1000


def test_a_chunk_is_generated_once(say, monkeypatch):
    """One candidate, one generation."""
    from chatterbox.models.t3 import T3

    calls = []
    inference = T3.inference
    monkeypatch.setattr(T3, "inference", lambda self, **k: calls.append(1) or inference(self, **k))
    say(path="upstream")
    assert len(calls) == 1


def test_speech_and_conversion_share_one_decoder(load, tiny, own_models):
    speech = load()
    conversion = get_or_load_vc_model("chatterbox", "cpu", str(tiny()))
    assert speech._s3gen is conversion._s3gen
    assert own_models.unload("chatterbox") == ["chatterbox", "convert/chatterbox"]


def test_the_alignment_analyzer_leaves_nothing_behind(load, say):
    """0.1.7 leaks three forward hooks a call and switches the attention for good."""
    t3 = load("chatterbox-multilingual")._plain._t3
    layers = [layer.self_attn for layer in t3.tfmr.layers]
    before = [len(layer._forward_hooks) for layer in layers], t3.tfmr.config._attn_implementation
    for seed in range(3):
        say("Hello there.", model="chatterbox-multilingual", seed=seed, path="upstream")
    after = [len(layer._forward_hooks) for layer in layers], t3.tfmr.config._attn_implementation
    assert before == after
    assert before[0] == [0] * len(layers)


def test_a_shorter_prompt_is_another_sound_of_the_same_length(say):
    whole, short = say(voice=TARGET), say(voice=TARGET, prompt_s=2.0)
    assert len(whole) == len(short)
    assert not np.array_equal(whole, short)


def test_fewer_decoder_steps_are_another_sound_of_the_same_length(say):
    ten, four = say(), say(n_cfm_timesteps=4)
    assert len(ten) == len(four)
    assert not np.array_equal(ten, four)


@pytest.mark.parametrize("model", MOST_MODELS[:2])
def test_turbos_decoder_serves_the_other_models_if_it_is_there(
    model, tiny, library, tmp_path, own_models
):
    """Two steps in the place of ten; either path gives the samples of the same module."""
    folder = shutil.copytree(tiny(model), tmp_path / "both")
    engine = get_or_load_tts_model(model, "cpu", str(folder))
    voice = engine.prepare_voice("", library)

    def run(path, **knobs):
        request = ChunkRequest(0, TEXT, 1, voice, "en", knobs)
        return next(iter(engine.synthesize([request], engine_path=path)))[1]

    with pytest.raises(
        InputError, match=r"meanflow needs .*both/s3gen_meanflow\.safetensors: put it"
    ):
        run("fast", meanflow=True)
    shutil.copy(tiny("chatterbox-turbo") / "s3gen_meanflow.safetensors", folder)
    fast, plain = run("fast", meanflow=True), run("upstream", meanflow=True)
    assert near(fast, plain)
    assert not near(fast, run("fast"))
    assert len(fast) == len(run("fast"))


def test_letters_without_a_token_are_refused_and_accents_told(load):
    engine = load()
    with pytest.raises(
        InputError, match=r"'chatterbox' has no token for 你: .*multilingual"
    ) as refusal:
        engine.check_text("Hello 你!", "en")
    assert str(refusal.value).endswith('\n  "你": ""')
    assert engine.check_text("Hello there, plainly.", "en") == []
    assert engine.check_text("Hello 🙂.", "en") == [
        "chatterbox passes over 🙂: to hear them, use replacements"
    ]


def test_an_accent_the_model_lacks_is_dropped_and_its_letter_kept(load, say):
    """Upstream would drop the letter."""
    (note,) = load().check_text("Mr. Ǎbc", "en")
    assert note == "chatterbox reads Ǎ without their accents"
    assert np.array_equal(say("Mr. Ǎbc."), say("Mr. Abc."))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fr", "L’été, où êtes-vous ?"),
        ("de", "Größe und Übermut."),
        ("ru", "Привет, мир."),
        ("ja", "こんにちは、世界。カタカナ。"),
        ("ko", "안녕하세요."),
        ("hi", "नमस्ते दुनिया।"),
        ("ar", "مرحبا بالعالم."),
        ("he", "שלום עולם."),
        ("el", "Γειά σου κόσμε."),
    ],
)
def test_every_script_has_tokens(language, text, load):
    notes = load("chatterbox-multilingual").check_text(text, language)
    assert not [note for note in notes if "passes over" in note]


def test_a_language_changes_what_is_said(say):
    french = say("Bonjour.", model="chatterbox-multilingual", language="fr")
    german = say("Bonjour.", model="chatterbox-multilingual", language="de")
    assert not np.array_equal(french[: len(german)], german[: len(french)])


def test_a_language_the_model_lacks_is_refused(load):
    params = SpeakParams(text="Hi.", language="xx", engine="chatterbox-multilingual")
    with pytest.raises(ParamError, match="does not speak language 'xx'; it speaks: en, ar, da, de"):
        check_supported(params, load("chatterbox-multilingual"), "asked for")


def test_chinese_without_its_segmenter_comes_with_the_cure(load, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "spacy_pkuseg", None)
    engine = load("chatterbox-multilingual")
    monkeypatch.setattr(engine._tokenizer.cangjie_converter, "segmenter", None)
    with pytest.raises(UnavailableError, match="pip install spacy-pkuseg"):
        engine.check_text("你好", "zh")


def test_chinese_becomes_cangjie_from_the_folder(load, monkeypatch):
    """The segmenter is a stand-in: its model is downloaded by the package itself."""
    from types import SimpleNamespace

    import chatter_nb.engines.chatterbox.multilingual as multilingual

    monkeypatch.setattr(multilingual, "_segmenter", lambda: SimpleNamespace(cut=list))
    engine = load("chatterbox-multilingual")
    monkeypatch.setattr(engine._tokenizer.cangjie_converter, "segmenter", None)
    assert "[cj_" in engine._normalised("你好", "zh")
    assert engine.check_text("你好。", "zh") == []


def test_chinese_without_cangjie_names_the_file(tiny, tmp_path, own_models):
    folder = shutil.copytree(tiny("chatterbox-multilingual"), tmp_path / "without")
    (folder / "Cangjie5_TC.json").unlink()
    engine = get_or_load_tts_model("chatterbox-multilingual", "cpu", str(folder))
    assert engine.check_text("Hello.", "en") == []
    with pytest.raises(InputError, match=r"Chinese needs .*Cangjie5_TC\.json"):
        engine.check_text("你好", "zh")


def test_text_beyond_the_models_positions_is_an_error_with_its_cure(say):
    with pytest.raises(EngineError, match=r"text tokens long.*smaller chunk_chars"):
        say("word " * 500)


def test_a_chunk_that_never_ends_is_an_error(tmp_path, library, own_models):
    """It is split, made again, tried with another seed; then the run says so."""
    folder = make_checkpoint(tmp_path / "endless", "chatterbox", "tiny", ends=False)
    engine = get_or_load_tts_model("chatterbox", "cpu", str(folder))
    request = ChunkRequest(
        0,
        "One short sentence. And another short one.",
        1,
        engine.prepare_voice("", library),
        "en",
        {"max_new_tokens": 8},
    )
    problem = r"^chunk 0, 'One short .*did not end on 'One short sentence\.'.*chunks are kept"
    with pytest.raises(EngineError, match=problem) as caught:
        list(engine.synthesize([request]))
    assert str(caught.value).count("chunk 0") == 1


def test_turbo_speaks_english(load):
    engine = load("chatterbox-turbo")
    assert engine.check_text("Café, 20 °C [laugh]!", "en") == []
    with pytest.raises(InputError, match=r"speaks English, not 日, 本: .*choose engine: chatt"):
        engine.check_text("Nippon, 日本.", "en")


def test_an_end_that_was_forced_in_mid_text_is_noted(load, library, monkeypatch):
    """0.1.7 ends a chunk where a token comes twice, wherever in the text that is."""
    from chatterbox.models.t3.inference.alignment_stream_analyzer import AlignmentStreamAnalyzer

    step = AlignmentStreamAnalyzer.step

    def stammer(self, logits, next_token=None):
        logits = step(self, logits, next_token=100 if self.curr_frame_pos > 9 else next_token)
        self.complete = False
        return logits

    monkeypatch.setattr(AlignmentStreamAnalyzer, "step", stammer)
    engine = load("chatterbox-multilingual")
    voice = engine.prepare_voice("", library)
    request = ChunkRequest(0, TEXT, 1, voice, "en", {"n_cfm_timesteps": 1})
    ((_, audio, info),) = engine.synthesize([request], engine_path="upstream")
    (note,) = info.notes
    assert "upstream's alignment check ended it at about" in note
    assert len(audio) < 24_000


def test_a_model_that_makes_no_numbers_is_a_failed_run(say, monkeypatch):
    from chatterbox.models.s3gen import S3Gen

    broken = lambda self, **_: (torch.full((1, 24_000), torch.nan), None)  # noqa: E731
    monkeypatch.setattr(S3Gen, "inference", broken)
    monkeypatch.setattr(Synthesizer, "waves", lambda *_, **__: [np.full(24_000, np.nan)])
    for path in ("fast", "upstream"):
        with pytest.raises(EngineError, match=r"chunk 0, 'the cat .*24000 of 24000 samples are N"):
            say(path=path)


def test_out_of_gpu_memory_is_a_clear_error(say, monkeypatch):
    from chatterbox.models.t3 import T3

    def full(self, **_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(T3, "inference", full)
    monkeypatch.setattr(Rows, "step", full)
    with pytest.raises(EngineError, match="memory is too small for one chunk: choose a smaller"):
        say(path="upstream")
    with pytest.raises(EngineError, match="memory is too small for one chunk: choose a smaller"):
        say()


def test_a_file_saved_on_cuda_loads_on_the_cpu(tiny, tmp_path, own_models, monkeypatch):
    """Whatever device the tensors of a .pt file name, they are mapped to the CPU."""
    seen = []
    read = torch.load

    def told(*args, **kwargs):
        seen.append((kwargs["map_location"], kwargs["weights_only"]))
        return read(*args, **kwargs)

    monkeypatch.setattr(torch, "load", told)
    get_or_load_tts_model("chatterbox-multilingual", "cpu", str(tiny("chatterbox-multilingual")))
    assert seen
    assert set(seen) == {("cpu", True)}
