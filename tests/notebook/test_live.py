"""A run heard in the form while it is made: what is sent, how it is played, what is heard twice."""

import numpy as np
import pytest
from browser import browser_page

from chatter_nb.notebook.forms import speak_form
from chatter_nb.notebook.forms.live import AHEAD_S, LivePlayer
from chatter_nb.pages.players import asset
from chatter_nb.params.runs import SpeakParams

RATE = 24_000
TEXT = "When the old clock struck nine, the children ran down the stairs.\n\nNobody saw them go."


@pytest.fixture
def player(monkeypatch):
    """A player, and what it sends."""
    made = LivePlayer()
    sent: list[tuple[dict, np.ndarray]] = []

    def send(content, buffers=()):
        sent.append((content, np.frombuffer(b"".join(map(bytes, buffers)), "<i2")))

    monkeypatch.setattr(made, "send", send)
    return made, sent


def test_the_browser_gets_what_it_plays_soon_and_in_the_end_all(player):
    live, sent = player
    sound = np.linspace(-1, 1, 30 * RATE, dtype=np.float32)
    live.begin(RATE)
    live.play(sound[: 12 * RATE + 7])
    live.play(sound[12 * RATE + 7 :])
    played = 0
    while (samples := sum(len(pcm) for _, pcm in sent)) < len(sound):
        assert AHEAD_S * RATE <= samples - played < (AHEAD_S + 1) * RATE
        played += RATE
        live._take(live, {"turn": sent[0][0]["turn"], "played": played}, [])
    assert np.array_equal(
        np.concatenate([pcm for _, pcm in sent]), (sound * 32767).astype(np.int16)
    )
    assert max(len(pcm) for _, pcm in sent) == RATE


def test_who_stops_hears_nothing_more_until_the_next_run(player):
    live, sent = player
    live.begin(RATE)
    live.play(np.ones(20 * RATE, np.float32))
    first = sent[0][0]["turn"]
    live.stop()
    assert sent.pop()[0] == {"kind": "stop"}
    before = len(sent)
    live.play(np.ones(RATE, np.float32))
    live._take(live, {"turn": first, "played": 20 * RATE}, [])
    assert len(sent) == before
    live.begin(RATE)
    assert not live.is_heard
    live.play(np.ones(RATE, np.float32))
    live._take(live, {"turn": first, "played": 1}, [])  # of the run before
    assert (len(sent), live.is_heard, sent[-1][0]["turn"] == first) == (before + 1, True, False)


def test_pieces_are_played_without_a_gap():
    """In a real browser: each begins where the one before ends, at the sound's own rate.

    A click on the text, or on the waveform, plays again from there; no sample counts twice.
    """
    script = """async source => {
      const starts = [], rates = [], sent = [];
      const start = AudioBufferSourceNode.prototype.start;
      AudioBufferSourceNode.prototype.start = function (when, from_s) {
        starts.push([when, this.buffer.duration, from_s]);
        rates.push(this.context.sampleRate);
        start.call(this, when, from_s);
      };
      const file = new Blob([source], { type: "text/javascript" });
      const { default: widget } = await import(URL.createObjectURL(file));
      let receive;
      const model = { get: () => "", on: (name, handler) => (receive = handler) };
      const done = new Promise(all => (model.send = about => {
        sent.push(about);
        if (sent.length === 3) all();
      }));
      widget.initialize({ model });
      widget.render({ model, el: document.body });
      const piece = length => new DataView(new Int16Array(length).fill(9000).buffer);
      const about = { kind: "sound", turn: 1, rate: 24000, texts: ["1", "2", "3"], total_s: 1 };
      receive(about, [piece(2400), piece(4800)]);
      receive(about, [piece(2400)]);
      await done;
      receive({ ...about, kind: "joined", ends_s: [0.25] });
      const wave = document.querySelector("canvas"), lit = [];
      for (const place of [...document.querySelectorAll("span"), wave]) {
        place.dispatchEvent(new MouseEvent("click", { clientX: wave.clientWidth * 0.32 }));
        lit.push(document.querySelector("[aria-current]").textContent);
      }
      await new Promise(last => (model.send = about => last(sent.push(about))));
      return { starts, rates, sent, lit };
    }"""
    with browser_page() as page:
        page.set_content("<body style='margin: 0'>")
        page.mouse.click(10, 10)  # sound is for pages that a person has touched
        told = page.evaluate(script, asset("live.js"))
    assert set(told["rates"]) == {RATE}
    (first, first_s, _), (second, second_s, _), (third, _, _), *again = told["starts"]
    assert second == pytest.approx(first + first_s, abs=1e-9)
    assert third == pytest.approx(second + second_s, abs=1e-9)
    assert [about["played"] for about in told["sent"]] == [2400, 7200, 9600, 9600]
    # From the first text all three, from the second the last two; the third is not there yet.
    offsets = [round(from_s, 2) for _, _, from_s in again]
    assert offsets == [0, 0, 0, 0.15, 0, 0.02]
    assert told["lit"] == ["1 ", "2 ", "2 ", "2 "]


@pytest.mark.parametrize(
    ("heard", "is_sent"), [(True, True), (False, False), (None, False)], ids=str
)
def test_a_take_that_was_heard_does_not_begin_by_itself(heard, is_sent, tmp_path):
    """Left to itself, the form plays a short run when it is there, as before."""
    params = SpeakParams(text=TEXT, engine="hibari", outputs_dir=str(tmp_path), verify="off")
    form = speak_form(params)
    form.hearing.choice.value = heard
    assert form.start(form.params)
    assert form.wait(600)
    (take,) = form.takes.all
    assert form.hearing.player.is_heard is is_sent
    assert take.speech.record.chunks[0].streamed is is_sent
    assert (" autoplay" in str(form._result.outputs)) is not is_sent
