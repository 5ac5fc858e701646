"""What is shown: true to the run, safe to display, light."""

import re

import numpy as np
import pytest

from chatter_nb import show
from chatter_nb.params import SpeakParams
from chatter_nb.speak import generate_tts
from chatter_nb.testing import ToneEngine, speaking_with


@pytest.fixture
def hum(tmp_path):
    def run(text, **values):
        values = {"outputs_dir": str(tmp_path), "run_name": "run", "text": text} | values
        with speaking_with(ToneEngine()):
            return generate_tts(SpeakParams.create(values))

    return run


def test_a_player_embeds_for_a_person_and_links_for_a_machine(hum):
    embedded = show.player(hum("Hello there.", formats=["wav", "mp3"])).data
    assert re.search(r'src="data:audio/mpeg;base64,[\w+/=]+"', embedded)
    linked = show.player(hum("Hello there.", formats=["wav", "mp3"], interactive=False)).data
    assert 'src="speech.mp3"' in linked
    assert "base64" not in linked


def test_a_large_file_is_linked_even_for_a_person(hum, monkeypatch):
    monkeypatch.setattr(show, "EMBED_LIMIT_BYTES", 100)
    assert "base64" not in show.player(hum("Hello there.")).data


def test_text_is_escaped(hum):
    """A text with markup cannot break the page."""
    page = show.chunk_table(hum("<script>alert(1)</script> a & b.")).data
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_long_table_says_what_it_leaves_out(hum):
    page = show.chunk_table(hum("\n\n".join(f"Part {i}." for i in range(30))), max_rows=10).data
    assert "20 more, all in run.json" in page
    assert "Part 4." in page
    assert "Part 12." not in page
    assert "Part 29." in page


def test_the_waveform_marks_every_seam_and_states_the_finding(hum):
    speech = hum("One here.\n\nTwo here.\n\nThree here.")
    (ax,) = show.waveform(speech).axes
    assert "3 chunks, 2 seams" in ax.get_title(loc="left")
    lines = [c for c in ax.collections if len(c.get_paths()) == 2]
    seams_s = [path.vertices[0, 0] for path in lines[0].get_paths()]
    assert seams_s == pytest.approx([s / 24_000 for s in speech.record.seams_samples])
    assert [t.get_text() for t in ax.texts] == ["0", "1", "2"]


def test_the_envelope_finds_the_extremes_of_every_stretch(hum):
    speech = hum("A tone of some length to look at.")
    samples, _ = speech.read()
    times_s, low, high = show.envelope(speech.files[0], bins=50)
    assert len(times_s) <= 50
    assert (low.min(), high.max()) == (samples.min(), samples.max())
    part_s, _, _ = show.envelope(speech.files[0], start_s=0.05, end_s=0.1)
    assert np.all((part_s > 0.05) & (part_s < 0.1))


def test_an_mp3_is_drawn_without_a_word_from_its_decoder(hum, capfd):
    """Small reads made libsndfile's decoder print hundreds of errors into the notebook."""
    show.waveform(hum("A longer text to be drawn. " * 300, formats=["mp3"]))
    assert capfd.readouterr().err == ""


def test_stages_add_up_to_the_wall(hum):
    speech = hum("Hello there.")
    (ax,) = show.stages(speech).axes
    total_s = sum(bar.get_width() for bar in ax.patches)
    assert total_s == pytest.approx(speech.record.wall_s, abs=0.01)
    assert re.match(r"\d+% of .* s went to \w+", ax.get_title(loc="left"))
