"""The chunk store: whole entries or none, damage noticed, seeds that follow the text."""

import errno
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from chatter_nb.audio.words import WordTime
from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import OutputError
from chatter_nb.base.hashing import chunk_key, chunk_seed
from chatter_nb.runs import store as chunkstore
from chatter_nb.runs.store import ChunkStore

AUDIO = np.linspace(-1, 1, 1000, dtype=np.float32)
KEY = chunk_key(text="a")
WORDS = (WordTime("über", 0.1, 0.25), WordTime("it's", 0.25, 1 / 3))


# What stands in an entry's .json: `{` alone is replaced by what was there.
ODD_ABOUT = {
    "a list": "[]",
    "nothing": "null",
    "deep": "[" * 100_000,
    "notes null": '{"notes": null}',
    "notes of numbers": '{"notes": [3]}',
    "parts as text": '{"parts": "x"}',
    "parts of lists": '{"parts": [[]]}',
    "parts of other fields": '{"parts": [{"text": "a", "start": 0}]}',
    "parts of half numbers": '{"parts": [{"text": "a", "start_samples": 0.5, "end_samples": 1}]}',
    "samples as text": '{"samples": "1000"}',
    "a checksum of digits": '{"crc32": ' + "9" * 5000 + "}",
}


@pytest.fixture
def store(tmp_path):
    store = ChunkStore(tmp_path)
    store.put(KEY, AUDIO, {"text": "a"})
    return store


def test_what_is_put_is_got(store):
    audio, about = store.get(KEY)
    assert np.array_equal(audio, AUDIO)
    assert (about["text"], about["samples"]) == ("a", 1000)
    assert store.get(chunk_key(text="b")) is None
    assert store.damaged == []


def test_entries_lie_where_the_interface_says(store, tmp_path):
    folder = tmp_path / ".chunks" / KEY[:2]
    assert sorted(p.name for p in folder.iterdir()) == [f"{KEY}.json", f"{KEY}.npy"]


def test_words_lie_beside_a_chunk_and_go_with_it(store):
    """They are written before the samples have their name, and count among the chunk's bytes."""
    assert store.words(KEY) is None
    before = sum(size for _, size, _ in store.entries())
    store.put(KEY, AUDIO, {}, WORDS)
    assert store.words(KEY) == WORDS
    size = store._words_path(KEY).stat().st_size
    assert sum(size for _, size, _ in store.entries()) == pytest.approx(before + size, abs=20)
    store.put(KEY, AUDIO, {})
    assert store.words(KEY) is None
    store.put_words(KEY, WORDS)
    assert store.words(KEY) == WORDS
    assert store.prune(keep=set())[0] == 1
    assert [path for path in store.root.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "content",
    [
        *("", "[", "null", "{}", "[[]]", "[1]", "[" * 100_000),
        '[{"text": "a", "start_s": 0.0}]',
        '[{"text": "a", "start_s": "0", "end_s": 1.0}]',
        '[{"text": "a", "start_s": 2.0, "end_s": 1.0}]',
        '[{"text": "a", "start_s": 0.0, "end_s": Infinity}]',
        '[{"text": "a", "start_s": NaN, "end_s": 1.0}]',
        '[{"text": null, "start_s": 0.0, "end_s": 1.0}]',
    ],
    ids=str.__len__,
)
def test_damaged_words_are_none_and_the_chunk_is_whole(store, content):
    store._words_path(KEY).write_text(content)
    assert store.words(KEY) is None
    assert store.get(KEY) is not None
    store.put(KEY, AUDIO, {}, WORDS)
    assert store.words(KEY) == WORDS


@pytest.mark.parametrize(
    "damage",
    [
        *("truncate", "flip", "header", "shape", "empty", "text", "no json"),
        *("folder", "json folder", *ODD_ABOUT),
    ],
)
def test_a_damaged_entry_is_noticed_and_made_again(store, damage):
    """Whatever happened to it, it is never returned as sound, and can be replaced."""
    path = store._path(KEY)
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[:-100])
    elif damage == "flip":
        path.write_bytes(data[:-50] + bytes([data[-50] ^ 1]) + data[-49:])
    elif damage == "header":
        path.write_bytes(data[:8] + b"9" + data[9:])
    elif damage == "shape":
        np.save(path, AUDIO.reshape(10, 100))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"PK not numpy")
    elif damage == "no json":
        path.with_suffix(".json").unlink()
    elif damage.endswith("folder"):
        place = path.with_suffix(".json") if damage == "json folder" else path
        place.unlink()
        place.mkdir()
        (place / "file").touch()
    else:
        about = path.with_suffix(".json")
        about.write_text(ODD_ABOUT[damage].replace("{", about.read_text()[:-1] + ", ", 1))
    assert store.get(KEY) is None
    assert store.damaged == [KEY]
    store.put(KEY, AUDIO, {})
    assert np.array_equal(store.get(KEY)[0], AUDIO)


def test_a_full_disk_is_told_and_leaves_no_half_entry(store, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chunkstore.np, "save", full)
    with pytest.raises(OutputError, match="disk full"):
        store.put(chunk_key(text="b"), AUDIO, {})
    assert not store.has(chunk_key(text="b"))
    assert len(list(store.root.glob("??/.*"))) == 0


def test_a_chunk_in_flight_is_there_and_on_disk_once_settled(store, monkeypatch):
    """The same from memory as from the disk, but for what `put` adds."""
    threads, disk_is_ready, other = threading.active_count(), threading.Event(), chunk_key(text="b")

    def put(*args):
        assert disk_is_ready.wait(60)
        ChunkStore.put(store, *args)

    monkeypatch.setattr(store, "put", put)
    store.put_behind(other, AUDIO, {"text": "b", "notes": ["slow"], "parts": []}, WORDS)
    assert store.has(other)
    assert not store._path(other).exists()
    audio, about = store.get(other)
    words = store.words(other)
    disk_is_ready.set()
    store.settle()
    assert threading.active_count() == threads
    kept, entry = store.get(other)
    assert kept is not audio
    assert np.array_equal(kept, audio)
    assert about.items() <= entry.items()
    assert store.words(other) == words == WORDS


def test_a_chunk_that_the_disk_refuses_is_told_at_the_next_and_is_not_there(tmp_path):
    store, other = ChunkStore(tmp_path), chunk_key(text="b")
    store.root.write_text("")
    for next_call in (lambda: store.put_behind(other, AUDIO, {}), store.settle):
        store.put_behind(KEY, AUDIO, {})
        with pytest.raises(OutputError, match=r"cannot write .*\.chunks"):
            next_call()
        assert not store.has(KEY)
        assert not store.has(other)
    store.settle()


def test_a_store_that_is_a_file_is_told(tmp_path):
    store = ChunkStore(tmp_path)
    store.root.write_text("")
    assert (store.get(KEY), store.has(KEY), store.damaged) == (None, False, [])
    with pytest.raises(OutputError, match=r"cannot write .*\.chunks"):
        store.put(KEY, AUDIO, {})


@pytest.mark.parametrize("fault", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_answers_with_errors_is_told(store, monkeypatch, fault):
    """Where a chunk is asked for, where it is written, and where what is half written goes."""

    def fails(*args, **kwargs):
        raise OSError(fault, os.strerror(fault))

    stat, inside = Path.stat, store._path(KEY).parent
    monkeypatch.setattr(
        type(store.root),
        "stat",
        lambda path, **how: fails() if path.parent == inside else stat(path, **how),
    )
    monkeypatch.setattr(type(store.root), "unlink", fails)
    monkeypatch.setattr(chunkstore.os, "replace", fails)
    assert store.get(KEY) is None
    with pytest.raises(OutputError, match=os.strerror(fault)):
        store.put(KEY, AUDIO, {})
    with pytest.raises(OutputError, match=os.strerror(fault)):
        store.discard(KEY)
    assert store.prune(keep=set()) == (0, 0)


def test_a_limit_on_a_files_size_is_told_with_the_cure(store):
    """`ulimit -f`, which numpy tells as "1000 requested and 500 written"."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"may have 3,000 bytes here.*ulimit -f"):
            store.put(chunk_key(text="b"), AUDIO, {})
        with pytest.raises(OutputError, match=r"may have 3,000 bytes here.*ulimit -f"):
            write_whole(store.root / "page", b"x" * 4000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in store.root.rglob("*.part")] == []


def test_prune_goes_by_age_and_use(store):
    other = chunk_key(text="b")
    store.put(other, AUDIO, {})
    month_s = 30 * 86400
    os.utime(store._path(other), (time.time() - 2 * month_s,) * 2)
    assert store.prune(older_than_s=month_s, keep={other}) == (0, 0)
    assert store.prune(older_than_s=month_s)[0] == 1
    assert [key for key, _, _ in store.entries()] == [KEY]
    assert store.prune(keep=set())[0] == 1
    assert list(store.entries()) == []


def test_a_chunk_that_goes_while_the_store_is_listed_is_passed_over(store, monkeypatch):
    """Two `clean` at once, or a run beside one."""
    gone = store.root / "ab" / "abcd.npy"
    monkeypatch.setattr(type(gone), "glob", lambda self, pattern: [gone, store._path(KEY)])
    assert [key for key, _, _ in store.entries()] == [KEY]


def test_a_store_that_cannot_be_written_can_be_read(store, monkeypatch):
    def read_only(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", read_only)
    store.touch(KEY)
    monkeypatch.setattr(type(store.root), "unlink", read_only)
    with pytest.raises(OutputError, match="Read-only file system"):
        store.discard(KEY)


def test_leftovers_of_killed_runs_go_after_a_day(store):
    old, new = (store._path(KEY).with_name(f".{n}.part") for n in ("old", "new"))
    for part in (old, new):
        part.touch()
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    store.prune(keep={KEY})
    assert (old.exists(), new.exists()) == (False, True)


def test_seeds_follow_the_text_and_its_occurrence():
    """Never the index: the same text keeps its seed wherever it stands."""
    base = {"seed": 1, "text": "a", "occurrence": 0, "take": 0}
    seeds = {chunk_seed(**base)}
    for change in ({"seed": 2}, {"text": "b"}, {"occurrence": 1}, {"take": 1}):
        seeds.add(chunk_seed(**base | change))
    assert len(seeds) == 5
    assert chunk_seed(**base) == chunk_seed(**base)
    assert all(0 <= seed < 2**32 for seed in seeds)
