"""Decoding many chunks at once: upstream's tokens, whatever the company, for all three models."""

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from fakes import make_checkpoint  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from chatter_nb.engines.chatterbox import plain  # noqa: E402
from chatter_nb.engines.chatterbox.backbone import Backbone  # noqa: E402
from chatter_nb.engines.chatterbox.cache import Cache  # noqa: E402
from chatter_nb.engines.chatterbox.conditionals import _conditionals  # noqa: E402
from chatter_nb.engines.chatterbox.device import quiet_upstream, seeded  # noqa: E402
from chatter_nb.engines.chatterbox.graphs import Captured, Direct, Pace  # noqa: E402
from chatter_nb.engines.chatterbox.loading import load_t3  # noqa: E402
from chatter_nb.engines.chatterbox.packing import _can_multiply_int8  # noqa: E402
from chatter_nb.engines.chatterbox.t3 import TokenDecoder  # noqa: E402
from chatter_nb.engines.chatterbox.tokens import Prompt, Sampling  # noqa: E402

MODELS = {
    "chatterbox": "t3_cfg.safetensors",
    "chatterbox-multilingual": "t3_mtl23ls_v2.safetensors",
    "chatterbox-turbo": "t3_turbo_v1.safetensors",
}
needs_int8 = pytest.mark.skipif(not _can_multiply_int8(), reason="no int8 products here")
# The multilingual model's tests are the longest.
MOST_MODELS = [
    pytest.param(model, marks=pytest.mark.slow) if "multilingual" in model else model
    for model in MODELS
]
DEFAULTS = {
    "chatterbox": Sampling(0.5, 1.2, 0.8, 0.05),
    "chatterbox-multilingual": Sampling(0.5, 2.0, 0.8, 0.05),
    "chatterbox-turbo": Sampling(0.0, 1.2, 0.8, top_k=1000, top_p=0.95),
}


class Model:
    """A tiny T3, upstream's loop over it and ours."""

    def __init__(self, name, folder):
        self.name, self.turbo = name, name.endswith("turbo")
        self.t3 = load_t3(folder, MODELS[name], "cpu", name)
        self.decoder = TokenDecoder(self.t3)
        self.voice = _conditionals(folder / "conds.pt")
        self.sampling = DEFAULTS[name]
        self._theirs = {}

    def prompts(self, lengths, limit=40):
        draw = random.Random(5)
        most = 200
        return [
            Prompt(
                index,
                torch.tensor([[draw.randrange(1, most) for _ in range(length)]]),
                seed=100 + index,
                max_new_tokens=limit if isinstance(limit, int) else limit[index],
            )
            for index, length in enumerate(lengths)
        ]

    def cond(self):
        return self.voice.for_t3(0.5, "cpu")

    def theirs(self, prompt, sampling=None):
        """Upstream's tokens, decoded once for all tests that ask for the same."""
        text = tuple(prompt.text_tokens.flatten().tolist())
        key = (text, prompt.seed, prompt.max_new_tokens, sampling)
        if key not in self._theirs:
            with seeded(prompt.seed), quiet_upstream():
                decoded = plain.decode(self.t3, self.cond(), prompt, sampling or self.sampling)
            self._theirs[key] = decoded
        return self._theirs[key]

    def ours(self, prompts, rows, sampling=None, **more):
        made = self.decoder.decode(
            prompts, self.cond(), sampling or self.sampling, rows=rows, **more
        )
        return dict(made)


@pytest.fixture(scope="module")
def model(tiny):
    made = {}
    return lambda name: made.get(name) or made.setdefault(name, Model(name, tiny(name)))


def same(one, other):
    return torch.equal(one.tokens, other.tokens) and one.ended == other.ended


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("name", MOST_MODELS)
def test_every_chunk_gets_upstreams_tokens(name, rows, model):
    """Alone, in company, and queued for a row; texts of odd lengths, some that end early."""
    own = model(name)
    prompts = own.prompts([11, 4, 37, 20, 5, 64, 13, 6], limit=[40, 3, 40, 17, 1, 90, 40, 40])
    ours = own.ours(prompts, rows)
    theirs = {prompt.index: own.theirs(prompt) for prompt in prompts}
    assert ours.keys() == theirs.keys()
    differing = [index for index in ours if not same(ours[index], theirs[index])]
    assert not differing
    assert any(one.ended for one in theirs.values())
    assert not all(one.ended for one in theirs.values())


@pytest.mark.parametrize("name", MOST_MODELS)
def test_ends_that_come_early_are_upstreams(name, tmp_path):
    """A model that ends after a few tokens: rows are refilled at almost every step."""
    own = Model(name, make_checkpoint(tmp_path / "short", name, size="tiny", mean_tokens=4))
    prompts = own.prompts([8, 21, 4, 33, 12, 6, 17, 9, 26])
    ours = own.ours(prompts, 3)
    theirs = {prompt.index: own.theirs(prompt) for prompt in prompts}
    assert [index for index in theirs if not same(ours[index], theirs[index])] == []
    assert sum(one.ended for one in theirs.values()) > 6
    assert min(len(one.tokens) for one in theirs.values()) < 10


def test_a_chunks_tokens_do_not_depend_on_its_company(model):
    """Alone, among 8 rows, first or last of 32 in the queue."""
    own = model("chatterbox")
    prompts = own.prompts([random.Random(index).randrange(4, 60) for index in range(32)])
    alone = own.ours([prompts[0]], 1) | own.ours([prompts[-1]], 1)
    queued = own.ours(prompts, 8)
    backwards = own.ours(prompts[::-1], 8)
    among_eight = own.ours(prompts[:8], 8)
    assert queued.keys() == set(range(32))
    assert all(same(queued[index], backwards[index]) for index in range(32))
    assert same(alone[0], queued[0])
    assert same(alone[31], queued[31])
    assert all(same(among_eight[index], queued[index]) for index in range(8))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(0.0, 1.2, 0.8, 0.05),
        Sampling(1.3, 1.0, 1.0, 0.0, top_p=0.7),
        Sampling(0.5, 1.7, 1.6, 0.2, top_p=0.95),
    ],
    ids=["no guidance", "no penalty", "all"],
)
def test_every_knob_of_the_llama_models(sampling, model):
    own = model("chatterbox")
    prompts = own.prompts([9, 30, 17])
    ours = own.ours(prompts, 3, sampling)
    assert all(same(ours[prompt.index], own.theirs(prompt, sampling)) for prompt in prompts)


@pytest.mark.parametrize(
    "sampling",
    [Sampling(0.0, 1.0, 1.0, top_k=7), Sampling(0.0, 1.6, 1.3, top_k=0, top_p=0.6)],
    ids=["top_k", "top_p"],
)
def test_every_knob_of_turbo(sampling, model):
    own = model("chatterbox-turbo")
    prompts = own.prompts([9, 30, 17])
    ours = own.ours(prompts, 3, sampling)
    assert all(same(ours[prompt.index], own.theirs(prompt, sampling)) for prompt in prompts)


@pytest.mark.parametrize("name", MODELS)
def test_the_generator_is_left_where_upstreams_would_be(name, model):
    """The noise of the mel comes next from it."""
    own = model(name)
    (prompt,) = own.prompts([12], 300)
    decoded = own.ours([prompt], 2)[0]
    assert decoded.ended
    with seeded(prompt.seed):
        for _ in range(len(decoded.tokens) + 1):
            torch.empty(1, own.decoder.vocabulary).exponential_()
        expected = torch.rand(3)
    assert torch.equal(torch.rand(3, generator=decoded.generator), expected)


def test_the_global_generators_are_left_alone(model):
    own = model("chatterbox")
    before = torch.get_rng_state()
    own.ours(own.prompts([9, 30]), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def sizes(monkeypatch):
    """The bytes of the caches of rows, before every step."""
    from chatter_nb.engines.chatterbox.batch import Rows

    seen, step = [], Rows.step

    def watched(self):
        seen.append(self.bytes)
        step(self)

    monkeypatch.setattr(Rows, "step", watched)
    return seen


def test_queued_chunks_cost_no_memory(model, sizes):
    """500 chunks need the cache of the rows that 32 need; prompts are taken as rows get free."""
    own, taken = model("chatterbox"), 0

    def source(count):
        nonlocal taken
        for prompt in own.prompts([12] * count, limit=3):
            taken += 1
            yield prompt

    most = {}
    for count in (32, 500):
        sizes.clear()
        taken = finished = 0
        for _ in own.decoder.decode(source(count), own.cond(), own.sampling, rows=4):
            finished += 1
            assert taken - finished <= 8
        most[count] = max(sizes)
        assert finished == count
    assert most[32] == most[500]
    # four rows, each with its twin, of 128 positions
    assert most[500] == 4 * Cache(own.decoder.backbone, 2, 128).bytes


def test_short_chunks_do_not_pay_for_a_long_one(model, sizes):
    """On a CPU: beside a chunk of 180 text tokens, and a row that it leaves to a short one."""
    own = model("chatterbox")
    own.ours(own.prompts([180, 9, 11, 5, 6], limit=[4, 30, 30, 30, 12]), 4)
    short, long = (Cache(own.decoder.backbone, 2, capacity).bytes for capacity in (128, 256))
    assert max(sizes) == long + 3 * short
    assert max(sizes[5:]) == 4 * short


class Replayed(Captured):
    """What CUDA graphs do but for the graph: rows rounded up, a warm-up taken back, blocks."""

    captured: ClassVar = []

    def __init__(self, state, on_note):
        Direct.__init__(self, state, on_note)
        self._graphs, self._works = {}, True

    def forget(self):
        self._graphs.clear()

    def _capture(self, step):
        step()
        self.captured.append(step)
        return SimpleNamespace(replay=step)


@pytest.fixture
def as_on_cuda(model, monkeypatch):
    def put(name, **changes):
        own = model(name)
        pace = Pace(block=8, span=256, room=1024, runs=Replayed, keeps=True)
        monkeypatch.setattr(own.decoder, "pace", replace(pace, **changes))
        monkeypatch.setattr(own.decoder, "_idle", None)
        monkeypatch.setattr(Replayed, "captured", [])
        return own

    return put


@pytest.mark.parametrize("name", MOST_MODELS)
def test_blocks_of_steps_and_spare_rows_change_nothing(name, as_on_cuda):
    """As a GPU is driven. The longest text comes first, and its row is spare when the rest end."""
    own = as_on_cuda(name, span=64, room=128)
    prompts = own.prompts([180, 11, 4, 37, 20, 5, 64, 13, 6], limit=[9, 40, 3, 40, 17, 1, 90, 4, 8])
    ours = own.ours(prompts, 5)
    theirs = {prompt.index: own.theirs(prompt) for prompt in prompts}
    assert [index for index in theirs if not same(ours[index], theirs[index])] == []
    for prompt in prompts:  # drawn ahead, and taken back
        alone = dict(own.decoder.decode([prompt], own.cond(), own.sampling, rows=1))[prompt.index]
        assert torch.equal(alone.generator.get_state(), ours[prompt.index].generator.get_state())


def test_a_blocks_noise_is_drawn_before_the_tokens_are_waited_for(as_on_cuda, monkeypatch):
    """A GPU has the next block's numbers as soon as it is done with this block."""
    from chatter_nb.engines.chatterbox.batch import Rows

    seen, look = [], Rows._look
    draw = torch.Tensor.exponential_

    def drawn(self, *more, **named):
        seen.append("draw")
        return draw(self, *more, **named)

    def looked(self, steps, rows):
        seen.append("wait")
        look(self, steps, rows)

    monkeypatch.setattr(torch.Tensor, "exponential_", drawn)
    monkeypatch.setattr(Rows, "_look", looked)
    own = as_on_cuda("chatterbox")
    own.ours(own.prompts([9], 17), 1)
    # the first token, then two blocks of eight; what the last has drawn ahead is taken back
    assert seen == ["draw", "wait", *["draw"] * 16, "wait", *["draw"] * 8, "wait", *["draw"] * 8]


def test_another_call_with_other_values_captures_nothing_anew(as_on_cuda):
    own = as_on_cuda("chatterbox")
    prompts = own.prompts([9, 30, 17])
    warmer = Sampling(0.7, 1.4, 1.1, 0.02)
    own.ours(prompts, 3, voice="one")
    before = len(Replayed.captured)
    assert before > 0
    ours = own.ours(prompts, 3, warmer, voice="one")
    assert len(Replayed.captured) == before
    assert all(same(ours[prompt.index], own.theirs(prompt, warmer)) for prompt in prompts)


def test_another_voice_and_fewer_rows_capture_nothing_anew(as_on_cuda):
    own = as_on_cuda("chatterbox")
    prompts = own.prompts([9, 30, 17, 12])
    for rows in (4, 2, 1):
        own.ours(prompts[:rows], rows, voice="one")
    before = len(Replayed.captured)
    assert before > 0
    other = own.voice.for_t3(0.9, "cpu")
    ours = dict(own.decoder.decode(prompts[:2], other, own.sampling, rows=2, voice="two"))
    assert len(Replayed.captured) == before
    with quiet_upstream():
        for prompt in prompts[:2]:
            with seeded(prompt.seed):
                theirs = plain.decode(own.t3, own.voice.for_t3(0.9, "cpu"), prompt, own.sampling)
            assert same(ours[prompt.index], theirs)


def test_a_caller_that_wants_no_more_leaves_the_graphs(as_on_cuda):
    """A cancelled stream closes the generator in the middle."""
    own = as_on_cuda("chatterbox")
    prompts = own.prompts([9, 30, 17])
    own.ours(prompts, 3, voice="one")
    before = len(Replayed.captured)
    decoding = own.decoder.decode(prompts, own.cond(), own.sampling, rows=3, voice="one")
    next(decoding)
    decoding.close()
    ours = own.ours(prompts, 3, voice="one")
    assert len(Replayed.captured) == before
    assert all(same(ours[prompt.index], own.theirs(prompt)) for prompt in prompts)


@pytest.mark.slow
def test_nothing_of_a_graph_is_held_when_its_cache_grows(as_on_cuda, monkeypatch):
    """The multilingual model's attention lies in a graph's memory, which must be free by then."""
    from chatter_nb.engines.chatterbox.attention_check import Alignment

    made, held, init, grow = [], [], Alignment.__init__, Cache.grow
    monkeypatch.setattr(
        Alignment, "__init__", lambda self, *more: made.append(self) or init(self, *more)
    )
    own = as_on_cuda("chatterbox-multilingual", span=64, room=128)

    def grown(self, capacity):
        if len(self.data[0]) > 1:  # not a voice's prefix
            held.extend(len(alignment._attention) for alignment in made)
        grow(self, capacity)

    monkeypatch.setattr(Cache, "grow", grown)
    own.ours(own.prompts([80, 12, 30]), 2)
    assert held
    assert not any(held)


def test_graphs_that_cannot_be_captured_are_done_without(as_on_cuda, monkeypatch):
    def failing(self, step):
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    own, told = as_on_cuda("chatterbox"), []
    monkeypatch.setattr(Replayed, "_capture", failing)
    prompts = own.prompts([9, 30, 17])
    ours = own.ours(prompts, 3, on_note=told.append)
    assert all(same(ours[prompt.index], own.theirs(prompt)) for prompt in prompts)
    (message,) = told
    assert "not permitted when stream is capturing): went on without, slower" in message


@pytest.mark.parametrize("name", MODELS)
def test_a_step_never_waits_for_the_device(name, as_on_cuda, monkeypatch):
    """Nothing that reads a value, and no scalar of the host's copied in: CUDA could not capture it.

    What CUDA itself would refuse beyond that only a GPU can show.
    """
    from chatter_nb.engines.chatterbox.batch import Rows

    step, seen = Rows._step, []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    def watched(self, count, span):
        with Watching():
            step(self, count, span)

    monkeypatch.setattr(Rows, "_step", watched)
    own = as_on_cuda(name)
    own.ours(own.prompts([9, 30]), 2, Sampling(own.sampling.cfg_weight, 1.2, 0.8, top_p=0.9))
    waits = ("_local_scalar_dense", "nonzero", "aten.equal", "lift_fresh", "masked_select")
    assert len(seen) > 1000
    steps = seen.count("aten.argmax.default")  # the alignment check has one of its own
    if not own.decoder.multilingual:  # rows are numbered once a step, not once a layer
        assert sum("arange" in name for name in seen) == 2 * steps > 0
    assert [name for name in set(seen) if any(wait in name for wait in waits)] == []


def test_a_cache_that_could_not_grow_can_be_tried_again(model, monkeypatch):
    own = model("chatterbox")
    cache = Cache(own.decoder.backbone, 2, 4)
    before, new = cache.data.normal_().clone(), cache._new

    def full(room):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cache, "_new", full)
    with pytest.raises(torch.OutOfMemoryError):
        cache.grow(8)
    assert cache.capacity == 4
    monkeypatch.setattr(cache, "_new", new)
    cache.grow(8)
    assert cache.capacity == 8
    assert torch.equal(cache.data[:, :, :, :4], before)


def test_out_of_memory_halves_the_rows_and_loses_nothing(model, monkeypatch):
    from chatter_nb.engines.chatterbox import batch as module

    own = model("chatterbox")
    prompts = own.prompts([9, 30, 17, 12, 25])
    alone = own.ours(prompts, 1)
    step, told = module.Rows.step, []

    def full(self):
        if self._most > 2 and sum(len(row.tokens) for row in self.active) > 30:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(self)

    monkeypatch.setattr(module.Rows, "step", full)
    made = own.ours(prompts, 5, on_note=told.append)
    assert len(told) == 1
    assert "went on with 2 chunks together" in told[0]
    assert all(same(made[index], alone[index]) for index in alone)


def test_out_of_memory_with_one_row_is_told(model, monkeypatch):
    from chatter_nb.base.errors import OutOfMemory
    from chatter_nb.engines.chatterbox import batch as module

    def full(self):
        raise torch.OutOfMemoryError("CUDA out of memory")

    own = model("chatterbox")
    monkeypatch.setattr(module.Rows, "step", full)
    with pytest.raises(OutOfMemory, match="chunk_chars"):
        own.ours(own.prompts([9, 12]), 2)


def test_a_cpu_short_of_memory_decodes_fewer_chunks_together(model, monkeypatch):
    """Told once; nothing begins again, and the tokens are the same."""
    from chatter_nb.engines.chatterbox import batch as module

    own, told, active = model("chatterbox"), [], []
    prompts = own.prompts([9, 30, 17, 12, 25])
    alone = own.ours(prompts, 1)
    row = module.long_chunk_bytes(own.decoder.backbone, 2, own.decoder.pace.room)
    monkeypatch.setattr(module, "free_bytes", lambda device: 1e9 + 2.5 * row)
    step = module.Rows.step
    monkeypatch.setattr(
        module.Rows, "step", lambda self: active.append(len(self.active)) or step(self)
    )
    made = own.ours(prompts, 4, on_note=told.append)
    assert max(active) == 2
    assert told == ["the memory is too small for more chunks together: went on with 2"]
    assert all(same(made[index], alone[index]) for index in alone)
    monkeypatch.setattr(module, "free_bytes", lambda device: 0)
    active.clear()
    assert own.ours(prompts, 4).keys() == alone.keys()
    assert max(active) == 1


def test_prompts_are_read_together(model, monkeypatch):
    """New rows' texts and their twins share one product; in 16 bits each has its own."""
    own = model("chatterbox")
    prompts = own.prompts([9, 30, 17, 12, 25], limit=1)
    read, called = [], Backbone.__call__

    def watched(self, embeds, *more):
        read.append(len(embeds))
        return called(self, embeds, *more)

    monkeypatch.setattr(Backbone, "__call__", watched)
    for dtype, calls in ((torch.float32, 1), (torch.bfloat16, 5)):
        decoder = TokenDecoder(own.t3, dtype=dtype)
        for _ in range(2):  # the first reads the voice as well
            read.clear()
            dict(decoder.decode(prompts, own.cond(), own.sampling, rows=5, voice="one"))
        assert len(read) == calls
        assert sum(read) == sum(length + 4 + 2 for length in [9, 30, 17, 12, 25])


def test_numbers_that_overflow_are_an_error(model):
    from chatter_nb.base.errors import EngineError

    own = model("chatterbox")
    with pytest.raises(EngineError, match="overflowed"):
        own.ours(own.prompts([9]), 1, Sampling(float("nan"), 1.2, 0.8, 0.05))


def test_sixteen_bit_weights_speak_too(model):
    """The tokens are their own; they are as many kinds as float32's, and they end."""
    own = model("chatterbox")
    decoder = TokenDecoder(own.t3, dtype=torch.bfloat16)
    made = dict(decoder.decode(own.prompts([9, 30], 300), own.cond(), own.sampling, rows=2))
    assert all(decoded.ended and len(decoded.tokens) > 3 for decoded in made.values())
    assert decoder.backbone.dtype == torch.bfloat16


def products_by_shape(monkeypatch):
    """A stand-in for kernels that are chosen by the number of tokens, as on a GPU.

    Each number sums in another order, which 16 bits show.
    """
    from chatter_nb.engines.chatterbox.packing import Weight

    call = Weight.__call__

    def chosen(self, x):
        split = 1 + len(x) % 7
        halves = x.clone(), x.clone()
        halves[0][:, split:], halves[1][:, :split] = 0, 0
        return call(self, halves[0]) + call(self, halves[1])

    monkeypatch.setattr(Weight, "__call__", chosen)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("chatterbox", torch.bfloat16),
        ("chatterbox", torch.float16),
        ("chatterbox-turbo", torch.bfloat16),
        pytest.param("chatterbox-multilingual", torch.bfloat16, marks=pytest.mark.slow),
    ],
)
def test_sixteen_bits_give_a_chunk_its_tokens_in_any_company(name, dtype, model, monkeypatch):
    """Alone and among 3 or 6 rows in any order, on a CPU and as on a GPU whose kernels differ."""
    own = model(name)
    prompts = own.prompts([11, 4, 37, 20, 5, 64], limit=[20, 3, 24, 17, 1, 24])
    decoder = TokenDecoder(own.t3, dtype=dtype)

    def decoded(rows, order, voice=None):
        return dict(decoder.decode(order, own.cond(), own.sampling, rows=rows, voice=voice))

    def differing():
        alone = {}
        for prompt in prompts:
            alone |= decoded(1, [prompt])
        companies = [(1, prompts), (3, prompts[::-1]), (6, prompts[3:] + prompts[:3])]
        made = [decoded(rows, order, voice="one") for rows, order in companies]
        return [index for each in made for index in alone if not same(each[index], alone[index])]

    assert differing() == []
    products_by_shape(monkeypatch)
    if dtype == torch.bfloat16:
        assert differing() != []  # the stand-in shows what company does
    pace = Pace(block=8, span=64, room=128, runs=Replayed, keeps=True)
    monkeypatch.setattr(decoder, "pace", pace)
    monkeypatch.setattr(decoder.backbone, "tile", 32)
    assert differing() == []


@needs_int8
@pytest.mark.parametrize("name", MODELS)
def test_int8_weights_give_nearly_the_same_logits(name, model):
    """Behind texts of several lengths: 0.1 to 0.4 % of their spread, as bfloat16's (measured)."""
    own = model(name)
    decoder = TokenDecoder(own.t3, dtype=torch.int8)
    exact, rounded = (_first_logits(own, made) for made in (own.decoder, decoder))
    error = (rounded - exact).std() / exact.std()
    assert 0.0003 < error.item() < 0.01
    assert decoder.backbone.dtype == torch.float32


def _first_logits(own, decoder):
    """Of every lane, at the end of three texts."""
    seen, logits = [], decoder.logits
    with mock.patch.object(decoder, "logits", lambda x: seen.append(logits(x)) or seen[-1]):
        dict(decoder.decode(own.prompts([9, 30, 52], 1), own.cond(), own.sampling, rows=3))
    return seen[0]


@needs_int8
def test_int8_tokens_do_not_depend_on_their_company(model):
    own = model("chatterbox")
    decoder = TokenDecoder(own.t3, dtype=torch.int8)
    prompts = own.prompts([9, 30, 17, 44, 12])
    decode = lambda prompts, rows: dict(  # noqa: E731
        decoder.decode(prompts, own.cond(), own.sampling, rows=rows)
    )
    together = decode(prompts, 3)
    assert all(
        same(decode([prompt], 1)[prompt.index], together[prompt.index]) for prompt in prompts
    )


@pytest.mark.parametrize("seed", range(12))
def test_the_alignment_check_is_upstreams(seed):
    """On made-up attention that runs along the text, jumps, lingers or goes back, and stutters."""
    from chatterbox.models.t3.inference.alignment_stream_analyzer import AlignmentStreamAnalyzer

    from chatter_nb.engines.chatterbox.attention_check import HEADS, SURELY, Alignment

    class Theirs(AlignmentStreamAnalyzer):
        def _add_attention_spy(self, *args):
            pass

    draw = torch.Generator().manual_seed(seed)
    start, text, stop, vocabulary = 34, 20 + seed, 5, 12
    theirs = Theirs(None, None, (start, start + text), eos_idx=stop)
    ours = Alignment(2, start, stop, vocabulary, torch.device("cpu"))
    ours.begin(1, text)
    tokens = _tokens_that_stutter(seed)
    forced = 0
    with quiet_upstream():
        for step in range(60):
            maps = _attention(step, seed, start, text, draw)
            logits = torch.randn(1, vocabulary, generator=draw)
            first = torch.stack(maps)[:, None].expand(-1, start + text + 2, -1)
            theirs.last_aligned_attns = list(first if step == 0 else torch.stack(maps)[:, None])
            expected = theirs.step(logits.clone(), next_token=tokens[step])
            ours._attention = {layer: one[None] for layer, one in zip(HEADS, maps, strict=True)}
            made = ours.checked(logits, slice(1, 2), first=step == 0)
            assert torch.equal(made, expected), step
            ours.record_drawn(torch.tensor([tokens[step + 1]]), slice(1, 2))
            assert int(ours.at[1]) == int(theirs.text_position)
            forced += bool(made[0, stop] == SURELY)
    assert 0 < forced < 60


def _tokens_that_stutter(seed):
    """The start token, then others; of odd seeds the first two are the same, of others two later.

    None is the stop token.
    """
    tokens = [4, *(index % 3 for index in range(60))]
    tokens[2 if seed % 2 else 9] = tokens[1 if seed % 2 else 8]
    return tokens


def _attention(step, seed, start, text, draw):
    """Three heads' weights over a sequence: along the text, one jump far ahead and one back."""
    at = 0.7 * step if step < 30 else (text - 1 if seed % 2 else 1.0)
    at = {13: 0.0, 24: 24.0}.get(step, at)
    near = -((torch.arange(start + text + 2 + step) - start - at) ** 2)
    return [(near + torch.rand(near.shape, generator=draw)).softmax(dim=0) for _ in range(3)]
