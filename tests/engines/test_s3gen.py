"""Speech tokens to samples for many chunks: upstream's samples, whatever the company."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from torch.nn.utils import parametrize  # noqa: E402

from chatter_nb.engines.chatterbox import s3gen as s3gen_module  # noqa: E402
from chatter_nb.engines.chatterbox.conditionals import _conditionals  # noqa: E402
from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded  # noqa: E402
from chatter_nb.engines.chatterbox.flow import Flow, key_bias  # noqa: E402
from chatter_nb.engines.chatterbox.loading import load_s3gen  # noqa: E402
from chatter_nb.engines.chatterbox.s3gen import (  # noqa: E402
    Synthesizer,
    TokenRow,
    batches,
    estimator_dtype,
)
from chatter_nb.engines.chatterbox.vocoder import fold_weight_norm, hift_in  # noqa: E402

FILES = {"chatterbox": "s3gen.safetensors", "chatterbox-turbo": "s3gen_meanflow.safetensors"}
FULL_SCALE_ERROR = 1e-4
LENGTHS = (1, 38, 37, 64, 5, 64)
WAITS_FOR_DEVICE = {"aten::_local_scalar_dense", "aten::nonzero", "aten::equal"}


class Model:
    """A tiny S3Gen: upstream's call of it, and ours."""

    def __init__(self, folder, name):
        self.s3gen = load_s3gen(folder, FILES[name], "cpu", meanflow=name.endswith("turbo"))
        self.voice = _conditionals(folder / "conds.pt")
        self.synthesizer = Synthesizer(self.s3gen)

    def prompt(self, prompt_s=1.0):
        return self.voice.for_s3gen("cpu", prompt_s)

    def theirs(self, row, prompt, steps=None):
        """Upstream's samples with its global generator where the row's is."""
        with seeded(0), quiet_upstream():
            torch.set_rng_state(row.generator.get_state())
            wave, _ = self.s3gen.inference(
                speech_tokens=row.tokens, ref_dict=dict(prompt), n_cfm_timesteps=steps
            )
        return wave[0].numpy()

    def alone(self, row, prompt, steps=None):
        (wave,) = self.synthesizer.waves([row], prompt, flow_steps=steps)
        return wave


@pytest.fixture(scope="module", params=FILES)
def model(request, tiny):
    return Model(tiny(request.param), request.param)


@pytest.fixture(scope="module")
def english(tiny):
    return Model(tiny(), "chatterbox")


def row_of(count, seed=0):
    """Random tokens, and a generator that has been drawn from, as T3 leaves it."""
    tokens = torch.randint(0, 6561, (count,), generator=torch.Generator().manual_seed(count))
    generator = torch.Generator().manual_seed(seed)
    torch.rand(count, generator=generator)
    return TokenRow(tokens, generator)


def assert_same(ours, theirs):
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape
    peak, error = (float(np.abs(wave).max()) for wave in (theirs, ours - theirs))
    assert peak > 0.02
    assert error <= FULL_SCALE_ERROR


@pytest.mark.parametrize("steps", [None, 1, 3])
@pytest.mark.parametrize("count", [1, 37, 64])
def test_a_row_is_upstreams(count, steps, model):
    prompt = model.prompt()
    theirs = model.theirs(row_of(count), prompt, steps)
    assert_same(model.alone(row_of(count), prompt, steps), theirs)
    assert len(theirs) == 960 * count


def test_a_prompts_odd_frame_is_kept_as_upstream_keeps_it(model):
    """Its tokens are half its frames, rounded down: upstream then drops a frame of the speech."""
    prompt = model.prompt()
    feat = prompt["prompt_feat"]
    prompt["prompt_feat"] = torch.cat([feat, feat[:, -1:]], dim=1)
    theirs = model.theirs(row_of(20), prompt)
    assert len(theirs) == 960 * 20 - 480
    assert_same(model.alone(row_of(20), prompt), theirs)


def test_the_whole_prompt_is_upstreams(model):
    prompt = model.prompt(None)
    assert_same(model.alone(row_of(30), prompt), model.theirs(row_of(30), prompt))


@pytest.mark.parametrize("lengths", [LENGTHS, (25, 25, 25)], ids=["padded", "of one length"])
def test_rows_together_are_the_rows_alone(lengths, model, monkeypatch):
    """In one batch, padded to twice what they are: no row hears the others or its padding."""
    sizes = []
    mels = Flow.mels
    monkeypatch.setattr(
        Flow,
        "mels",
        lambda self, rows, *a, **k: sizes.append(len(rows)) or mels(self, rows, *a, **k),
    )
    monkeypatch.setattr(s3gen_module, "batches", lambda lengths, most: [[*range(len(lengths))]])
    prompt = model.prompt()
    together = model.synthesizer.waves([row_of(n, i) for i, n in enumerate(lengths)], prompt)
    assert sizes == [len(lengths)]
    for index, (count, wave) in enumerate(zip(lengths, together, strict=True)):
        assert_same(wave, model.theirs(row_of(count, index), prompt))


def test_rows_come_back_in_their_order(model):
    """Though the longest go first."""
    model.synthesizer.frames_together = 300
    try:
        made = model.synthesizer.waves([row_of(n) for n in LENGTHS], model.prompt())
    finally:
        model.synthesizer.frames_together = 0
    assert [len(wave) for wave in made] == [960 * n for n in LENGTHS]
    assert_same(made[4], model.theirs(row_of(5), model.prompt()))


def test_a_cpu_takes_rows_one_by_one_so_company_changes_no_bit(model):
    prompt = model.prompt()
    together = model.synthesizer.waves([row_of(12), row_of(13)], prompt)
    assert np.array_equal(together[1], model.alone(row_of(13), prompt))


def test_the_global_generators_are_neither_used_nor_changed(model):
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        made.append(model.alone(row_of(9), model.prompt()))
        assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(*made)
    assert not np.array_equal(made[0], model.alone(row_of(9, seed=1), model.prompt()))


def test_the_s3gen_given_and_the_prompt_are_left_as_they_were(tiny):
    """Weights may be mapped from a file and shared: upstream's own call gives the same bits."""
    model = Model(tiny(), "chatterbox")
    plain = copy.deepcopy(model.s3gen)
    prompt = model.prompt()
    before = {key: copy.deepcopy(value) for key, value in prompt.items()}
    theirs = model.theirs(row_of(9), prompt)
    for precision in ("exact", "fast"):
        Synthesizer(model.s3gen, precision=precision).waves([row_of(9)], prompt)
    assert np.array_equal(model.theirs(row_of(9), prompt), theirs)
    for (name, ours), original in zip(
        model.s3gen.named_parameters(), plain.parameters(), strict=True
    ):
        assert torch.equal(ours, original), name
    for key, value in before.items():
        assert value is prompt[key] is None or torch.equal(value, prompt[key])


def test_weight_norms_are_folded_to_the_same_bits(tiny):
    folder = tiny()
    hift = copy.deepcopy(load_s3gen(folder, FILES["chatterbox"], "cpu").mel2wav)
    for module in hift.modules():  # another test may have folded the one that is shared
        is_conv = isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d)
        if is_conv and not parametrize.is_parametrized(module, "weight"):
            torch.nn.utils.parametrizations.weight_norm(module)
    layers = [m for m in hift.modules() if parametrize.is_parametrized(m, "weight")]
    theirs = [layer.weight.clone() for layer in layers]
    fold_weight_norm(hift)
    fold_weight_norm(hift)  # a second time is no error
    assert len(layers) > 80
    for layer, weight in zip(layers, theirs, strict=True):
        assert not parametrize.is_parametrized(layer)
        assert torch.equal(layer.weight, weight)


def waits(call) -> int:
    """How often a call makes the host wait for a GPU, by what it asks of the CPU here."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        call()
    return sum(part.count for part in profile.key_averages() if part.key in WAITS_FOR_DEVICE)


@pytest.mark.parametrize("lengths", [(30,), (30, 24)])
def test_the_device_is_waited_for_once_a_row(lengths, model, monkeypatch):
    """Upstream asks it for its masks at every layer."""
    monkeypatch.setattr(s3gen_module, "batches", lambda lengths, most: [[*range(len(lengths))]])
    rows, prompt = [row_of(n) for n in lengths], model.prompt()
    assert waits(lambda: model.theirs(row_of(30), prompt)) > 10
    ours = waits(lambda: model.synthesizer.waves(rows, prompt))
    assert ours == len(rows)  # torch.istft looks at its window once for each


def test_only_the_estimator_of_fast_is_in_16_bits(model):
    """Mels stay within 3 % of their spread; the encoder stays exact, and so do token ids."""
    exact, fast = Flow(model.s3gen), Flow(model.s3gen, torch.bfloat16)
    with torch.inference_mode():
        voice = exact.prompt(model.prompt())
        tokens = [row_of(40).tokens, row_of(33).tokens]
        noise = [torch.randn(80, voice.frames(len(row))) for row in tokens]
        mels, coarse = (flow.mels(tokens, voice, noise) for flow in (exact, fast))
        ids = torch.tensor([[6001, 6560]])
        assert torch.equal(exact._encoder(ids, [2]), fast._encoder(ids, [2]))
    for mel, other in zip(mels, coarse, strict=True):
        assert other.dtype == torch.float32
        error = (mel - other).square().mean().sqrt() / mel.std()
        assert 1e-5 < error < 0.03


def test_fast_sounds_as_loud_as_exact(english):
    """Its pitch drifts by less than can be heard, which moves every later sample."""
    fast = Synthesizer(english.s3gen, precision="fast")
    (coarse,) = fast.waves([row_of(60)], english.prompt())
    exact = english.alone(row_of(60), english.prompt())
    assert coarse.shape == exact.shape
    assert np.std(coarse) == pytest.approx(np.std(exact), rel=0.05)


def test_a_padded_row_hides_its_padding_alone():
    assert key_bias([4, 4], torch.device("cpu")) is None
    bias = key_bias([2, 3], torch.device("cpu"))
    assert bias.shape == (2, 1, 1, 3)
    assert bias[:, 0, 0].tolist() == [[0, 0, -np.inf], [0, 0, 0]]


def test_the_estimators_attention_is_given_no_padding_and_no_mask(english, monkeypatch):
    """A mask keeps a GPU's fastest kernels away. Guidance doubles each row."""
    calls, attention = set(), torch.nn.functional.scaled_dot_product_attention

    def seen(q, k, v, attn_mask=None):
        calls.add((len(q), q.shape[2], attn_mask is None))
        return attention(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
    monkeypatch.setattr(s3gen_module, "batches", lambda lengths, most: [[*range(len(lengths))]])
    prompt = english.prompt()
    english.synthesizer.waves([row_of(20), row_of(31)], prompt)
    frames = 2 * len(prompt["prompt_token"][0])
    assert calls == {(2, frames + 40, True), (2, frames + 62, True)}


@given(st.lists(st.integers(1, 900), max_size=40), st.integers(0, 4000))
def test_batches_hold_each_row_once_within_their_limits(lengths, most):
    found = batches(lengths, most)
    assert sorted(index for batch in found for index in batch) == [*range(len(lengths))]
    for batch in found:
        own = [lengths[index] for index in batch]
        area = max(own) * len(own)
        assert len(own) == 1 or (area <= most and area - sum(own) <= 0.15 * area)


def test_rows_that_fit_are_together():
    assert batches([100, 90, 95, 30], 1000) == [[0, 2, 1], [3]]
    assert batches([100] * 5, 200) == [[0, 1], [2, 3], [4]]
    assert batches([100, 100], 0) == [[0], [1]]


@pytest.mark.parametrize(
    ("capability", "estimator"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
def test_a_card_before_ampere_has_a_float16_estimator(capability, estimator, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert estimator_dtype(torch.device("cuda"), "fast") == estimator
    assert estimator_dtype(torch.device("cuda"), "exact") == torch.float32
    assert estimator_dtype(torch.device("mps"), "fast") == torch.float32


@pytest.mark.parametrize(
    ("precision", "capability", "in_16_bits"),
    [("fast", (8, 0), True), ("fast", (7, 5), False), ("exact", (9, 0), False)],
)
def test_the_vocoders_blocks_are_in_16_bits_on_ampere_and_later(
    precision, capability, in_16_bits, english, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(s3gen_module, "free_bytes", lambda _: 10**9)
    monkeypatch.setattr(s3gen_module, "Flow", lambda *_: None)
    weight = SimpleNamespace(device=torch.device("cuda"))
    flow = SimpleNamespace(input_embedding=SimpleNamespace(weight=weight))
    on_cuda = SimpleNamespace(flow=flow, mel2wav=english.s3gen.mel2wav)
    hift = Synthesizer(on_cuda, precision=precision)._hift
    block = hift.resblocks[0].convs1[0]
    assert (block.weight.dtype == torch.bfloat16) is in_16_bits


def in_float16(s3gen):
    """A synthesizer as it is on a T4, here on the CPU."""
    synthesizer = Synthesizer(s3gen)
    synthesizer.estimator_dtype, synthesizer.flow = torch.float16, Flow(s3gen, torch.float16)
    return synthesizer


def test_float16_is_near_and_kept_where_the_numbers_fit(english):
    notes = []
    coarse = in_float16(english.s3gen)
    (wave,) = coarse.waves([row_of(40)], english.prompt(), on_note=notes.append)
    assert notes == []
    assert coarse.estimator_dtype == torch.float16
    assert np.std(wave) == pytest.approx(np.std(english.alone(row_of(40), english.prompt())), 0.02)


def test_numbers_beyond_float16_are_made_again_in_float32_and_told(tiny):
    """A feed-forward whose inner values pass 65504, and whose outer values are as before."""
    s3gen = copy.deepcopy(load_s3gen(tiny(), FILES["chatterbox"], "cpu"))
    feed_forward = s3gen.flow.decoder.estimator.mid_blocks[0][1][0].ff.net
    with torch.no_grad():
        feed_forward[0].proj.weight *= 1e5
        feed_forward[2].weight *= 1e-5
    model, notes = Model(tiny(), "chatterbox"), []
    model.s3gen, model.synthesizer = s3gen, Synthesizer(s3gen)
    rows, prompt = [row_of(30), row_of(31)], model.prompt()
    coarse = in_float16(s3gen)
    waves = coarse.waves(rows, prompt, on_note=notes.append)
    assert notes == ["S3Gen's numbers are too large for float16: went on with float32, slower"]
    for wave, count in zip(waves, (30, 31), strict=True):
        assert np.array_equal(wave, model.alone(row_of(count), prompt))
    coarse.waves([row_of(5)], prompt, on_note=notes.append)
    assert len(notes) == 1


def log_spectral_distance_db(one, other):
    def level_db(wave):
        window = torch.hann_window(1024)
        spectrum = torch.stft(torch.from_numpy(wave), 1024, 256, window=window, return_complex=True)
        return 20 * spectrum.abs().clamp_min(1e-5).log10()

    return float((level_db(one) - level_db(other)).square().mean(0).sqrt().mean())


def test_residual_blocks_in_bfloat16_are_heard_by_nobody(english):
    """0.12 dB here; the pitch, the sources and the spectra stay in float32."""
    exact = english.alone(row_of(60), english.prompt())
    halved = Synthesizer(english.s3gen)
    halved._hift = hift_in(english.s3gen.mel2wav, torch.bfloat16)
    (wave,) = halved.waves([row_of(60)], english.prompt())
    assert 0.01 < log_spectral_distance_db(wave, exact) < 0.5
    assert {p.dtype for p in english.s3gen.mel2wav.parameters()} == {torch.float32}
    for name, module in halved._hift.named_modules():
        if isinstance(module, torch.nn.Conv1d):
            in_block = "resblocks" in name.split(".")[0]
            assert module.weight.dtype == (torch.bfloat16 if in_block else torch.float32), name


def test_a_batch_takes_a_quarter_of_a_gpus_free_memory_at_most(monkeypatch):
    """T3's cache takes a half. 8000 frames, 2 GB, fill any GPU."""
    found = {}
    for free_gb in (1, 4, 80):
        monkeypatch.setattr(s3gen_module, "free_bytes", lambda _, free_gb=free_gb: free_gb * 10**9)
        found[free_gb] = s3gen_module._frames_that_fit(torch.device("cuda"))
    assert found == {1: 1000, 4: 4000, 80: 8000}
    assert s3gen_module._frames_that_fit(torch.device("cpu")) == 0
