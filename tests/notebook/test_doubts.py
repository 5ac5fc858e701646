"""Chunks in doubt on the pages for people: real speech, spoiled in known places."""

import io
import shutil
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from bs4 import BeautifulSoup
from fakes import SpoilingEngine, speaking_with

from chatter_nb.engines.base import ChunkPart
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.notebook import doubts, show
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs import speech as speech_module
from chatter_nb.runs.speak import generate_tts, plan_speech
from chatter_nb.runs.speak_run import split_record
from chatter_nb.runs.store import ChunkStore

RATE_HZ = 24_000
TEXT = """The baker opened her little shop at seven in the morning.

Three grey geese crossed the frozen pond without a sound.

Our neighbour sold his wooden boat to a sailor from Bergen."""
SCRIPT = "<script>document.title = 'taken'</script>"


def dropped(audio, words):
    """Without three words."""
    start, end = (round(words[at].start_s * RATE_HZ) for at in (3, 6))
    return np.concatenate([audio[:start], audio[end:]])


def holed(audio, words):
    """With 3 s of silence before its last words."""
    at = round(words[5].start_s * RATE_HZ)
    return np.concatenate([audio[:at], np.zeros(3 * RATE_HZ, np.float32), audio[at:]])


def params_of(folder: Path, **values) -> SpeakParams:
    own = {"outputs_dir": str(folder), "run_name": "run", "engine": "hibari", "text": TEXT}
    return SpeakParams.create(own | {"verify": "fast", "verify_workers": 0} | values)


def seed_of(params, chunk, take):
    """The seed of a take of a chunk, as the plan gives it."""
    plan = plan_speech(params)
    return plan.identities.take(plan.chunks[chunk], take).seed


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Chunk 0 in doubt after two takes, chunk 1 made again, chunk 2 with a silence cut out."""
    params = params_of(tmp_path_factory.mktemp("runs"), tries=2)
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        for chunk, take in ((0, 0), (0, 1), (1, 0)):
            engine.spoilers[seed_of(params, chunk, take)] = dropped
        engine.spoilers[seed_of(params, 2, 0)] = holed
        return generate_tts(params)


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory):
    return generate_tts(params_of(tmp_path_factory.mktemp("plain"), verify="off"))


def changed(speech, place, **values):
    """The run with another record of a chunk."""
    chunks = list(speech.record.chunks)
    chunks[place] = chunks[place].model_copy(update=values)
    return replace(speech, record=speech.record.model_copy(update={"chunks": tuple(chunks)}))


def parsed(page) -> BeautifulSoup:
    return BeautifulSoup(page.data, "html.parser")


def test_the_audio_of_a_take_is_as_made_without_its_cuts(speech):
    (take,) = speech.record.chunks[2].takes
    ((start, end),) = take.cuts_samples
    assert (end - start) / RATE_HZ == pytest.approx(2.9, abs=0.3)
    whole, _ = ChunkStore(speech.folder.parent).get(take.key)
    audio, rate = speech.take_audio(take)
    assert rate == RATE_HZ
    assert len(audio) == len(whole) - (end - start)
    before = start - rate // 100  # the sides of a cut are faded
    assert np.array_equal(audio[:before], whole[:before])
    assert speech.take_audio(take.model_copy(update={"key": "0" * 32})) is None


def test_the_audio_of_a_take_is_watermarked_where_the_files_are(speech, monkeypatch):
    """The store holds takes from before the mark."""
    take = speech.record.chunks[0].takes[0]

    class Marked:
        watermarked = True

    monkeypatch.setattr(EngineEntry, "engine_class", lambda self: Marked)
    monkeypatch.setattr(speech_module, "mark", lambda audio, rate: -audio)
    marked, _ = speech.take_audio(take)
    monkeypatch.undo()
    assert np.array_equal(marked, -speech.take_audio(take)[0])


def test_a_chunk_in_doubt_stands_with_its_reasons_and_all_its_takes(speech):
    """The take that is in the file comes first; every player holds its own take."""
    page = parsed(show.doubtful(speech))
    assert "1 of 3 checked chunks is in doubt" in page.get_text()
    assert "chunk 0, at 0:00" in page.get_text()
    assert "The baker opened her little shop" in page.get_text()
    names = [tag.get_text() for tag in page.find_all("b")[2:]]
    assert names == ["take 0, in the file", "take 1"]
    reasons = page.find_all("ul")[0].get_text(" ")
    assert "is not in the audio, at" in reasons
    assert "expected “her little shop”, heard nothing" in reasons
    for take, audio in zip(speech.record.chunks[0].takes, page.find_all("audio"), strict=True):
        embedded = b64decode(audio.source["src"].partition(",")[2])
        samples, _ = soundfile.read(io.BytesIO(embedded), dtype="float32")
        assert samples == pytest.approx(speech.take_audio(take)[0], abs=1e-4)
        assert audio["aria-label"].startswith(f"chunk 0, take {take.take}")


def test_what_was_heard_instead_is_told(speech):
    """As the recogniser tells it, with a text that must not become markup."""
    take = speech.record.chunks[0].takes[0]
    finding = replace(take.findings[0], kind="other words", heard=f"a {SCRIPT}", reason=SCRIPT)
    takes = (take.model_copy(update={"findings": (finding,)}),)
    source = show.doubtful(changed(speech, 0, takes=takes, text=f"Hello {SCRIPT}")).data
    assert "<script" not in source
    page = BeautifulSoup(source, "html.parser")
    assert f"heard “a {SCRIPT}”" in page.get_text()
    assert f"Hello {SCRIPT}" in page.get_text()


def test_takes_that_are_not_kept_say_so(speech, tmp_path):
    moved = Path(shutil.copytree(speech.folder, tmp_path / "run"))
    page = parsed(show.doubtful(replace(speech, folder=moved)))
    assert page.get_text().count("its audio is not kept") == 2
    assert not page.find_all("audio")


def test_a_page_stays_small(speech, monkeypatch):
    """Takes beyond the limit have no player; those of a batch have a smaller limit."""
    size = max(
        len(audio.source["src"]) for audio in parsed(show.doubtful(speech)).find_all("audio")
    )
    monkeypatch.setattr(doubts, "EMBED_LIMIT_BYTES", size)
    page = parsed(show.doubtful(speech))
    assert len(page.find_all("audio")) == 1
    assert "no player here" in page.get_text()
    monkeypatch.setattr(doubts, "HEADLESS_BYTES", 10)
    params = speech.record.params | {"interactive": False}
    record = speech.record.model_copy(update={"params": params})
    assert not parsed(show.doubtful(replace(speech, record=record))).find_all("audio")


def test_a_chunk_that_was_split_is_one_line(speech):
    whole, *others = speech.record.chunks
    parts = (ChunkPart("The baker opened ", 0, 900), ChunkPart("her little shop.", 900, 2000))
    halves = split_record(
        whole.model_copy(update={"text": "The baker opened her little shop."}), parts, 0, RATE_HZ
    )
    others = [chunk.model_copy(update={"index": chunk.index + 1}) for chunk in others]
    record = speech.record.model_copy(update={"chunks": (*halves, *others)})
    (doubt,) = doubts.doubts_of(record)
    assert doubt.text == "The baker opened her little shop."


def test_nothing_in_doubt_is_a_line_and_nothing_checked_is_nothing(speech, unchecked):
    fine = changed(speech, 0, verdict="ok")
    checks = fine.record.checks.model_copy(update={"doubtful": 0})
    fine = replace(fine, record=fine.record.model_copy(update={"checks": checks}))
    page = parsed(show.doubtful(fine))
    assert page.get_text() == "3 checked, 2 made again, 0 doubtful"
    assert show.doubtful(unchecked) is None
    assert '<th style="text-align:left">check</th>' not in show.chunk_table(unchecked).data


def test_the_table_has_the_verdict_of_each_chunk(speech):
    rows = parsed(show.chunk_table(changed(speech, 2, verdict="unchecked"))).find_all("tr")
    place = [cell.get_text() for cell in rows[0].find_all("th")].index("check")
    verdicts = [row.find_all("td")[place].get_text() for row in rows[1:]]
    assert verdicts == ["doubtful", "made again, take 1", "not checked"]
