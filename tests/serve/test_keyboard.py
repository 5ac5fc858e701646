"""Every job of the page by keys alone: what Tab does not reach is closed to who has no mouse."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="needs the extra [serve]")

from browser import browser_page
from conftest import ROOT
from playwright.sync_api import Locator, Page, expect
from serving import serving

READING = ROOT / "params" / "recordings" / "reading.flac"
MOST_STOPS = 60  # of the Tab key, from one place to another
IS_FOCUSED = "element => element === document.activeElement"


@contextmanager
def opened(folder: Path) -> Iterator[Page]:
    """The web page, in a browser, when its text is measured."""
    options = ("--engine", "hibari", "--preload")
    with serving(folder, *options, page=True) as server, browser_page() as page:
        page.goto(f"{server.url}/ui")
        page.get_by_text("218 characters").wait_for()
        yield page


def tab_to(page: Page, target: Locator, *, key: str = "Tab") -> None:
    """Press Tab until the focus is there; on the way it is never lost to the page itself."""
    for _ in range(MOST_STOPS):
        page.keyboard.press(key)
        if target.evaluate(IS_FOCUSED):
            return
    raise AssertionError(f"{key} does not reach {target}")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True).locator("visible=true").first


def plays(page: Page, place: str) -> None:
    page.wait_for_function(f"document.querySelector('{place} audio')?.currentTime > 0.1")


@pytest.mark.slow
def test_every_job_of_the_page_is_done_by_keys(tmp_path):
    """Write, choose a voice, speak, hear, review, download, cancel, convert; the focus stays."""
    with opened(tmp_path) as page:
        keys, newest = page.keyboard, page.locator(".newest")

        # Write, choose, speak, hear.
        text = page.get_by_role("textbox", name="text").first
        tab_to(page, text)
        keys.press("Control+a")
        keys.type("The first line.\n\nThe second line.")
        with page.expect_file_chooser() as chooser:
            tab_to(page, button(page, "Open a document"))
            keys.press("Enter")
        assert not chooser.value.is_multiple()
        voice = page.get_by_role("combobox", name="voice").first
        tab_to(page, voice)
        keys.type("emma")
        keys.press("Enter")  # Gradio takes it a frame later: the whole name tells that it has
        expect(voice).to_have_value(re.compile("emma, "))
        keys.press("Control+a")
        keys.type("heart")
        keys.press("Enter")
        expect(voice).to_have_value(re.compile("heart, "))
        hear = button(page, "▶ Hear the voice")
        tab_to(page, hear)
        keys.press("Enter")
        plays(page, "body >")
        expect(page.locator(".hear-voice")).to_be_focused()
        speak = button(page, "Speak")
        tab_to(page, speak)
        expect(voice).to_have_attribute("aria-expanded", "false")
        keys.press("Enter")
        plays(page, ".newest")
        expect(speak).to_be_focused()
        wave = newest.get_by_role("slider")
        tab_to(page, wave)
        keys.press("Space")
        page.wait_for_function("document.querySelector('.newest audio').paused")
        keys.press("Home")
        keys.press("Space")
        plays(page, ".newest")

        # Review a line: again, keep, other words, note, flag, apply.
        tab_to(page, newest.locator("summary"))
        keys.press("Enter")
        first = newest.locator(".line").first
        first.wait_for()
        tab_to(page, first)
        keys.press("j")
        second = newest.locator(".line").nth(1)
        expect(second).to_be_focused()
        keys.press("m")
        page.get_by_text("take 1 is made").wait_for()
        expect(second).to_be_focused()
        keys.press("c")
        expect(second).to_contain_text("take 1 kept")
        keys.press("n")
        keys.type("better")
        keys.press("Enter")
        expect(second).to_contain_text("note: better")
        keys.press("f")
        expect(second).to_contain_text("flagged")
        keys.press("e")
        keys.press("Control+a")
        keys.type("Other words stand here.")
        keys.press("Enter")
        expect(second).to_be_focused()
        tab_to(page, button(page, "Apply to the files"), key="Shift+Tab")
        keys.press("Enter")
        page.get_by_text("The files hold all edits.").wait_for()
        expect(newest.locator(".player").first).to_contain_text("Other words stand here.")
        expect(second).to_be_focused()

        # Download.
        tab_to(page, newest.get_by_role("link").first, key="Shift+Tab")
        with page.expect_download() as download:
            keys.press("Enter")
        assert download.value.suggested_filename.endswith(".wav")

        # A long text is cancelled; an earlier run's settings come back.
        tab_to(page, text, key="Shift+Tab")
        keys.press("Control+a")
        keys.insert_text("The North Wind and the Sun disputed which was the stronger. " * 200)
        tab_to(page, speak)
        keys.press("Enter")
        page.get_by_text(re.compile(r"\d+ of \d+ chunks")).wait_for()
        tab_to(page, button(page, "Cancel"))
        keys.press("Enter")
        page.get_by_text(re.compile(r"Stopped: ")).wait_for()
        expect(button(page, "Cancel")).to_be_focused()
        page.reload()
        tab_to(page, button(page, "Use these settings"))
        keys.press("Enter")
        expect(text).to_be_focused()
        expect(text).to_have_value("The first line.\n\nThe second line.")

        # Convert a recording of one's own, and hear it beside its source.
        tab_to(page, page.get_by_role("tab", name="Convert"), key="Shift+Tab")
        keys.press("Enter")
        fold = page.get_by_role("button", name=re.compile("^Your own recordings"))
        tab_to(page, fold)
        keys.press("Enter")
        upload = page.locator(".block").filter(has_text="or upload a source").last
        with page.expect_file_chooser() as chooser:
            tab_to(page, upload.locator("button").filter(has_text="Upload").first)
            keys.press("Enter")
        chooser.value.set_files(READING)
        upload.locator("#waveform").wait_for()
        convert = button(page, "Convert")
        tab_to(page, convert)
        keys.press("Enter")
        card = newest.locator(".take").locator("visible=true")
        card.locator("audio").first.wait_for()
        source = card.get_by_role("button", name="Source")
        tab_to(page, source)
        keys.press("Space")
        expect(card.locator("audio").last).to_be_visible()
        expect(source).to_be_focused()


@pytest.mark.slow
def test_a_list_has_its_focus_back_before_the_next_key(tmp_path):
    """However late the timers of a busy page come, what a person focuses next is not left."""
    with opened(tmp_path) as page:
        voice = page.get_by_role("combobox", name="voice").first
        voice.focus()
        held = page.evaluate(
            """async (list) => {
                 const press = () => list.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
                 const blurred = () => new Promise((done) => list.addEventListener("blur", done, { once: true }));
                 press();
                 await blurred(); // by the list itself
                 const isBack = document.activeElement === list;
                 press();
                 const text = document.querySelector("textarea");
                 text.focus();
                 for (let turn = 0; turn < 5; turn++) await new Promise((done) => setTimeout(done, 20));
                 return [isBack, document.activeElement === text];
               }""",  # noqa: E501
            voice.element_handle(),
        )
        assert held == [True, True]
        expect(voice).to_have_attribute("aria-expanded", "false")
