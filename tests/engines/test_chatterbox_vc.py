"""Chatterbox' conversion on a random checkpoint: upstream's samples, no seam, flat memory."""

import weakref

import numpy as np
import pytest
import soundfile
from conftest import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from fakes import NoWatermark  # noqa: E402

from chatter_nb.audio.reading import read_audio  # noqa: E402
from chatter_nb.audio.windows import plan_windows  # noqa: E402
from chatter_nb.engines.chatterbox import vocoder as vocoder_module  # noqa: E402
from chatter_nb.engines.chatterbox.architecture import read_sidecar, reduced  # noqa: E402
from chatter_nb.engines.chatterbox.convert import noise_of  # noqa: E402
from chatter_nb.engines.chatterbox.flow import Flow  # noqa: E402
from chatter_nb.engines.chatterbox.s3gen import SpeechTokens  # noqa: E402
from chatter_nb.engines.chatterbox.vocoder import Vocoder  # noqa: E402
from chatter_nb.engines.models import get_or_load_vc_model, unload  # noqa: E402
from chatter_nb.engines.voices import Library  # noqa: E402

READING = ROOT / "params" / "recordings" / "reading.flac"
TARGET = ROOT / "params" / "recordings" / "target.flac"
QUICK = {"n_cfm_timesteps": 1, "prompt_s": 1.0}


@pytest.fixture(scope="module")
def engine(tiny):
    yield get_or_load_vc_model("chatterbox", "cpu", str(tiny()))
    unload()


@pytest.fixture(scope="module")
def upstream(tiny):
    from chatterbox.vc import ChatterboxVC

    with reduced(read_sidecar(tiny())):
        converter = ChatterboxVC.from_local(tiny(), "cpu")
    converter.watermarker = NoWatermark()
    return converter


@pytest.fixture
def convert(engine, tmp_path):
    """Convert 16 kHz samples and return the result and its seams."""

    def run(source, *, target="", window_s=60.0, overlap_s=1.0, seed=5, **knobs):
        voice = engine.prepare_voice(str(target), Library(tmp_path, tmp_path / "cache"))
        conversion = engine.begin(source, voice, seed=seed, knobs=knobs)
        blocks: list[np.ndarray] = []
        joiner = conversion.joiner(blocks.append)
        for window in plan_windows(conversion.steps, window_s=window_s, overlap_s=overlap_s):
            joiner.add(window, conversion.convert([window])[0])
        return np.concatenate(blocks), joiner.finish()

    return run


def at_16k(seconds: float) -> np.ndarray:
    signal, _ = read_audio(READING, sample_rate=16_000)
    return np.tile(signal, int(seconds * 16_000 / len(signal)) + 1)[: round(seconds * 16_000)]


@pytest.mark.parametrize("target", ["", TARGET], ids=["built-in", "cloned"])
def test_one_window_is_upstreams(target, convert, upstream, tmp_path):
    """`ChatterboxVC.generate` after `torch.manual_seed`, its watermarker the identity.

    But for rounding, which is heard through the phase of the pitch: upstream adds up its cycles in
    float32, whose last bit grows with the length.
    """
    signal, rate = soundfile.read(READING)
    path = tmp_path / "source.wav"
    soundfile.write(path, np.stack([signal, signal], axis=1)[: 8 * rate], rate)  # stereo too
    torch.manual_seed(5)
    theirs = upstream.generate(str(path), target_voice_path=str(target) or None).squeeze(0).numpy()
    ours, seams = convert(read_audio(path, sample_rate=16_000)[0], target=target)
    assert np.abs(theirs).max() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 2e-5
    assert seams == ()


def test_the_global_generators_are_left_as_they_were(convert):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    convert(at_16k(6), window_s=4, **QUICK)
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_are_drawn_from_generators_of_its_own(convert, monkeypatch):
    """A capture that failed can leave CUDA's default generator in a state that nobody may ask."""
    expected, _ = convert(at_16k(6), window_s=4, **QUICK)

    def broken(*_):
        raise RuntimeError("the default generator is being captured")

    for name in ("get_rng_state", "set_rng_state", "manual_seed", "randn_like"):
        monkeypatch.setattr(torch, name, broken)
    assert np.array_equal(convert(at_16k(6), window_s=4, **QUICK)[0], expected)


def test_the_same_seed_is_the_same_and_another_is_another(convert):
    one, same, other = (convert(at_16k(6), window_s=4, seed=s, **QUICK)[0] for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_seams_have_no_step_no_hole_and_no_fade(convert):
    """Upstream begins every window with 20 ms of silence and 20 ms of fade."""
    made, seams = convert(at_16k(24), window_s=5, **QUICK)
    assert len(seams) >= 5
    steps = np.abs(np.diff(made))
    limit = np.percentile(steps, 99.9)
    quietest = np.inf
    for seam in seams:
        assert steps[seam - 3 : seam + 3].max() <= limit
        around = made[seam - 960 : seam + 960].reshape(-1, 96)
        quietest = min(quietest, np.sqrt((around**2).mean(axis=1)).min())
    inner = made[1920 : len(made) // 960 * 960].reshape(-1, 96)
    typical = np.sqrt((inner**2).mean(axis=1))
    assert quietest > np.percentile(typical, 0.5)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 7.777, 59.99, 60.01])
def test_any_duration_is_kept_within_a_token(seconds, convert):
    made, _ = convert(at_16k(seconds), window_s=30, **QUICK)
    assert abs(len(made) / 24_000 - seconds) <= 0.04
    assert np.isfinite(made).all()


@pytest.mark.parametrize("seconds", [0.21, 0.5, 29.999, 30.0, 30.03, 53.0, 75.5])
def test_the_planned_steps_are_the_tokens(seconds, engine):
    wave = torch.from_numpy(at_16k(seconds))
    tokens = SpeechTokens(engine._s3gen.tokenizer, wave)
    assert len(tokens.between(0, tokens.count)) == tokens.count == engine.steps(len(wave))


@pytest.mark.parametrize("seconds", [12.3, 75.0])
def test_tokens_are_upstreams_made_segment_by_segment(seconds, engine):
    wave = torch.from_numpy(at_16k(seconds))
    theirs = engine._s3gen.tokenizer(wave[None])[0][0]
    ours = SpeechTokens(engine._s3gen.tokenizer, wave)
    assert torch.equal(ours.between(0, ours.count), theirs)
    assert torch.equal(ours.between(100, 250), theirs[100:250])


def test_no_tokens_are_lost_where_the_last_segment_is_short(engine):
    """s3tokenizer drops 50 of the 1325 tokens of 53 s; the rest are the same."""
    wave = torch.from_numpy(at_16k(53))
    theirs = engine._s3gen.tokenizer(wave[None])[0][0]
    ours = SpeechTokens(engine._s3gen.tokenizer, wave)
    assert (len(theirs), ours.count) == (1275, 1325)
    assert torch.equal(ours.between(0, 1275), theirs)


def test_vocoding_in_spans_is_vocoding_at_once(engine, monkeypatch):
    """But for the noise, which is drawn span by span: taken away here on both sides."""
    monkeypatch.setattr(vocoder_module, "_noise_like", lambda x, _: torch.zeros_like(x))
    mel = torch.randn(80, 700, generator=torch.Generator().manual_seed(1)) - 4

    def vocode(span: int) -> np.ndarray:
        blocks: list[np.ndarray] = []
        with torch.inference_mode():
            vocoder = Vocoder(engine._s3gen, torch.Generator().manual_seed(1), blocks.append)
            for start in range(0, 700, span):
                vocoder.add(mel[:, start : start + span], last=start + span >= 700)
        return np.concatenate(blocks)

    whole = vocode(700)
    assert len(whole) == 700 * 480
    for span in (300, 37, 5):
        assert np.abs(vocode(span) - whole).max() < 1e-3 * np.abs(whole).max(), span


def test_a_windows_noise_belongs_to_its_frames(engine, tmp_path):
    voice = engine.prepare_voice("", Library(tmp_path, tmp_path))
    conversion = engine.begin(at_16k(10), voice, seed=3, knobs={})
    prompt = conversion._prompt.frames(0)
    early, late = (
        noise_of(steps, conversion._noise, conversion._prompt) for steps in [(0, 100), (60, 160)]
    )
    assert torch.equal(early[:, prompt + 120 :], late[:, prompt : prompt + 80])
    assert torch.equal(early[:, :prompt], late[:, :prompt])


def test_our_calls_fit_the_installed_upstream(engine):
    """A new release that renames an argument breaks this and not a user."""
    import inspect

    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.t3 import T3
    from perth import PerthImplicitWatermarker

    def names(function) -> set[str]:
        return set(inspect.signature(function).parameters)

    assert {"speech_tokens", "ref_dict", "n_cfm_timesteps"} <= names(S3Gen.inference)
    assert {"t3_cond", "text_tokens", "max_new_tokens", "cfg_weight", "min_p"} <= names(
        T3.inference
    )
    assert {"t3_cond", "text_tokens", "max_gen_len", "top_k"} <= names(T3.inference_turbo)
    for method in ("apply_watermark", "get_watermark"):
        fake = inspect.signature(getattr(NoWatermark, method)).parameters
        real = inspect.signature(getattr(PerthImplicitWatermarker, method)).parameters
        assert [*fake][1:] == [*real][1:] or [*fake][2:] == [*real][2:]


def test_a_target_is_judged_by_the_ten_seconds_that_are_heard(engine, tmp_path):
    # So loud that speech does not stand out of it, and nothing is cut off.
    noise = np.random.default_rng(0).normal(0, 0.05, 12 * 16_000).astype(np.float32)
    soundfile.write(tmp_path / "late.wav", np.append(noise, at_16k(5)), 16_000)
    (note,) = engine.prepare_voice("late", Library(tmp_path, tmp_path / "cache")).notes
    assert "in the first 10 s, which the model hears, rises above a steady noise" in note


@pytest.fixture
def run(tiny, tmp_path, own_models):
    """A whole conversion run of 30 s in windows of 5 s."""
    from chatter_nb.params.runs import ConvertParams
    from chatter_nb.runs.convert import convert_voice

    soundfile.write(tmp_path / "source.wav", at_16k(30), 16_000)

    def convert(name, **values):
        own = {"source": str(tmp_path / "source.wav"), "engine": "chatterbox", "window_s": 5.0}
        own |= {"outputs_dir": str(tmp_path / name), "run_name": "run", **QUICK}
        own |= {"checkpoint": str(tiny()), "formats": ("wav",), "wav_bits": 32}
        return convert_voice(ConvertParams.create(own | values))

    return convert


def test_windows_made_together_are_those_made_alone(run):
    """Rows of one length, without padding: within 1e-4 of full scale, and fewer calls."""
    alone, together = run("alone", rows=1), run("together", rows=4)
    assert alone.record.model_calls == len(alone.record.windows) == 8
    assert together.record.model_calls < 5
    assert np.abs(alone.read()[0] - together.read()[0]).max() < 1e-4
    assert alone.record.stages_s["watermark"] > 0


@pytest.mark.parametrize("samples", [24_001, 23_300, 6 * 24_000 + 959])
def test_a_conversion_is_as_long_as_its_source_to_the_sample(samples, run, tmp_path):
    """Whole tokens are cut, and filled up where the tokenizer leaves out a last part of one."""
    soundfile.write(tmp_path / "odd.wav", at_16k(10)[:samples], 24_000)
    made = run("odd", source=str(tmp_path / "odd.wav"))
    assert len(made.read()[0]) == samples


def test_out_of_memory_halves_the_rows_and_says_so(run, monkeypatch):
    rows, held = [], []
    mels = Flow.mels

    def small_gpu(flow, tokens, *args, **kwargs):
        assert all(tensor() is None for tensor in held)  # the failed attempt's memory is free
        if len(tokens) > 2:
            activation = torch.zeros(1000)
            held.append(weakref.ref(activation))
            raise torch.OutOfMemoryError("CUDA out of memory")
        rows.append(len(tokens))
        return mels(flow, tokens, *args, **kwargs)

    whole = run("whole", rows=1)
    with monkeypatch.context() as patch:
        patch.setattr(Flow, "mels", small_gpu)
        halved = run("halved", rows=5)
    assert max(rows) == 2
    (note,) = halved.record.warnings
    assert note == "the GPU's memory is too small for 5 rows: went on with 2"
    assert halved.record.engine.rows == 2
    assert all(tensor() is None for tensor in held)
    assert np.abs(whole.read()[0] - halved.read()[0]).max() < 1e-4


def test_one_window_that_does_not_fit_is_an_error_with_its_cure(run, monkeypatch):
    from chatter_nb.base.errors import EngineError

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Flow, "mels", full)
    with pytest.raises(EngineError, match=r"window 1 of 8 .* too small for one window: choose a"):
        run("full", rows=4)


def test_the_target_is_encoded_once_for_all_windows(run, monkeypatch):
    """The predecessor encoded it with every window."""
    from chatterbox.models.s3gen import S3Gen

    calls = []
    embed = S3Gen.embed_ref
    monkeypatch.setattr(
        S3Gen, "embed_ref", lambda self, *a, **k: calls.append(1) or embed(self, *a, **k)
    )
    assert len(run("once", target=str(TARGET)).record.windows) == 8
    run("once", target=str(TARGET), seed=3)
    assert len(calls) == 1


def test_a_resumed_conversion_is_the_same_bytes(run, monkeypatch):
    """Some windows kept, the others made in other company; then nothing is made at all."""
    from chatter_nb.base.errors import EngineError

    calls = []
    mels = Flow.mels

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("gone")
        return mels(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Flow, "mels", failing)
        with pytest.raises(EngineError, match=r"source\.wav, window 4 of 8 .*RuntimeError: gone"):
            run("a", rows=1)
    resumed, again, whole = run("a", rows=1), run("a", rows=1), run("b", rows=1)
    assert resumed.record.model_calls == 5
    assert again.record.model_calls == 0
    assert np.array_equal(resumed.read()[0], whole.read()[0])
    assert np.array_equal(again.read()[0], whole.read()[0])
