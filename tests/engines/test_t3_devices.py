"""What T3 chooses by its device: rows, room in the cache, graphs. Stand-ins play the GPU."""

import weakref
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.base.errors import OutOfMemory  # noqa: E402
from chatter_nb.engines.chatterbox import device as module  # noqa: E402
from chatter_nb.engines.chatterbox.cache import Shared  # noqa: E402
from chatter_nb.engines.chatterbox.device import memory_explained  # noqa: E402
from chatter_nb.engines.chatterbox.graphs import Captured, pace_of  # noqa: E402

GB = 1e9


def layers(device, dtype):
    return SimpleNamespace(
        device=torch.device(device), dtype=dtype, depth=30, heads=16, head_width=64
    )


@pytest.fixture
def card(monkeypatch):
    def put(total, free):
        properties = SimpleNamespace(total_memory=total)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        monkeypatch.setattr(module, "free_bytes", lambda device: free)

    return put


@pytest.mark.parametrize(
    ("total", "free", "dtype", "least", "most"),
    [
        (16 * GB, 11 * GB, torch.float32, 8, 16),
        (8 * GB, 5 * GB, torch.bfloat16, 6, 16),
        (6 * GB, 2.1 * GB, torch.bfloat16, 1, 1),
        (80 * GB, 74 * GB, torch.bfloat16, 64, 64),
        (24 * GB, 20 * GB, torch.bfloat16, 16, 16),
    ],
    ids=["T4", "8 GB", "almost full", "H100", "24 GB"],
)
def test_long_chunks_fit_beside_s3gen(total, free, dtype, least, most, card):
    """The cache as it really grows, for chunks of 800 positions, and 2 GB for S3Gen."""
    card(total, free)
    pace = pace_of(torch.device("cuda"))
    rows = module.rows_that_fit(layers("cuda", dtype), 2, pace.room, 0)
    assert least <= rows <= most
    caches = Shared(layers("meta", dtype), rows, 2, pace, lambda: None)
    caches.reach({0: 800})
    assert rows == 1 or caches.bytes + 2 * GB < free


def test_memory_of_idle_rows_counts_as_free(card):
    card(16 * GB, 5 * GB)
    pace, like = pace_of(torch.device("cuda")), layers("cuda", torch.float32)
    alone = module.rows_that_fit(like, 2, pace.room, 0)
    assert module.rows_that_fit(like, 2, pace.room, int(5 * GB)) > alone


@pytest.mark.parametrize(
    ("instructions", "cores", "total", "rows"),
    [
        ("AVX512", 2, 64 * GB, 16),
        ("AVX512", 16, 64 * GB, 32),
        ("AVX2", 2, 64 * GB, 32),
        ("AVX2", 2, 25 * GB, 16),
        ("AVX2", 2, 16 * GB, 8),
        ("AVX2", 2, 8 * GB, 2),
        ("AVX2", 2, 4 * GB, 1),
        ("DEFAULT", 8, 64 * GB, 8),
    ],
)
def test_rows_on_a_cpu_are_of_the_machine_alone(instructions, cores, total, rows, monkeypatch):
    """Instruction set, cores and all memory; what is free at the moment is not asked for."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(module, "total_bytes", lambda: total)
    monkeypatch.setattr(module, "free_bytes", lambda device: 1 / 0)
    assert module.rows_that_fit(layers("cpu", torch.float32), 2, 128, 0) == rows


def test_a_container_has_the_memory_of_its_limit(tmp_path):
    whole = module.total_bytes(tmp_path / "missing")
    limit = tmp_path / "memory.max"
    for text, total in (("max\n", whole), ("2000000000\n", 2_000_000_000)):
        limit.write_text(text)
        assert module.total_bytes(limit) == total


def test_a_cpus_allocator_runs_out_of_memory_too():
    too_small = pytest.raises(OutOfMemory, match="too small for a test: choose less")
    with too_small, memory_explained("a test", "choose less"):
        torch.empty(1 << 55, dtype=torch.uint8)


class Cuda:
    """CUDA's streams, graphs and pools as far as `Captured` uses them.

    A pool whose last graph is gone is dead: capturing into it again is an assertion in torch.
    """

    def __init__(self, monkeypatch):
        self.streams, self.pools, self.used = 0, 0, {}
        for name in ("graph_pool_handle", "Stream", "CUDAGraph", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        for name in ("device", "stream"):
            monkeypatch.setattr(torch.cuda, name, lambda which: nullcontext())
        waiting = SimpleNamespace(wait_stream=lambda other: None)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: waiting)

    def graph_pool_handle(self):
        self.pools += 1
        return self.pools

    def Stream(self, device=None):
        self.streams += 1
        return SimpleNamespace(wait_stream=lambda other: None)

    class CUDAGraph:
        def replay(self):
            """Nothing was captured."""

    @contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):

        graphs = self.used.setdefault(pool, [])
        if graphs and not any(each() for each in graphs):
            raise RuntimeError("it->second->use_count > 0 INTERNAL ASSERT FAILED")
        graphs.append(weakref.ref(graph))
        yield


def test_graphs_are_captured_into_a_living_pool_on_a_single_stream(monkeypatch):
    cuda, told, ran = Cuda(monkeypatch), [], []
    runs = Captured([torch.zeros(1)], told.append)
    for key in ("first", "second"):
        runs.get(key, lambda: ran.append(1))()
    runs.forget()  # the cache has grown
    for key in ("first", "third"):
        runs.get(key, lambda: ran.append(1))()
    assert told == []
    assert len(ran) == 8  # a warm-up and a capture for each
    assert cuda.streams == 1
