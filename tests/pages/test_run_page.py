"""The page of a run: one file that opens anywhere, and says first what is in doubt."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import axe_violations, browser_page
from bs4 import BeautifulSoup
from conftest import ROOT
from fakes import SpoilingEngine, speaking_with

from chatter_nb.base.errors import InputError
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.pages import run_page
from chatter_nb.pages.run_page import write_page, write_pages
from chatter_nb.pages.run_players import source_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.convert import convert_voice
from chatter_nb.runs.speak import generate_tts, plan_speech

SCRIPT = "<script>document.title = 'taken'</script>"
TEXT = f"The baker opened her little shop at seven. {SCRIPT}\n\nThree grey geese crossed the pond."


def params_of(folder: Path, **values) -> SpeakParams:
    defaults = {"text": TEXT, "engine": "hibari", "run_name": "run", "outputs_dir": str(folder)}
    return SpeakParams.create(defaults | values)


def halved(audio, words):
    """Without the words in its middle."""
    return np.concatenate([audio[: len(audio) // 4], audio[len(audio) * 3 // 4 :]])


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory):
    """A checked run, the last chunk of which has lost a part of its text in both takes."""
    values = {"verify": "fast", "verify_workers": 0, "tries": 2}
    params = params_of(tmp_path_factory.mktemp("runs"), **values)
    plan = plan_speech(params)
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        for take in (0, 1):
            engine.spoilers[plan.identities.take(plan.chunks[-1], take).seed] = halved
        return generate_tts(params).folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Two files of a folder, one output each, wav only."""
    folder = tmp_path_factory.mktemp("runs")
    texts = folder / "texts"
    texts.mkdir()
    (texts / "1 first.txt").write_text(TEXT)
    (texts / "2 second.txt").write_text("The end.")
    values = {"text": "", "text_file": str(texts), "merge": False, "speed": 1.2}
    return generate_tts(params_of(folder, **values)).folder


def parsed(folder: Path) -> BeautifulSoup:
    return BeautifulSoup(write_page(folder).read_text("utf-8"), "html.parser")


def test_the_verdict_comes_first(doubtful, plain):
    page = parsed(doubtful)
    assert page.h1.get_text() == "1 of 1 checked chunk is in doubt; 1 could not be checked"
    assert page.h1.get_text() in page.title.get_text()
    first = page.find(["h1", "audio", "dl"])
    assert first.name == "h1"
    assert len(page.select("#doubts audio")) == 2
    assert "Not checked" in parsed(plain).h1.get_text()


def test_the_page_holds_the_text_and_what_differs_from_the_defaults(plain):
    page = parsed(plain)
    assert [h2.get_text() for h2 in page.select(".output h2")] == ["1 first", "2 second"]
    assert SCRIPT in page.select_one(".output .text p").get_text()
    told = page.find("section", class_="about").get_text(" ", strip=True)
    assert "speed 1.2" in told
    assert str(plain.parent) not in str(page)  # a path of this machine helps no reviewer


def test_what_was_said_otherwise_stands_under_the_text(tmp_path):
    text = f"It cost $12. {SCRIPT}\n\nIt rained."
    page = parsed(generate_tts(params_of(tmp_path, text=text)).folder)
    (line,) = page.select(".output .said li")
    assert line.small.get_text().startswith("said: It cost twelve dollars.")
    assert line.span.get_text().startswith("It cost $12.")
    assert SCRIPT in line.span.get_text()


def test_the_page_of_a_book_lists_its_chapters_and_keeps_its_paragraphs(tmp_path):
    book = str(ROOT / "params" / "books" / "fables.epub")
    values = {"text": "", "text_file": book, "chapters": "1,4", "formats": ["m4b"]}
    page = parsed(generate_tts(params_of(tmp_path, **values)).folder)
    titles = [item.bdi.get_text() for item in page.select("[data-chapters] li")]
    assert titles == ["Title page", "The Crow and the Pitcher"]
    lines = page.select_one(".output .text p").get_text().split("\n")
    assert [line.strip() for line in lines][0:3:2] == ["Three Fables", "The Crow and the Pitcher"]
    assert len(lines) == 6
    assert page.audio.source["type"] == "audio/mp4"


def test_the_page_plays_alone_in_another_folder(plain, tmp_path):
    """By mail: nothing is beside it, no request goes out, and a wav is an mp3 inside it."""
    copy = Path(shutil.copy(write_page(plain), tmp_path / "mailed.html"))
    record = json.loads((plain / "run.json").read_text())
    asked = []
    with browser_page() as page:
        page.on("request", lambda request: asked.append(request.url.partition(",")[0]))
        page.goto(copy.as_uri())
        audio = page.locator("section.output audio").first
        length_s = audio.evaluate("""async audio => {
            if (audio.readyState < 1)
                await new Promise(done => audio.addEventListener("loadedmetadata", done));
            await audio.play();
            return audio.duration;
        }""")
        assert abs(length_s - record["outputs"][0]["audio_s"]) < 0.1
        assert page.title() != "taken"
        wave = page.get_by_role("slider").first  # the player's script may run
        wave.focus()
        page.keyboard.press("End")
        assert float(wave.get_attribute("aria-valuenow")) > 1
    assert [url for url in asked if not url.startswith(("data:", copy.as_uri()))] == []


def test_audio_that_is_too_long_lies_beside_the_page_and_that_is_told(plain, monkeypatch):
    monkeypatch.setattr(run_page, "EMBED_LIMIT_BYTES", 30_000)
    page = parsed(plain)
    first, second = page.select("section.output")
    assert first.audio.source["src"] == "1%20first.wav"
    assert "1 first.wav: send it along" in first.find(class_="problem").get_text()
    assert second.audio.source["src"].startswith("data:audio/mpeg")


def test_a_conversion_and_a_run_that_failed_have_pages(tmp_path):
    recordings = ROOT / "params" / "recordings"
    values = {"source": str(recordings / "reading.flac"), "target": str(recordings / "target.flac")}
    values |= {"engine": "world", "outputs_dir": str(tmp_path), "run_name": "converted"}
    folder = convert_voice(ConvertParams.create(values)).folder
    page = parsed(folder)
    assert "1 recording converted" in page.h1.get_text()
    assert "target.flac" in page.find("section", class_="about").get_text()
    record = json.loads((folder / "run.json").read_text())
    failed = {"status": "failed", "error": SCRIPT, "files": [], "outputs": [], "windows": []}
    (folder / "run.json").write_text(json.dumps(record | failed))
    page = parsed(folder)
    assert "did not finish" in page.h1.get_text()
    assert page.find(class_="problem").get_text() == SCRIPT


def test_audio_that_is_gone_is_told_and_stops_no_other_page(plain, tmp_path):
    runs = Path(shutil.copytree(plain.parent, tmp_path / "runs"))
    shutil.copytree(plain, runs / "gone")
    (runs / "gone" / "1 first.wav").unlink()
    with pytest.raises(InputError, match="is gone"):
        write_page(runs / "gone")
    for page in runs.glob("*/page.html"):
        page.unlink()
    problems = []
    assert write_pages(runs, problems.append) == 1
    assert (runs / "run" / "page.html").is_file()
    assert len(problems) == 1
    assert write_pages(runs, problems.append) == 0  # it is there now


def test_the_command_writes_the_page_and_says_where(cli, plain):
    assert cli("page", str(plain)).stdout.strip() == (plain / "page.html").as_uri()
    with pytest.raises(InputError, match=r"no readable run\.json"):
        write_page(plain.parent)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_breaks_no_rule_of_accessibility_and_fits(doubtful, width, scheme):
    address = write_page(doubtful).as_uri()
    with browser_page(width=width, color_scheme=scheme) as page:
        page.goto(address)
        page.locator("details").first.evaluate("details => { details.open = true; }")
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


# A promise that is kept once an audio element has played on; the page's policy lets no script wait.
PLAYS_ON = """a => new Promise(done => {
    const from_s = a.currentTime;
    a.ontimeupdate = () => a.currentTime > from_s + 0.2 && !a.paused && done();
})"""


def test_a_result_and_its_source_are_heard_at_the_same_place(tmp_path):
    """The switch keeps the moment and the playing; only one is shown; keys do it too."""
    values = {"source": "params/recordings/reading.flac", "outputs_dir": str(tmp_path)}
    values |= {"target": "params/recordings/target.flac", "engine": "world", "run_name": "run"}
    params = ConvertParams.create(values)
    page_file = write_page(convert_voice(params).folder)
    with browser_page() as page:
        page.goto(page_file.as_uri())
        result, source = (page.locator("audio").nth(number) for number in (0, 1))
        source.wait_for(state="hidden")
        result.evaluate("a => { a.currentTime = 4; a.play(); }")
        result.evaluate(PLAYS_ON)
        page.get_by_role("button", name="Source").click()
        result.wait_for(state="hidden")
        assert page.get_by_role("button", pressed=True).inner_text() == "Source"
        source.evaluate(PLAYS_ON)
        assert source.evaluate("a => a.currentTime") > 4
        assert result.evaluate("a => a.paused")
        page.get_by_role("slider").press("s")
        source.wait_for(state="hidden")
        result.evaluate(PLAYS_ON)
        assert source.evaluate("a => a.paused")
        moments_s = [part.evaluate("a => a.currentTime") for part in (result, source)]
        assert moments_s[0] > moments_s[1]
        assert axe_violations(page) == []


def test_another_recording_in_the_sources_place_is_not_its_source(tmp_path):
    source = tmp_path / "mine.wav"
    reading, rate_hz = soundfile.read(ROOT / "params" / "recordings" / "reading.flac")
    soundfile.write(source, reading[: 4 * rate_hz], rate_hz)
    values = {"source": str(source), "outputs_dir": str(tmp_path), "run_name": "run"}
    values |= {"target": "params/recordings/target.flac", "engine": "world"}
    speech = convert_voice(ConvertParams.create(values))
    (output,) = speech.record.outputs
    assert source_of(speech, output) == source
    soundfile.write(source, reading[: 6 * rate_hz], rate_hz)
    assert source_of(speech, output) is None
    source.unlink()
    assert source_of(speech, output) is None
    assert "data-source" not in write_page(speech.folder).read_text()
