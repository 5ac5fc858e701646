"""The suite of screens: each case runs in a real browser, and what counts as a sound is one."""

import base64
import io

import numpy as np
import pytest
import soundfile
from browser import browser_page, needs_browser

pytest.importorskip("gradio", reason="needs the extra [serve]")

from chatter_nb.base.errors import InputError
from chatter_nb.bench.params import Options
from chatter_nb.bench.suites import form, run_suite
from chatter_nb.bench.suites.lab import until_sound

CASES = {
    "form": ["form ready"],
    "speak": ["first audio"],
    "line": ["one line made again"],
    "notebook": ["Run All to sound, cold kernel", "Run All to sound, warm kernel"],
    "page": ["page: reload to sound", "page: click to sound"],
    "long form": ["form: click to sound, long text"],
    "long page": ["page: click to sound, long text"],
    "edit form": ["form: edit to sound"],
    "edit page": ["page: edit to sound"],
    "review": ["review of 40 lines opened"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_each_case_is_measured(kind, monkeypatch):
    """One round of both sides, with a shorter text in the place of the long ones."""
    needs_browser()
    monkeypatch.setattr(form, "LONG_CHARS", 6_000)
    monkeypatch.setattr(form, "LINES", 40)
    results = form.run(Options(repeats=1, kinds=kind), lambda message: None)
    assert [result.name for result in results] == CASES[kind]
    for result in results:
        assert [len(rounds) for rounds in result.samples.values()] == [1, 1]
        assert min(result.baseline_s, result.ours_s) > 0
        if "over_s" in result.figures:
            assert result.figures["over_s"] == result.ours_s - result.baseline_s
    if kind == "review":
        assert 0 < result.figures["heap_mb"] < 100


def test_a_case_that_is_not_there_is_refused_before_any_work():
    with pytest.raises(InputError, match="--kinds 'lunch' is none of form, speak, line, "):
        run_suite("form", {"kinds": "page, lunch"})
    assert set(CASES) == set(form.CASES)


@pytest.fixture
def page():
    """A page with an audio element below the window, and samples at hand."""
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.sin(np.arange(24_000) / 9), 24_000, format="WAV")
    url = f"data:audio/wav;base64,{base64.b64encode(file.getvalue()).decode()}"
    with browser_page() as page:
        page.set_content(f"<p style='height: 3000px'></p><audio controls src='{url}'></audio>")
        yield page


@pytest.mark.parametrize(
    "sound",
    [
        "() => (document.querySelector('audio').pause(), document.querySelector('audio').play())",
        "() => new Audio(document.querySelector('audio').src).play()",
        """() => {
            const context = new AudioContext(), source = context.createBufferSource();
            source.buffer = context.createBuffer(1, 24000, 24000);
            source.connect(context.destination);
            source.start(context.currentTime + 0.05);
        }""",
    ],
)
def test_a_sound_is_heard_whatever_plays_it(sound, page):
    """An element, one outside of the document, samples; and each again, not the one before."""
    for _ in range(2):
        assert until_sound(page, lambda: page.evaluate(sound)) > 0


def test_a_player_below_the_window_is_not_in_view(page):
    until_sound(page, lambda: page.evaluate("() => document.querySelector('audio').play()"))
    assert page.evaluate("window.isInView()") is False
    page.evaluate("window.sounding.scrollIntoView()")
    assert page.evaluate("window.isInView()") is True
    cover = "<div style='position: fixed; inset: 0; background: white'></div>"
    page.evaluate("cover => document.body.insertAdjacentHTML('beforeend', cover)", cover)
    assert page.evaluate("window.isInView()") is False
