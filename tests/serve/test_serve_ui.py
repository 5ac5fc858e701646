"""The web page in a real browser: it speaks, converts, stops, and says what is wrong."""

import json
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from conftest import OZ, ROOT

pytest.importorskip("gradio", reason="needs the extra [serve]")

import anyio
import httpx
from anyio import to_thread
from browser import axe_violations, browser_page
from epubs import build_epub
from fakes import ToneEngine, holding, speaking_with
from playwright.sync_api import expect
from serving import serving, until

from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.serve.bodies import open_names
from chatter_nb.serve.by_hand import ByHand
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.live import Lives
from chatter_nb.serve.page_html import history_html
from chatter_nb.serve.server import running
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Limits, Settings
from chatter_nb.serve.ui import page_of
from chatter_nb.serve.worker import Task

READING = ROOT / "params" / "recordings" / "reading.flac"
TARGET = ROOT / "params" / "recordings" / "target.flac"


def own_settings(folder, **values):
    """Of a server in this process."""
    return Settings(port=0, outputs_dir=str(folder / "out"), **values)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all tests of the page: it takes seconds to begin."""
    options, folder = ("--engine", "hibari", "--preload"), tmp_path_factory.mktemp("ui")
    home = {"HIBARI_HOME": str(folder / "hibari")}  # only the voice that is in the package
    with serving(folder, *options, page=True, env=home) as server:
        yield server


def text_of(page):
    return page.get_by_role("textbox", name="text").first


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()


def edit_by_keys(page, words: str) -> None:
    """Say other words in the line that is chosen, and apply that to the run's files."""
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Apply to the files").press("Enter")
    page.get_by_text("The files hold all edits.").wait_for()


def unfold(page, title: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{title}")).locator("visible=true").click()


def duration(page, place: str = ".newest") -> float:
    """Of the first player in a part of the shown tab, once its audio is there."""
    audio = page.locator(f"{place} .take audio").locator("visible=true").first
    loaded = "a => a.duration || new Promise(done => { a.onloadedmetadata = () => "
    loaded += "done(a.duration); a.preload = 'auto'; a.load(); })"
    return audio.evaluate(loaded)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_text_is_spoken_and_the_history_keeps_it(server, width, scheme):
    """Two runs, the newest first, each with a player of the right length and its file."""
    with browser_page(width=width, color_scheme=scheme) as page:
        foreign = []
        page.on("request", lambda r: r.url.startswith(server.url) or foreign.append(r.url))
        page.goto(f"{server.url}/ui")
        text_of(page).fill("The first sentence, spoken by hand.")
        press(page, "Speak")
        first = duration(page)
        text_of(page).fill("The second one <b>is</b> longer, so that it takes more time.")
        press(page, "Speak")
        expect(page.locator(".newest h3").first).to_contain_text("<b>is</b>")
        assert duration(page, ".history") == first
        assert duration(page) > first
        about = page.locator(".newest .take .dim").first.inner_text()
        assert float(re.search(r"0:([\d.]+), made", about)[1]) == pytest.approx(
            duration(page), abs=0.1
        )
        link = page.locator(".newest .take a").first
        content = httpx.get(server.url + link.get_attribute("href")).content
        assert content[:4] == b"RIFF"
        name = link.get_attribute("download")
        assert re.fullmatch(r"the-second-one-b-is-b-[\w-]*-\w{4}\.wav", name)
        text_of(page).fill("It costs 5 ₿.")
        press(page, "Speak")
        page.get_by_text("Note: hibari passes over ₿").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert axe_violations(page) == []
        # On a phone, Speak stands over the page: its end can still be reached.
        page.locator(".history summary").locator("visible=true").last.click()
    assert [url for url in foreign if not url.startswith(("blob:", "data:"))] == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_voice_is_heard_made_once_and_stopped(server, width, scheme):
    """One that is not on the machine is an error in the status line, with the cure."""
    with browser_page(width=width, color_scheme=scheme) as page:
        answers = []
        page.on("response", lambda r: "/sample" in r.url and answers.append(r.status))
        page.goto(f"{server.url}/ui")
        page.get_by_text("218 characters").wait_for()
        hear = page.locator(".hear-voice")
        expect(hear).to_have_text("▶ Hear the voice")
        hear.click()
        page.wait_for_function("document.querySelector('body > audio')?.currentTime > 0.1")
        expect(hear).to_have_text("■ Stop")
        assert axe_violations(page) == []
        hear.click()
        expect(hear).to_have_text("▶ Hear the voice")
        assert page.evaluate("document.querySelector('body > audio').paused")
        voice = page.get_by_role("combobox", name="voice").first
        voice.fill("emma")
        voice.press("Enter")
        expect(voice).to_have_value("emma, British female, a download of 8 MB")
        hear.click()
        alert = page.locator("[role=alert].wrong")
        expect(alert).to_contain_text("chatter-nb speak Hello --voice emma")
        expect(hear).to_have_text("▶ Hear the voice")
        assert answers == [200, 404]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    samples = server.folder / "out" / ".voices" / "samples"
    assert len(list(samples.glob("*/run.json"))) == 1


def test_a_text_in_another_language_is_told_as_it_is_typed(server):
    german = "Der Wind und die Sonne stritten sich, wer von ihnen nicht der Schwächere ist."
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill(german)
        note = page.locator(".size .status")
        expect(note).to_contain_text("seems to be in 'de', and hibari reads it in 'en'")
        expect(note).to_contain_text("set language: de and engine: chatterbox-multilingual")
        text_of(page).fill("The wind and the sun, and all of it.")
        expect(note).to_have_count(0)


def test_the_key_is_the_pages_password(tmp_path):
    """From the bare address on: the browser is asked, the page opens, and its audio plays."""
    key = "a-key-of-enough-characters"
    with running(own_settings(tmp_path, engine="hibari", api_key=key)) as url:
        assert httpx.get(url).headers["www-authenticate"].startswith("Basic ")
        with browser_page() as page:
            page.goto(url.replace("//", f"//anybody:{key}@"))
            text_of(page).fill("Let me in.")
            press(page, "Speak")
            assert duration(page) > 0.3


def test_what_is_wrong_is_a_sentence(server):
    """Of the parameters' own: nothing to speak, and a number that is none."""
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill("")
        press(page, "Speak")
        alert = page.locator("[role=alert].wrong")
        alert.wait_for()
        assert "nothing to speak" in alert.inner_text()
        text_of(page).fill("Hello.")
        unfold(page, "Text")
        page.get_by_role("textbox", name="words to say differently").fill("often")
        press(page, "Speak")
        page.get_by_text("replacements: ").first.wait_for()
        assert "often" in alert.inner_text()
        assert "Traceback" not in page.content()


@pytest.mark.slow
def test_cancel_stops_a_long_text(server):
    """After the chunk in hand, in calm words; what is kept is heard; the next one is spoken."""
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill(OZ.read_text() * 7)
        press(page, "Speak")
        page.get_by_text(re.compile(r"\d+ of \d+ chunks")).wait_for()
        press(page, "Cancel")
        page.get_by_text(re.compile(r"Stopped: \d+ of \d+ chunks are kept")).wait_for()
        assert page.locator("[role=alert]").count() == 0
        page.locator(".live audio").evaluate("kept => kept.play()")
        page.wait_for_function("document.querySelector('.live audio').currentTime > 0.2")
        expect(page.locator(".said .lit")).to_have_text("Chapter One")
        page.locator(".said span").nth(1).click()
        expect(page.locator(".said .lit")).to_have_text("The Cyclone")
        text_of(page).fill("Short.")
        press(page, "Speak")
        assert 0.2 < duration(page) < 3


def test_uploads_are_converted(server):
    """Source and target out of files, by the embedded converter."""
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        page.get_by_role("tab", name="Convert").click()
        unfold(page, "Your own recordings")
        for part, path in (("source", READING), ("target", TARGET)):
            block = page.locator(".block").filter(has_text=f"or upload a {part}").last
            block.locator("input[type=file]").last.set_input_files(path)
            block.locator("#waveform").last.wait_for()
        press(page, "Convert")
        assert duration(page) == pytest.approx(soundfile.info(READING).duration, abs=0.1)
        expect(page.locator(".newest h3").last).to_have_text("reading in the voice target")
        card = page.locator(".newest .take").locator("visible=true")
        card.get_by_role("button", name="Source").click()
        source = card.locator("audio").last
        expect(source).to_be_visible()
        assert httpx.get(source.evaluate("a => a.currentSrc")).content == READING.read_bytes()
        page.reload()
        page.get_by_role("tab", name="Convert").click()
        earlier = page.locator(".history .take").locator("visible=true").first
        earlier.get_by_role("button", name="Source").click()
        expect(earlier.locator("audio").first).to_be_hidden()
        assert axe_violations(page) == []
    # Gradio's copies are where the server sweeps, not in the system's folder of temporary files.
    assert list((server.folder / "out" / "page_uploads").rglob("*.flac"))


def test_voices_follow_the_engine(tmp_path):
    """The embedded voice clones nobody, and asks for no recording; Chatterbox does both, also
    after a reload.
    """
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    voices = tmp_path / "voices"
    voices.mkdir()
    shutil.copy(TARGET, voices / "anna.flac")
    with running(own_settings(tmp_path, voices_dir=str(voices))) as url, browser_page() as page:
        page.goto(f"{url}/ui")
        upload = page.locator(".block").filter(has_text="or upload a voice")
        unfold(page, "Expression")
        unfold(page, "Voice")
        page.get_by_label("engine").first.click()
        expect(upload).not_to_be_visible()
        knob = page.get_by_label("exaggeration")
        expect(knob).not_to_be_visible()
        page.get_by_role("option", name="chatterbox", exact=True).click()
        expect(upload).to_be_visible()
        expect(knob).to_be_visible()
        page.get_by_label("voice").first.click()
        page.get_by_role("option", name="anna").click()
        page.reload()
        expect(upload).to_be_visible()
        expect(page.get_by_label("voice").first).to_have_value("anna")


@pytest.mark.slow
def test_an_upload_that_is_too_large_is_refused(tmp_path):
    """Before it is read whole, with how much is taken."""
    small = own_settings(tmp_path, limits=Limits(upload_bytes=100_000))
    with running(small) as url, browser_page() as page:
        page.goto(f"{url}/ui")
        page.get_by_role("tab", name="Convert").click()
        unfold(page, "Your own recordings")
        block = page.locator(".block").filter(has_text="or upload a source").last
        block.locator("input[type=file]").last.set_input_files(READING)
        page.get_by_text("maximum").first.wait_for()


def test_a_full_line_is_a_sentence(tmp_path):
    """With when to come again; what is in hand goes on."""
    with (
        speaking_with(ToneEngine()) as engine,
        running(own_settings(tmp_path, max_queue=1)) as url,
        ThreadPoolExecutor() as pool,
        httpx.Client(base_url=url, timeout=600) as client,
        browser_page() as page,
    ):
        page.goto(f"{url}/ui")
        with holding(engine) as begun:
            answers = [pool.submit(client.post, "/api/v1/tts", json={"text": "In hand."})]
            assert begun.wait(600)
            answers += [pool.submit(client.post, "/api/v1/tts", json={"text": "In line."})]
            until(lambda: client.get("/api/v1/health").json()["waiting"]["hibari"])
            text_of(page).fill("No room.")
            press(page, "Speak")
            page.get_by_text("1 requests are waiting already").wait_for()
        assert all(answer.result().status_code == 200 for answer in answers)


class SlowInParts(ToneEngine):
    """Lets a listener hear ten seconds of a chunk, and goes on when it may."""

    speaks_in_parts = True

    def __init__(self):
        super().__init__()
        self.go_on = threading.Event()

    def synthesize(self, requests, *, on_part=None):
        if on_part:
            on_part(0.3 * np.sin(np.arange(240_000) / 20).astype(np.float32))
            self.go_on.wait(600)
        yield from super().synthesize(requests)


@pytest.mark.parametrize("hear", ["auto", "off"])
def test_a_text_is_heard_while_its_first_chunk_is_made(hear, tmp_path):
    """Its player starts by itself and lights the text; the run's player goes on where it is."""
    with (
        speaking_with(SlowInParts()) as engine,
        running(own_settings(tmp_path)) as url,
        browser_page() as page,
    ):
        page.goto(f"{url}/ui")
        if hear == "off":
            unfold(page, "While it is made")
            page.get_by_label("hear it while it is made").first.click()
            page.get_by_role("option", name="never", exact=True).click()
            engine.go_on.set()
        text = "Nobody waits for the end of this sentence."
        text_of(page).fill(text)
        press(page, "Speak")
        live = page.locator(".live audio")
        if hear == "auto":
            live.wait_for()
            page.wait_for_function("document.querySelector('.live audio').currentTime > 0.2")
            assert page.locator(".newest .take audio").count() == 0
            expect(page.locator(".said .lit")).to_have_text(text)
            engine.go_on.set()
        page.wait_for_function("document.querySelector('.newest audio')?.currentTime > 0.01")
        assert live.count() == 0


@pytest.fixture
def page_service(tmp_path):
    service = Service(Settings(engine="hibari", outputs_dir=str(tmp_path)))
    yield service
    service.close()


@pytest.fixture
def page(page_service):
    return page_of(page_service, Lives())


def test_every_open_parameter_has_a_control(page):
    """By the fields' own labels; what is withheld over HTTP is not on the page either."""
    labels = {getattr(block, "label", None) for block in page.blocks.values()}
    for kind in (SpeakParams, ConvertParams):
        for name in open_names(kind):
            shown = fields_of(kind)[name].label
            assert any(label and label.startswith(shown) for label in labels), name
    assert not {"checkpoint", "outputs dir", "regex replacements"} & labels


def test_settings_and_runs_come_back_after_a_reload(server):
    """The text and the speed out of the browser; a run that was made before out of its folder."""
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill("Kept for tomorrow.")
        page.get_by_label("number input for speed").fill("1.5")
        press(page, "Speak")
        first = duration(page)
        page.reload()
        expect(text_of(page)).to_have_value("Kept for tomorrow.")
        expect(page.get_by_label("number input for speed")).to_have_value("1.5")
        card = page.locator(".history .take").first
        expect(card.locator("h3")).to_have_text("Kept for tomorrow.")
        expect(card.locator(".dim")).to_contain_text("speed 1.5")
        assert duration(page, ".history") == first


def test_only_a_run_that_the_line_has_taken_is_heard():
    """A run that was refused has no stream, which would never end; one that was taken ends."""
    lives = Lives()

    async def pieces() -> list[bytes]:
        refused = await to_thread.run_sync(lives.begin, "refused", "auto")
        assert lives.of("refused") is None
        task = Task(lambda cancelled: None, is_job=False)
        lives.follow("taken", refused, task)
        task.perform()
        return [piece async for piece in lives.of("taken").all()]

    assert anyio.run(pieces) == []


def test_a_model_that_loads_is_told(page_service):
    """With about how long; once it is loaded, the page says that it speaks."""
    params = page_service.catalog.speech({"text": "Hello."}, "run")
    by_hand = ByHand(page_service, Lives(), SpeakParams, [])
    assert by_hand.waits_for(params) == "hibari is loading, about 2 s"
    page_service.catalog.loaded["hibari"] = "cpu"
    assert by_hand.waits_for(params) == "speaking"


def heart_only(name: str, *, download_missing: bool) -> None:
    if name != "heart":
        raise FileNotFoundError(name)


def test_the_voices_are_those_of_the_engine(page_service, monkeypatch):
    """All five of hibari, once each; one that is not here yet is told how to bring it."""
    monkeypatch.setattr("hibari.voices.voice_path", heart_only)
    labels, names = zip(*page_service.catalog.voice_choices("hibari"), strict=True)
    assert names == ("heart", "emma", "fenrir", "fable", "kore")
    assert labels[0] == "heart, American female"
    assert all(label.endswith(", a download of 8 MB") for label in labels[1:])
    with pytest.raises(Problem, match="chatter-nb speak Hello --voice emma"):
        page_service.catalog.speech({"text": "Hello.", "voice": "emma"}, "run")


def test_voices_of_speakers_are_checked_as_the_voice_is(page_service, monkeypatch, tmp_path):
    """A path is refused, also that of a file which is there; names of the cast are no voices."""
    monkeypatch.setattr("hibari.voices.voice_path", heart_only)
    there = tmp_path / "there.wav"
    there.write_bytes(b"x")
    speech = page_service.catalog.speech
    for voice in (str(there), "../there.wav", "there.wav", "default"):
        for values in ({"cast": {"Fox": voice}}, {"cast": {"Fox": "heart"}, "narrator": voice}):
            with pytest.raises(Problem, match="no voice") as told:
                speech({"text": "Hello.", **values}, "run")
            assert told.value.status == 404
    with pytest.raises(Problem, match="chatter-nb speak Hello --voice emma"):
        speech({"text": "Hello.", "cast": {"Fox": "emma"}}, "run")
    params = speech({"text": "Hello.", "cast": {"Fox": "heart"}, "narrator": "fox"}, "run")
    assert params.cast["Fox"].voice == "heart"


def test_a_run_is_told_without_the_servers_folders(speak, tmp_path):
    """An uploaded voice by its file's name; a parameter of another version is passed over."""
    folder = speak(text="Hello.", run_name="tts-20261130-120000-0123456789abcdef").folder
    record = json.loads((folder / "run.json").read_text())
    upload = "/srv/out/.uploads/0123456789abcdef-My-aunt.wav"
    record["params"] |= {"voice": upload, "of_another_version": 3}
    (folder / "run.json").write_text(json.dumps(record))
    html = history_html(tmp_path, "speak")
    assert "voice My-aunt, " in html
    assert "/srv" not in html


def test_the_speakers_of_a_run_come_back(server):
    """As they were written, lines or braces; the run's card names them."""
    cast = "{Fox: {voice: heart, speed: 1.2}, Crow: heart}"
    with browser_page(width=390, color_scheme="dark") as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill("The fox came.\n\nFox: Good day.\n\nCrow: Caw.")
        unfold(page, "Speakers")
        box = page.get_by_label("cast")
        box.fill(cast)
        page.screenshot(path="/tmp/w6_ui.png", full_page=True)
        assert axe_violations(page) == []
        press(page, "Speak")
        duration(page)
        legend = page.locator(".newest").get_by_role("list", name="speakers")
        told = legend.get_by_role("listitem").all_inner_texts()
        assert [item.split()[0] for item in told] == ["narrator", "Fox", "Crow"]
        page.reload()
        unfold(page, "Speakers")
        expect(box).to_have_value(cast)
        box.fill("Fox = /etc/passwd")
        press(page, "Speak")
        expect(page.locator("[role=alert].wrong")).to_contain_text("no voice '/etc/passwd'")


def test_settings_of_another_version_are_passed_over(page):
    """What a control cannot show stays at its default, and is no error."""
    stored = {"voice": "gone", "speed": 90, "formats": ["wav", "cassette"], "text": 5, "seed": "x"}
    restore = next(fn.fn for fn in page.fns.values() if fn.name == "_restore")
    for saved in (json.dumps(stored), "[1]", "not JSON", None, 7):
        assert not any("value" in update for update in restore(saved)[:-1])


def test_samples_are_ready(server):
    """A press speaks the sample text; a press converts the sample recording; both play alone."""
    with browser_page(width=390, height=844) as page:
        page.goto(f"{server.url}/ui")
        page.get_by_text("218 characters, about 13 s of audio").wait_for()
        press(page, "Speak")
        playing = page.locator(".newest audio")
        playing.first.wait_for()
        page.wait_for_function("document.querySelector('.newest audio').currentTime > 0.1")
        for part in (page.get_by_role("button", name="Speak", exact=True), playing):
            box = part.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= 844  # a phone's first screen
        page.get_by_role("tab", name="Convert").click()
        press(page, "Convert")
        expect(page.locator(".newest h3").last).to_have_text("reading in the voice target")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_document_is_spoken_in_chapters_and_its_lines_are_edited(server, tmp_path, width, scheme):
    """It stands in place of the text, with its name and its chapters; closed, the text is back."""
    pages = {
        "a.xhtml": "<h1>The wind</h1><p>One<a epub:type='noteref' href='#n'>1</a> fine day.</p>",
        "b.xhtml": "<h1>The sun</h1><p>Another day.</p>",
    }
    entries = [("The wind", "a.xhtml"), ("The sun", "b.xhtml")]
    epub = build_epub(tmp_path / "Two days.epub", pages, entries)
    with browser_page(width=width, color_scheme=scheme) as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill("A text of one's own.")
        page.locator(".under input[type=file]").set_input_files(epub)
        page.locator("p.status", has_text="note mark").wait_for()
        expect(text_of(page)).to_be_hidden()
        page.get_by_text("Two days").first.wait_for()
        page.get_by_text("53 characters").wait_for()
        chapters = page.get_by_label("chapters of “A book”: all 2, unless you choose some").first
        chapters.click()
        page.get_by_role("option", name="2 The sun").click()
        chapters.press("Escape")
        page.get_by_text("23 characters").wait_for()
        unfold(page, "Output")
        page.get_by_role("checkbox", name="mp3").check()
        page.get_by_role("checkbox", name="wav").uncheck()
        page.get_by_label("loudness").first.click()
        page.get_by_role("option", name="podcast").click()
        press(page, "Speak")
        card = page.locator(".newest .take")
        expect(card.locator("h3")).to_have_text("Two-days")
        expect(card.locator(".dim")).to_contain_text("chapters 2, loudness podcast")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert axe_violations(page) == []
        card.locator("summary").press("Enter")
        lines = card.locator("chatter-review .line")
        expect(lines).to_have_count(2)
        lines.nth(1).press("Enter")
        edit_by_keys(page, "Other words stand here.")
        expect(card.locator(".player").first).to_contain_text("Other words stand here.")
        page.get_by_role("button", name="Clear").first.press("Enter")
        expect(text_of(page)).to_have_value("A text of one's own.")
        expect(chapters).to_be_hidden()
        press(page, "Speak")
        expect(card.locator("h3")).to_have_text("A text of one's own.")
        earlier = page.locator(".history .take").filter(has_text="Two-days").first
        earlier.get_by_role("button", name="Use these settings").press("Enter")
        page.get_by_text("Its document was an upload: choose it again.").wait_for()


def test_a_file_that_is_no_document_is_told_and_not_opened(server, tmp_path):
    """The one before is closed too: what is spoken is what is seen."""
    book, picture = tmp_path / "book.md", tmp_path / "book.txt"
    book.write_text("# Chapter one\n\nA *short* chapter.\n")
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        upload = page.locator(".under input[type=file]")
        upload.set_input_files(book)
        page.get_by_text("29 characters").wait_for()
        upload.set_input_files(picture)
        alert = page.locator("[role=alert].wrong")
        expect(alert).to_have_text("text file book.txt is binary, not text: save it as UTF-8")
        expect(text_of(page)).to_be_visible()
        page.get_by_text("218 characters").wait_for()
        press(page, "Speak")
        expect(page.locator(".newest h3").first).to_contain_text("The North Wind")


def test_a_line_is_edited_made_again_and_applied_by_keys_alone(server):
    """The line's new take is heard at once; once applied, the run's player says the new words."""
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        text_of(page).fill("The first line.\n\nThe second line.")
        press(page, "Speak")
        page.locator(".newest summary").first.press("Enter")
        lines = page.locator(".newest chatter-review .line")
        lines.nth(1).press("Enter")
        page.keyboard.press("m")
        page.get_by_text("take 1 is made").wait_for()
        edit_by_keys(page, "Other words stand here.")
        expect(page.locator(".newest .player").first).to_contain_text("Other words stand here.")
        assert axe_violations(page, ".newest") == []


def test_an_earlier_runs_settings_fill_the_form(server):
    """Those folded away too; what the run left at its default is at its default again."""
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        unfold(page, "Pauses")
        unfold(page, "Text")
        pause = page.get_by_role("spinbutton", name="pause after a sentence (ms)")
        words = page.get_by_role("textbox", name="words to say differently")
        text_of(page).fill("Siobhan came.")
        words.fill("Siobhan = Shivawn")
        page.get_by_label("number input for speed").fill("1.5")
        usual = pause.input_value()
        pause.fill("750")
        press(page, "Speak")
        duration(page)
        card = page.locator(".newest .take")
        expect(card.locator(".dim")).to_contain_text("speed 1.5")
        text_of(page).fill("Another text.")
        words.fill("")
        page.get_by_label("number input for speed").fill("1")
        pause.fill(usual)
        press(page, "Speak")
        expect(page.locator(".newest h3").first).to_have_text("Another text.")
        earlier = page.locator(".history .take").filter(has_text="Siobhan came.")
        earlier.get_by_role("button", name="Use these settings").press("Enter")
        expect(text_of(page)).to_have_value("Siobhan came.")
        expect(text_of(page)).to_be_focused()
        expect(words).to_have_value("Siobhan = Shivawn")
        expect(pause).to_have_value("750")
        expect(page.get_by_label("number input for speed")).to_have_value("1.5")
        page.get_by_text("The form has the settings of “Siobhan came.”.").wait_for()
        card.get_by_role("button", name="Use these settings").press("Enter")
        expect(words).to_have_value("")
        expect(pause).to_have_value(usual)


def test_a_lexicon_is_uploaded_and_pairs_are_lines(server, tmp_path):
    """Both are said; the run's settings come back, the pairs in lines, but the upload does not."""
    path = tmp_path / "names.yaml"
    path.write_text("Niamh: Neev\n")
    with browser_page() as page:
        page.goto(f"{server.url}/ui")
        unfold(page, "Text")
        page.locator(".more input[type=file]").set_input_files(path)
        page.locator(".more").get_by_text("names", exact=True).wait_for()
        words = page.get_by_role("textbox", name="words to say differently")
        words.fill("Siobhan: Shivawn, St. John = Sinjin")
        text_of(page).fill("Siobhan saw Niamh and St. John.")
        press(page, "Speak")
        duration(page)
        run = page.locator(".newest .take").get_attribute("data-run")
        params = json.loads((server.folder / "out" / run / "run.json").read_text())["params"]
        assert params["lexicon"] == [str(server.folder / "out" / run / "source" / "names.yaml")]
        assert params["replacements"] == {"Siobhan": "Shivawn", "St. John": "Sinjin"}
        page.locator(".newest").get_by_role("button", name="Use these settings").press("Enter")
        page.get_by_text("Its lexicon was an upload: choose it again.").wait_for()
        expect(words).to_have_value("Siobhan = Shivawn\nSt. John = Sinjin")
        assert axe_violations(page, ".more") == []


def test_settings_of_a_run_that_had_uploads_are_brought_without_them(page, speak, tmp_path):
    """The sentence says which recording is to be chosen again; a name that is no run says so."""
    name = "tts-20261130-120000-0123456789abcdef"
    folder = speak(text="Hello.", run_name=name).folder
    record = json.loads((folder / "run.json").read_text())
    record["params"] |= {"voice": "/srv/out/.uploads/0123456789abcdef-My-aunt.wav", "seed": 5}
    (folder / "run.json").write_text(json.dumps(record))
    use = next(fn for fn in page.fns.values() if fn.name == "_use")
    *updates, about = use.fn(name)
    assert "Its voice was an upload: choose the recording again." in about
    values = [update.get("value") for update in updates]
    assert "Hello." in values
    assert "heart" in values
    assert 5 in values
    *updates, about = use.fn("../../etc")
    assert "there is no run" in about
    assert not any(update.get("value") for update in updates)
