"""Chunks in doubt on the pages for people: real speech, spoiled in known places."""

import io
import json
import shutil
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import browser_page
from bs4 import BeautifulSoup
from fakes import SpoilingEngine, speaking_with

from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.plan import plan_batch
from chatter_nb.batch.run import BatchReport
from chatter_nb.batch.tasks import Outcome
from chatter_nb.engines import watermark
from chatter_nb.engines.base import ChunkPart
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.notebook import show
from chatter_nb.notebook.batch_view import batch_table
from chatter_nb.pages import doubts
from chatter_nb.pages.gallery.page import write_gallery
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.choosing import split_record
from chatter_nb.runs.speak import generate_tts, plan_speech
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
    monkeypatch.setattr(watermark, "mark", lambda audio, rate: -audio)
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
    line, review = parsed(show.doubtful(fine)).find_all("p")
    assert line.get_text() == "3 checked, 2 made again, 0 doubtful"
    assert review.get_text() == f"Hear, mark and edit its lines: {fine.folder}/review.html"
    assert (fine.folder / "review.html").is_file()
    assert show.doubtful(unchecked) is None
    assert '<th style="text-align:left">check</th>' not in show.chunk_table(unchecked).data


def test_the_table_has_the_verdict_of_each_chunk(speech):
    rows = parsed(show.chunk_table(changed(speech, 2, verdict="unchecked"))).find_all("tr")
    place = [cell.get_text() for cell in rows[0].find_all("th")].index("check")
    verdicts = [row.find_all("td")[place].get_text() for row in rows[1:]]
    assert verdicts == ["doubtful", "made again, take 1", "not checked"]


@pytest.fixture
def runs(speech, unchecked, tmp_path):
    """A folder of three runs: one in doubt, a clean one, and one from before there were checks."""
    shutil.copytree(speech.folder, tmp_path / "in doubt")
    for name in ("clean", "old"):
        shutil.copytree(unchecked.folder, tmp_path / name)
    path = tmp_path / "clean" / "run.json"
    checks = {"level": "fast", "reason": "asked for", "checked": 3}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"checks": checks}))
    path = tmp_path / "old" / "run.json"
    record = json.loads(path.read_text())
    del record["checks"]
    for chunk in record["chunks"]:
        del chunk["verdict"], chunk["takes"]
    path.write_text(json.dumps(record))
    return tmp_path


def gallery(folder: Path) -> BeautifulSoup:
    return BeautifulSoup(write_gallery(folder).read_text(encoding="utf-8"), "html.parser")


def test_the_gallery_counts_and_lists_chunks_in_doubt(runs):
    """Runs that were not checked, and old ones, have no number."""
    page = gallery(runs)
    cells = page.find_all("td", {"data-column": "doubtful"})
    assert [cell["data-key"] for cell in cells] == ["0", "1", ""]
    assert [cell.get_text() for cell in cells] == ["0", "1", "–"]
    (doubtful,) = page.select("details.doubts")
    assert doubtful.find_parent("tr").th["data-key"] == "in doubt"
    assert doubtful.summary.get_text() == "1 chunk in doubt"
    assert "0:00 The baker opened her little shop" in doubtful.li.get_text(" ", strip=True)
    assert "is not in the audio" in doubtful.li.get_text()


def test_a_gallery_where_nothing_was_checked_is_as_before(runs):
    for name in ("clean", "in doubt"):
        shutil.rmtree(runs / name)
    page = gallery(runs)
    assert page.find(attrs={"data-column": "doubtful"}) is None
    assert "old" in page.tbody.get_text()


def test_a_gallery_of_hostile_records_stays_text(runs):
    path = runs / "in doubt" / "run.json"
    record = json.loads(path.read_text())
    chunk = record["chunks"][0]
    chunk |= {"text": SCRIPT}
    for take in chunk["takes"]:
        take["findings"][0] |= {"reason": SCRIPT}
    path.write_text(json.dumps(record))
    source = write_gallery(runs).read_text(encoding="utf-8")
    assert source.count("<script") == 1
    assert BeautifulSoup(source, "html.parser").find(class_="doubts").get_text().count(SCRIPT) == 2


def test_runs_sort_by_their_chunks_in_doubt(runs):
    address = write_gallery(runs).as_uri()
    with browser_page() as page:
        page.goto(address)
        heading = page.locator("thead th[data-column='doubtful']")
        for expected in (["clean", "in doubt", "old"], ["in doubt", "clean", "old"]):
            heading.locator("button").click()
            assert page.locator("tbody tr th .name").all_inner_texts() == expected
        page.get_by_label("Search").fill("is not in the audio")
        assert page.locator("#shown").inner_text() == "1 of 3 runs"
        page.get_by_text("1 chunk in doubt").click()
        assert page.get_by_text("The baker opened her").first.is_visible()


def test_a_batch_says_how_many_chunks_are_in_doubt(runs, tmp_path):
    """In a column that is there only if a run was checked."""
    files = []
    for name in ("in doubt", "old", "not begun"):
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(f"text: Hello.\nengine: hibari\nrun_name: {name}\n")
    notebook = "notebooks/01_speak.ipynb"
    params = BatchParams(files=tuple(map(str, files)), notebook=notebook, outputs_dir=str(runs))
    outcomes = [Outcome(name, "ok", "", 1.0, "here") for name in ("in doubt", "old")]
    report = BatchReport(plan_batch(params), tuple(outcomes))
    rows = parsed(batch_table(report)).find_all("tr")
    place = [cell.get_text() for cell in rows[0].find_all("th")].index("check")
    cells = {row.td.get_text(): row.find_all("td")[place].get_text() for row in rows[1:]}
    assert cells == {"in doubt": "1 doubtful of 3 checked", "old": "", "not begun": ""}
    shutil.rmtree(runs / "in doubt")
    names = [cell.get_text() for cell in parsed(batch_table(report)).find_all("th")]
    assert names == ["run", "before", "now", "audio", "work", "RTF", "pages"]
