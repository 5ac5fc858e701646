"""Runs that are heard in parts: the files unchanged, the stream whole, the same again, marked."""

import json

import numpy as np
import pytest
from conftest import OZ
from fakes import ToneEngine, speaking_with

from chatter_nb.audio.join import trim_edges
from chatter_nb.base.disk import PART_SUFFIX
from chatter_nb.base.errors import Cancelled, EngineError
from chatter_nb.base.hashing import streamed_key
from chatter_nb.engines.base import ChunkInfo
from chatter_nb.engines.hibari import _parts
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.listening import _EdgeTrimmer
from chatter_nb.runs.resume import kept_chunks
from chatter_nb.runs.speak import plan_speech, render_speech
from chatter_nb.runs.store import ChunkStore
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.cuts import clauses

RATE = 24_000
FIRST = "When the old clock struck nine, the children, who had been waiting, ran down the stairs."
TEXT = (
    f"{FIRST} Nobody saw them. They were gone before the bell rang.\n\nA second paragraph ends it."
)


class InParts(ToneEngine):
    """Hums each chunk, and to a listener a higher tone in four pieces, with silence around it.

    With `breaks_off` the pieces are not the whole chunk.
    """

    speaks_in_parts = True
    breaks_off = False

    def synthesize(self, requests, *, on_part=None):
        for request in self._order(list(requests)):
            if request.index == self._fail_at:
                raise EngineError(f"told to fail at chunk {request.index}")
            audio = self._hum(request)
            heard = on_part is not None and request is requests[0]
            if heard:
                still = np.zeros(RATE // 5, np.float32)
                tone = np.sin(np.arange(len(audio)) / 5).astype(np.float32)
                for piece in np.array_split(np.concatenate([still, tone, still]), 4):
                    on_part(piece)
            self.spoken.append(request.text)
            yield request.index, audio, ChunkInfo(in_parts=heard and not self.breaks_off)


@pytest.fixture
def params(tmp_path):
    def make(**values):
        own = {"text": TEXT, "engine": "hibari", "outputs_dir": str(tmp_path), "run_name": "run"}
        own |= {"wav_bits": 32, "chunk_chars": 90, "verify": "off"}
        return SpeakParams.create(own | values)

    return make


@pytest.fixture
def listen(params):
    """Make a run and return its record, what was heard, and the samples of its file."""

    def run(*, parts=True, **values):
        blocks = []
        speech = render_speech(plan_speech(params(**values)), on_audio=blocks.append, parts=parts)
        return speech.record, np.concatenate(blocks), speech.read()[0]

    return run


def store_of(params):
    return ChunkStore(params().run_dir().parent)


def test_the_file_is_what_it_is_without_a_listener(listen, params):
    record, heard, file = listen()
    alone = render_speech(plan_speech(params(outputs_dir=params().outputs_dir + "/alone")))
    assert np.array_equal(file, alone.read()[0])
    assert not np.array_equal(heard, file)
    assert [chunk.streamed for chunk in record.chunks] == [True] + [False] * (
        len(record.chunks) - 1
    )
    assert [chunk.streamed for chunk in alone.record.chunks] == [False] * len(record.chunks)


def test_sound_comes_before_the_chunk_is_made(params):
    engine, made_at_block = InParts(), []
    with speaking_with(engine):
        render_speech(
            plan_speech(params()),
            on_audio=lambda block: made_at_block.append(len(engine.spoken)),
            parts=True,
        )
    assert made_at_block[:2] == [0, 0]


def test_without_parts_a_listener_hears_the_files_samples(listen):
    record, heard, file = listen(parts=False)
    assert np.array_equal(heard, file)
    assert not any(chunk.streamed for chunk in record.chunks)


def test_the_same_request_sounds_the_same_again(listen, params):
    """From the store, without the engine; and made anew where the store is empty."""
    _, first, _ = listen()
    record, again, _ = listen()
    assert record.model_calls == 0
    assert record.chunks[0].streamed
    assert np.array_equal(again, first)
    _, anew, _ = listen(outputs_dir=params().outputs_dir + "/anew")
    assert np.array_equal(anew, first)


def test_what_was_heard_has_an_entry_of_its_own_and_is_kept_with_its_run(listen, params):
    record, _, _ = listen()
    store, key = store_of(params), record.chunks[0].key
    audio, about = store.get(streamed_key(key))
    assert about["streamed"] is True
    assert sum(about["pieces_samples"]) == len(audio)
    assert not np.array_equal(audio, store.get(key)[0])
    assert {streamed_key(key), key} <= record.chunk_keys()
    store.prune(keep=record.chunk_keys())
    assert store.has(streamed_key(key))
    store.prune(keep=())
    assert not store.has(streamed_key(key))


def test_edges_are_trimmed_though_the_end_is_not_known(listen):
    """Silence before the first sound and after the last is left out, pauses are laid."""
    with speaking_with(InParts()):
        record, heard, file = listen()
    first, second = record.chunks[:2]
    pause = round(first.pause_ms / 1000 * RATE)
    assert len(heard) - len(file) == pytest.approx(60e-3 * RATE, abs=240)  # two guards of 30 ms
    quiet = np.abs(heard) < 1e-4
    assert not quiet[round(0.05 * RATE) : round(0.2 * RATE)].all()
    begins = len(file) - round(second.start_s * RATE)  # counted from the end: what follows is alike
    assert quiet[len(heard) - begins - pause : len(heard) - begins].all()
    assert np.array_equal(heard[len(heard) - begins :], file[len(file) - begins :])


@pytest.mark.parametrize("seed", range(5))
def test_trimming_pieces_is_trimming_the_whole(seed):
    """However it is cut, once the loudest sample is in the first piece."""
    random = np.random.default_rng(seed)
    signal = 0.1 * random.standard_normal(2 * RATE).astype(np.float32)
    signal[:4800] = signal[20_040:30_000] = signal[-9600:] = 0
    signal[5000] = 1
    cuts = np.sort(random.integers(5001, len(signal), 8)) // 120 * 120  # whole frames of 5 ms
    edges = _EdgeTrimmer(RATE)
    pieces = [edges.add(piece) for piece in np.split(signal, cuts)]
    whole = trim_edges(signal, sample_rate=RATE)
    joined = np.concatenate([*pieces, edges.finish()])
    assert abs(len(joined) - len(whole)) <= 120
    assert np.array_equal(joined[:-240], whole[: len(joined) - 240])


def test_a_chunk_whose_parts_broke_off_is_heard_again_from_its_beginning(listen):
    engine = InParts()
    engine.breaks_off = True
    with speaking_with(engine):
        record, heard, file = listen()
        _, again, _ = listen()
    (warning,) = record.warnings
    assert "heard the beginning of a chunk, and then all of it again: 'When the old" in warning
    assert len(heard) > len(file)
    assert np.array_equal(heard, again)
    chunk = record.chunks[0]
    said = file[: round(chunk.end_s * RATE)][240:-4800]
    windows = np.lib.stride_tricks.sliding_window_view(heard, len(said))
    assert min(np.abs(window - said).max() for window in windows) == 0


def test_a_resumed_run_plays_what_is_there_and_then_the_first_new_chunk_in_parts(listen, params):
    with speaking_with(InParts()):
        _, _, whole = listen(outputs_dir=params().outputs_dir + "/whole")
    with speaking_with(InParts(fail_at=2)), pytest.raises(EngineError, match="fail at chunk 2"):
        listen()
    with speaking_with(InParts()):
        record, _, file = listen()
    assert np.array_equal(file, whole)
    assert [chunk.cached for chunk in record.chunks] == [True, True, False]
    assert [chunk.streamed for chunk in record.chunks] == [True, False, True]


def test_chunks_that_come_in_another_order_are_heard_in_theirs(listen, params):
    def first_then_backwards(requests):
        return [requests[0], *reversed(requests[1:])]

    with speaking_with(InParts()):
        _, heard, _ = listen()
    with speaking_with(InParts(order=first_then_backwards)):
        _, other, _ = listen(outputs_dir=params().outputs_dir + "/other")
    assert np.array_equal(heard, other)


def test_a_checked_run_has_no_parts(listen):
    """Sound starts at the first chunk that passed."""
    record, heard, file = listen(verify="fast")
    assert record.checks.level == "fast"
    assert np.array_equal(heard, file)
    assert not any(chunk.streamed for chunk in record.chunks)


def test_parts_that_are_damaged_are_told_and_the_chunk_is_heard(listen, params):
    record, _, file = listen()
    key = streamed_key(record.chunks[0].key)
    (path,) = store_of(params).root.glob(f"??/{key}.npy")
    path.write_bytes(path.read_bytes()[:-8])
    record, heard, _ = listen()
    assert record.warnings == (f"kept parts {key} were damaged: the chunk itself is heard",)
    assert np.array_equal(heard, file)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_run_that_is_cancelled_amid_its_parts_loses_nothing(parts, listen, params):
    """The chunk in hand is finished and kept, as without parts; and nothing else is left."""
    blocks = []
    with pytest.raises(Cancelled):
        render_speech(
            plan_speech(params()),
            cancelled=lambda: len(blocks) >= parts,
            on_audio=blocks.append,
            parts=True,
        )
    cancelled = RunFolder(params().run_dir()).record()
    assert cancelled.status == "cancelled"
    assert not list(params().run_dir().parent.rglob(f"*{PART_SUFFIX}"))
    kept = {key for key, _, _ in store_of(params).entries()}
    assert len(kept) == 2
    assert kept_chunks(RunFolder(params().run_dir()), store_of(params)) == 1
    assert kept <= cancelled.chunk_keys()
    record, heard, _ = listen()
    assert record.chunks[0].cached
    _, whole, _ = listen(outputs_dir=params().outputs_dir + "/whole")
    first_samples = round(record.chunks[0].end_s * RATE)
    assert np.array_equal(heard[:first_samples], whole[:first_samples])


def test_an_interrupt_amid_the_parts_leaves_nothing_behind(listen, params):
    """The second Ctrl-C: the next run begins anew, and sounds the same."""
    blocks = []

    def interrupted(block):
        if blocks:
            raise KeyboardInterrupt
        blocks.append(block)

    with pytest.raises(KeyboardInterrupt):
        render_speech(plan_speech(params()), on_audio=interrupted, parts=True)
    assert RunFolder(params().run_dir()).record().status == "cancelled"
    assert not list(store_of(params).entries())
    assert not list(params().run_dir().parent.rglob(f"*{PART_SUFFIX}"))
    _, heard, _ = listen()
    assert np.array_equal(heard[: len(blocks[0])], blocks[0])


@pytest.mark.parametrize(("rtf", "streamed"), [(0.5, True), (7.0, False)])
def test_left_out_parts_are_for_engines_faster_than_real_time(rtf, streamed, listen):
    engine = InParts()
    engine.typical_rtf = rtf
    with speaking_with(engine):
        record, _, _ = listen(parts=None)
    assert record.chunks[0].streamed is streamed


def test_an_older_record_has_no_streamed_chunks(listen, params):
    listen(parts=False)
    path = params().run_dir() / "run.json"
    values = json.loads(path.read_text())
    for chunk in values["chunks"]:
        del chunk["streamed"]
    path.write_text(json.dumps(values))
    assert not RunFolder(params().run_dir()).record().chunks[0].streamed


# -- the embedded voice


def test_the_embedded_voice_speaks_by_clause_and_says_every_word():
    (first, comma_s), *_, (rest, stop_s) = _parts(TEXT)
    assert first == "When the old clock struck nine, "
    assert rest.startswith("Nobody saw them. They were")
    assert comma_s < stop_s
    for chunk in split_chunks(clean(OZ.read_text()[:20_000])):
        assert "".join(part for part, _ in _parts(chunk.spoken)) == chunk.spoken


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("One clause without a mark.", ["One clause without a mark."]),
        ("Yes, he said, and ran away at once.", ["Yes, he said, ", "and ran away at once."]),
        ("It cost 1,250 dollars; nobody paid.", ["It cost 1,250 dollars; ", "nobody paid."]),
        ("He ran as fast as he could, alas.", ["He ran as fast as he could, alas."]),
    ],
)
def test_clauses_are_long_enough_and_add_up(sentence, expected):
    assert list(clauses(sentence, 12)) == expected


def test_clauses_of_the_embedded_voice_meet_without_a_click_or_a_hole(listen, params):
    """By the measure of conversion's seams; and a pause between clauses is as long as its own."""
    record, _, _ = listen(text=FIRST)
    (chunk,) = record.chunks
    audio, about = store_of(params).get(streamed_key(chunk.key))
    seams = np.cumsum(about["pieces_samples"])[:-1]
    assert len(seams) >= 2
    steps = np.abs(np.diff(audio))
    for seam in seams:
        assert steps[seam - 120 : seam + 120].max() <= np.quantile(steps, 0.999)
        around = np.abs(audio[seam - RATE // 2 : seam + RATE // 2]) < 10 ** (-40 / 20) * audio.max()
        longest_s = max(map(len, "".join("x "[not q] for q in around).split())) / RATE
        assert 0.15 <= longest_s <= 0.45
