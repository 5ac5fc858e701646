"""The player in a real browser: seams and clicks where they should be, several on one page."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from browser import axe_violations, browser_page

from chatter_nb.notebook import show
from chatter_nb.pages import players
from chatter_nb.pages.players import data_url, waveform_player
from chatter_nb.pages.waves import Mark, Picture, peaks_of

RATE_HZ = 24_000
TEXT = "The river ran high.\n\nNobody crossed it.\n\nMay came, and it fell."


@pytest.fixture(scope="module")
def browser():
    """One for all of these tests: it takes a second to start."""
    with browser_page() as page:
        yield page


@pytest.fixture
def opened(browser):
    """An empty page in it."""

    @contextmanager
    def page(*, width: int = 1280):
        browser.goto("about:blank")
        browser.set_viewport_size({"width": width, "height": 900})
        yield browser

    return page


@pytest.fixture
def speech(speak):
    return speak(text=TEXT, formats=["wav", "mp3"])


def put(page, html: str) -> None:
    page.set_content(f"<body style='margin:20px'>{html}</body>")
    page.wait_for_selector("[role=slider]")


def moment_s(page, number: int = 0) -> float:
    return page.evaluate(f"document.querySelectorAll('audio')[{number}].currentTime")


def click_at(page, share: float, number: int = 0) -> None:
    wave = page.locator("[role=slider]").nth(number)
    box = wave.bounding_box()
    wave.click(position={"x": share * box["width"], "y": box["height"] / 2})


def test_a_click_on_the_waveform_moves_to_that_time(speech, opened):
    with opened() as page:
        put(page, show.player(speech).data)
        for share in (0.25, 0.8):
            click_at(page, share)
            assert moment_s(page) == pytest.approx(share * speech.audio_s, abs=0.05)


def test_two_players_on_a_page_are_independent(speech, opened):
    with opened() as page:
        put(page, show.player(speech).data * 2)
        click_at(page, 0.5, number=1)
        assert moment_s(page, 0) == 0
        assert moment_s(page, 1) == pytest.approx(speech.audio_s / 2, abs=0.05)


def test_the_arrow_keys_move_and_space_plays(speech, opened):
    with opened() as page:
        put(page, show.player(speech).data)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('role')") == "slider"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        assert moment_s(page) == pytest.approx(1.0, abs=0.01)
        page.keyboard.press("Space")
        page.wait_for_function("document.querySelector('audio').currentTime > 1.1")


@pytest.mark.parametrize("ink", ["rgb(20, 20, 20)", "rgb(240, 240, 240)"])
def test_the_playhead_is_no_seam(ink, speech, opened):
    """It has the text's colour, light or dark: what is orange is a seam."""
    with opened() as page:
        put(page, f"<div style='color:{ink}'>{show.player(speech).data}</div>")
        head = page.locator("[role=slider] > div").last
        assert head.evaluate("(e) => getComputedStyle(e).backgroundColor") == ink


def test_a_chunk_under_the_mouse_is_told(speech, opened):
    """Its number and its text."""
    chunk = speech.record.chunks[1]
    middle = (chunk.start_s + chunk.end_s) / 2 / speech.audio_s
    with opened() as page:
        put(page, show.player(speech).data)
        wave = page.locator("[role=slider]")
        box = wave.bounding_box()
        wave.hover(position={"x": middle * box["width"], "y": 30})
        assert "chunk 1: Nobody crossed it." in page.inner_text("body")


def test_chunks_are_numbered_in_their_middle(speech, opened):
    with opened() as page:
        put(page, show.player(speech).data)
        page.wait_for_selector("[role=slider] span")
        box = page.locator("[role=slider]").bounding_box()
        labels = page.locator("[role=slider] span")
        assert labels.all_inner_texts() == ["0", "1", "2"]
        for chunk, label in zip(speech.record.chunks, labels.all(), strict=True):
            found = label.bounding_box()
            middle = (found["x"] + found["width"] / 2 - box["x"]) / box["width"]
            expected = (chunk.start_s + chunk.end_s) / 2 / speech.audio_s
            assert middle == pytest.approx(expected, abs=0.01)


def test_seams_are_drawn_where_they_are(speech, opened):
    """Read off the picture as it stands on the page."""
    with opened(width=1000) as page:
        put(page, show.player(speech).data)
        page.mouse.move(0, 0)
        page.evaluate("document.querySelectorAll('[role=slider] div').forEach(e => e.remove())")
        picture = page.locator("[role=slider] img").screenshot()
    pixels = decoded(picture)
    orange = (pixels[2, :, 0] > pixels[2, :, 2] + 60).nonzero()[0]
    seams_s = [samples / RATE_HZ for samples in speech.record.seams_samples]
    assert len(seams_s) == 2
    columns = [seam_s / speech.audio_s * pixels.shape[1] for seam_s in seams_s]
    assert all(min(abs(orange - column)) <= 1.5 for column in columns)
    assert all(min(abs(column - at) for column in columns) <= 1.5 for at in orange)


def decoded(png: bytes) -> np.ndarray:
    import io

    import matplotlib.image

    return (matplotlib.image.imread(io.BytesIO(png), format="png")[:, :, :3] * 255).astype(int)


def test_a_stretch_of_a_longer_file_begins_where_it_should(tmp_path, opened):
    """A linked stretch: the page's own time starts at 0, the file's at 3 s."""
    signal = np.zeros(10 * RATE_HZ, np.float32)
    soundfile.write(tmp_path / "long.wav", signal, RATE_HZ)
    picture = Picture(4.0, peaks_of(signal[:9], signal[:9]), [Mark(0, 4, 7)], from_s=3.0)
    page_html = waveform_player(["long.wav#t=3,7"], "audio/wav", "part", picture)
    (tmp_path / "page.html").write_text(page_html)
    with opened() as page:
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector("[role=slider]")
        click_at(page, 0.5)
        assert moment_s(page) == pytest.approx(5.0, abs=0.05)


def test_one_starts_and_the_others_of_a_comparison_stop(speech, opened):
    with opened() as page:
        put(page, f"<div data-together>{show.player(speech).data * 2}</div>")
        for number in (0, 1):
            page.locator("[role=slider]").nth(number).press(" ")
            page.wait_for_function(
                f"[...document.querySelectorAll('audio')].map(a => a.paused)[{number}] === false"
            )
        page.wait_for_function("document.querySelectorAll('audio')[0].paused")


def test_it_works_where_html_is_set_into_a_page(speech, opened):
    """As widgets do: a `<script>` would not run there."""
    with opened() as page:
        page.set_content("<div id=here></div>")
        page.evaluate("html => { here.innerHTML = html }", show.player(speech).data)
        page.wait_for_selector("[role=slider]")
        click_at(page, 0.5)
        assert moment_s(page) == pytest.approx(speech.audio_s / 2, abs=0.05)


def test_without_scripts_the_picture_and_the_audio_are_there(speech, opened):
    """As in a notebook that is not trusted: handlers and data are dropped."""
    page_html = re.sub(r' (onload|data-player|style)="[^"]*"', "", show.player(speech).data)
    with opened() as page:
        page.set_content(page_html)
        assert page.locator("[role=slider]").count() == 0
        loaded = "document.querySelector('img').naturalWidth > 0"
        page.wait_for_function(loaded)
        page.wait_for_function("document.querySelector('audio').duration > 1")


def test_nothing_is_wider_than_a_narrow_page(speech, opened):
    with opened(width=320) as page:
        put(page, show.player(speech).data)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_every_file_can_be_fetched(speech, opened):
    """The embedded one out of the page, where a link would lead nowhere on Colab."""
    with opened() as page:
        put(page, show.player(speech).data)
        page.wait_for_selector('a[href^="data:audio/mpeg"]')
        names = page.eval_on_selector_all("a", "links => links.map(link => link.download)")
        assert names == ["speech.wav", "speech.mp3"]
        with page.expect_download() as fetched:
            page.click('a[download="speech.mp3"]')
        assert fetched.value.path().read_bytes() == (speech.folder / "speech.mp3").read_bytes()


def test_a_headless_runs_files_are_linked_from_its_folder(speech):
    params = speech.record.params | {"interactive": False}
    record = speech.record.model_copy(update={"params": params})
    page = show.player(replace(speech, record=record)).data
    links = re.findall(r'<a href="([^"]+)"', page)
    assert sorted(unquote(link) for link in links) == ["speech.mp3", "speech.wav"]
    assert "data:audio" not in page


def test_a_text_with_markup_stays_text(speak, opened):
    """In the attribute that carries it, and on the page."""
    speech = speak(text='Say "<b>bold</b>" & go.\n\nThen it\'s over.')
    with opened() as page:
        put(page, show.player(speech).data)
        told = json.loads(page.get_attribute("[data-player]", "data-player"))
        assert [mark[3] for mark in told["marks"]] == [c.text.strip() for c in speech.record.chunks]
        assert page.locator("b").count() == 0


def test_a_click_on_the_text_moves_and_what_is_spoken_is_lit(speech, opened):
    """By mouse on the second chunk's words, by the waveform on the third's, by key back again."""
    second, third = speech.record.chunks[1:]
    with opened() as page:
        put(page, show.player(speech).data)
        page.get_by_text("Nobody crossed it.", exact=True).click()
        assert moment_s(page) == pytest.approx(second.start_s, abs=0.01)
        assert page.locator("[aria-current]").inner_text() == "Nobody crossed it."
        click_at(page, (third.start_s + third.end_s) / 2 / speech.audio_s)
        assert page.locator("[aria-current]").inner_text() == "May came, and it fell."
        page.get_by_role("group").press("ArrowUp")
        assert moment_s(page) == pytest.approx(second.start_s, abs=0.01)


def test_the_text_of_two_thousand_chunks_is_a_box_that_follows(opened):
    """It is bounded in bytes and in height; the page does not scroll when the box does."""
    signal = np.zeros(RATE_HZ * 200, np.int16)
    marks = [
        Mark(n / 10, (n + 1) / 10, n, f"Sentence {n} " + "goes on. " * 40) for n in range(2000)
    ]
    picture = Picture(200.0, peaks_of(signal[:9], signal[:9]), marks)
    url = data_url(players.encoded(signal[: RATE_HZ * 9], RATE_HZ, "WAV"), "audio/wav")
    page_html = waveform_player([url], "audio/wav", "book", picture)
    assert len(page_html) - len(url) < 1.5 * players.TEXTS_CHARS
    with opened() as page:
        put(page, f"{page_html}<div style='height:3000px'></div>")
        book = page.get_by_role("group")
        assert book.bounding_box()["height"] < 200
        click_at(page, 80 / 2000)
        spoken = int(moment_s(page) * 10)
        lit, box = page.locator("[aria-current]").bounding_box(), book.bounding_box()
        assert page.locator("[aria-current]").inner_text().startswith(f"Sentence {spoken} ")
        assert box["y"] <= lit["y"] <= box["y"] + box["height"]
        assert page.evaluate("scrollY") == 0


def test_more_chunks_than_a_page_holds_show_no_texts():
    number = players.TEXTS_CHARS // players.LEAST_CHARS + 1
    picture = Picture(9.0, peaks_of(np.zeros(9), np.zeros(9)), [Mark(0, 1, 0, "Chapter.")] * number)
    url = data_url(b"", "audio/wav")
    assert "Chapter." not in waveform_player([url], "audio/wav", "book", picture)


@pytest.fixture
def book(speak, tmp_path):
    """Three chapters in one file, the second with markup in its title."""
    parts = (
        "# One",
        "The river ran high.",
        "# Two <i> & more",
        "Nobody crossed.",
        "# Three",
        "End.",
    )
    (tmp_path / "book.md").write_text("\n\n".join(parts))
    return speak(text_file=str(tmp_path / "book.md"))


def test_a_click_on_a_chapter_plays_from_there_and_what_is_heard_is_lit(book, opened):
    chapters = book.record.chapters
    with opened() as page:
        put(page, show.player(book).data)
        buttons = page.locator("[data-chapters] button")
        names = [" ".join(name.split(maxsplit=1)[1].split()) for name in buttons.all_inner_texts()]
        assert names == [chapter.title for chapter in chapters]
        lit = page.locator("[data-chapters] [aria-current]")
        assert "One" in lit.inner_text()
        buttons.nth(1).click()
        page.wait_for_function("!document.querySelector('audio').paused")
        page.evaluate("document.querySelector('audio').pause()")
        assert chapters[1].start_s <= moment_s(page) < chapters[2].start_s
        assert "Two <i> & more" in lit.inner_text()
        click_at(page, 0.999)
        assert "Three" in lit.inner_text()
        assert axe_violations(page, "[data-chapters]") == []


def test_the_chapters_are_one_stop_for_tab_and_arrows_move_along_them(book, opened):
    with opened() as page:
        put(page, show.player(book).data)
        buttons = page.locator("[data-chapters] button")
        assert [b.get_attribute("tabindex") for b in buttons.all()] == ["0", "-1", "-1"]
        buttons.first.focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
            page.keyboard.press(key)
        assert "Two" in page.evaluate("document.activeElement.innerText")
        page.keyboard.press("Enter")
        page.wait_for_function("!document.querySelector('audio').paused")
        assert moment_s(page) >= book.record.chapters[1].start_s


def test_a_thousand_chapters_are_a_box_that_follows(opened):
    picture = Picture(
        1000.0,
        peaks_of(np.zeros(9), np.zeros(9)),
        chapters=[(float(second), f"Chapter {second}") for second in range(1000)],
    )
    with opened() as page:
        put(page, waveform_player(["none.wav"], "audio/wav", "book", picture))
        chapters = page.locator("[data-chapters]")
        assert chapters.bounding_box()["height"] < 300
        assert "16:39 Chapter 999" in " ".join(chapters.inner_text().split())
        page.locator("[role=slider]").press("End")
        last = chapters.locator("button").last
        box, row = chapters.bounding_box(), last.bounding_box()
        assert box["y"] <= row["y"] <= box["y"] + box["height"]


def test_without_chapters_there_is_no_list(speech):
    assert "<ol data-chapters" not in show.player(speech).data


def test_a_documents_paragraphs_end_lines_of_the_text(book, opened):
    with opened() as page:
        put(page, show.player(book).data)
        told = page.get_by_role("group").inner_text()
    assert told.split("\n")[:2] == ["One", "The river ran high."]


def test_a_player_before_megabytes_of_audio_waits_for_them(tmp_path, opened):
    """Its picture is loaded while the page is still being read: the audio is not there yet."""
    noise = np.random.default_rng(1).integers(-9000, 9000, RATE_HZ * 120).astype(np.int16)
    url = data_url(players.encoded(noise, RATE_HZ, "WAV"), "audio/wav")
    picture = Picture(120.0, peaks_of(noise[:9], noise[:9]), chapters=[(0.0, "A"), (60.0, "B")])
    html = waveform_player([url], "audio/wav", "book", picture)
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{html}")
    with opened() as page:
        page.goto((tmp_path / "page.html").as_uri())
        page.locator("[data-chapters] button").nth(1).click()
        assert moment_s(page) >= 60
