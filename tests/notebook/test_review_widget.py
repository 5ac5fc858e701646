"""The review as a widget: what the editor in a browser asks for, the kernel does, and says so."""

import io
import json
from base64 import b64decode

import pytest
import soundfile
from browser import browser_page

from chatter_nb.notebook.forms.review import ReviewWidget
from chatter_nb.pages.players import asset
from chatter_nb.pages.review import editor_script
from chatter_nb.runs.edits import EDITS, edit_of, load_edits

TEXT = "The children ran down the stairs.\n\nNobody saw them go."
# A model as the browser's side of a widget has it; `kernel` is a function of the test's.
MODEL = """async ([source, style, data]) => {
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const file = new Blob([source], { type: "text/javascript" });
  const { default: widget } = await import(URL.createObjectURL(file));
  const hears = {};
  window.model = {
    data: JSON.parse(data),
    get: (name) => window.model[name],
    on: (name, act) => (hears[name] = act),
    send: async (message) => {
      const [answer, data] = JSON.parse(await kernel(JSON.stringify(message)));
      window.model.data = data;
      hears["msg:custom"](answer);
    },
  };
  widget.render({ model: window.model, el: document.body });
}"""


@pytest.fixture
def widget(speak, monkeypatch):
    """A widget that shows a run and works at once, and what it sends."""
    speech = speak(text=TEXT, verify="off")
    made = ReviewWidget(lambda work: work(lambda: False) is None)
    made.show(None, speech)
    answers: list[dict] = []
    monkeypatch.setattr(made, "send", lambda content, buffers=None: answers.append(content))
    return made, answers, speech


def ask(widget, kind: str, **values) -> dict:
    """Send a message as the browser does; returns the answer."""
    made, answers, _ = widget
    made._take(made, {"turn": "1", "kind": kind, **values}, [])
    return answers[-1]


def wish(speech, line: int, **values) -> dict:
    return edit_of(speech.record.chunks[line]).model_copy(update=values).model_dump(mode="json")


def seconds_of(url: str) -> float:
    audio, rate = soundfile.read(io.BytesIO(b64decode(url.partition(",")[2])))
    return len(audio) / rate


def test_an_edit_is_on_the_disk_when_it_is_answered(widget):
    _, _, speech = widget
    assert ask(widget, "save", edit=wish(speech, 1, flag=True)) == {"turn": "1", "value": None}
    (edit,) = load_edits(speech.folder / EDITS).edits
    assert (edit.flag, edit.place) == (True, edit_of(speech.record.chunks[1]).place)


def test_the_audio_of_a_line_comes_with_what_is_before_it(widget):
    _, _, speech = widget
    chunk = speech.record.chunks[1]
    piece = ask(widget, "audio", edit=wish(speech, 1), key=chunk.key)["value"]
    assert piece["zero_s"] == pytest.approx(2)
    assert seconds_of(piece["url"]) == pytest.approx(2 + chunk.end_s - chunk.start_s, abs=0.01)
    answer = ask(widget, "audio", edit=wish(speech, 1), key="0" * 32)
    assert "is not kept" in answer["error"]


def test_a_line_made_again_is_the_next_take_and_new_words_begin_anew(widget):
    _, _, speech = widget
    takes = [
        ask(widget, "again", edit=wish(speech, 1, **values))["value"]
        for values in (
            {},
            {"take": 1},
            {"words": "Everybody saw."},
            {"words": "Everybody saw.", "take": 0},
        )
    ]
    assert [take["take"] for take in takes] == [1, 2, 0, 1]
    assert len({take["key"] for take in takes}) == 4
    for take in takes:
        assert seconds_of(take["audio_url"]) == pytest.approx(take["seconds"], abs=0.01)
    assert not (speech.folder / EDITS).exists()


def test_while_a_run_is_made_no_line_is(widget):
    made, _, speech = widget
    made.disable(True)
    assert "wait for its end" in ask(widget, "again", edit=wish(speech, 0))["error"]
    assert "value" in ask(widget, "save", edit=wish(speech, 0, note="later"))


def test_the_editor_makes_a_line_again_and_applies_its_words(widget):
    """In a real browser: typed, made, heard, applied; the files then speak the new words."""
    made, answers, speech = widget
    applied = []
    made.on_applied(applied.append)

    def kernel(message: str) -> str:
        made._take(made, json.loads(message), [])
        return json.dumps([answers[-1], made.data])

    source = editor_script() + asset("review_widget.js")
    with browser_page() as page:
        page.goto("about:blank")
        page.expose_function("kernel", kernel)
        page.evaluate(MODEL, [source, asset("review.css"), json.dumps(made.data)])
        status = page.get_by_role("status")
        page.locator(".line").nth(1).click()
        page.keyboard.press("e")
        page.keyboard.press("Control+a")
        page.keyboard.type("Everybody saw them.")
        page.keyboard.press("Enter")
        status.get_by_text("Line 1: the words are edited, saved.").wait_for()
        page.keyboard.press("m")
        status.get_by_text("Line 1: take 0 is made").wait_for()
        page.get_by_role("button", name="Apply to the files").click()
        status.get_by_text("The files hold all edits.").wait_for()
        assert page.locator(".open .mark").inner_text() == "words edited"
    (speech,) = applied
    assert [chunk.text.strip() for chunk in speech.record.chunks][1] == "Everybody saw them."
    assert speech.record.model_calls == 0  # it was made once, and heard
    assert "Everybody saw them." in (speech.folder / "review.html").read_text()
