"""A run with several speakers on its pages: a colour and a name for each, everywhere."""

import itertools
import re
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from browser import axe_violations, browser_page
from bs4 import BeautifulSoup

from chatter_nb.notebook import show
from chatter_nb.pages import speakers
from chatter_nb.pages.players import waveform_player
from chatter_nb.pages.review import review_data, write_review
from chatter_nb.pages.run_page import write_page
from chatter_nb.pages.run_players import picture_of
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.record import SpeakerRecord
from chatter_nb.runs.speak import generate_tts

# How eyes without one kind of cone see linear red, green and blue (Machado et al. 2009).
SEEN = {
    "all colours": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
COLOURS = [speakers.WAVE, *speakers._COLOURS]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """The preset of a dialogue, spoken; its record tells the voices."""
    folder = tmp_path_factory.mktemp("scene")
    values = {"outputs_dir": str(folder), "engine": "hibari", "verify": "off"}
    speech = generate_tts(SpeakParams.from_file("params/dialogue.yaml", values))
    voices = tuple(SpeakerRecord(name=n, voice="heart", chunks=1) for n in ("", "Fox", "Crow"))
    return replace(speech, record=speech.record.model_copy(update={"speakers": voices}))


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear red, green and blue."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.0888]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_read_on_white_and_on_black_and_for_eyes_that_see_fewer():
    for colour in COLOURS:
        light = linear(colour) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (light + 0.05) >= 3
        assert (light + 0.05) / (linear("#111111")[0] + 0.05) >= 3
    for matrix in SEEN.values():
        seen = [lab(np.array(matrix) @ linear(colour)) for colour in COLOURS]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 18


def test_the_preset_has_its_speakers(scene):
    """Marks and quotes are found: every line of Fox and Crow is theirs."""
    said = [(chunk.speaker, chunk.mood) for chunk in scene.record.chunks]
    assert [name for name, _ in said if name] == ["Fox"] * 4 + ["Crow"] * 2 + ["Fox"]
    assert said[-1] == ("Fox", "calm")


def test_the_table_has_a_column_of_speakers_only_where_there_are_several(scene, speak):
    soup = BeautifulSoup(show.chunk_table(scene).data, "html.parser")
    place = [cell.text for cell in soup.select("th")].index("speaker")
    named = [row.select("td")[place] for row in soup.select("tbody tr")]
    assert [cell.text for cell in named[:2]] == ["narrator", "Fox"]
    assert named[-1].text == "Fox, calm"
    colours = {re.search(r"solid (#\w+)", str(cell))[1]: cell.text.split(",")[0] for cell in named}
    assert sorted(colours.values()) == ["Crow", "Fox", "narrator"]
    alone = show.chunk_table(speak(text="One voice only.")).data
    assert "speaker" not in alone


def test_a_name_with_markup_stays_text(scene):
    chunks = tuple(
        c.model_copy(update={"speaker": "<b>&" * bool(c.speaker)}) for c in scene.record.chunks
    )
    hostile = replace(scene, record=scene.record.model_copy(update={"chunks": chunks}))
    for page in (show.chunk_table(hostile).data, show.player(hostile).data):
        assert "<b>&" not in page
        assert "&lt;b&gt;&amp;" in page


def test_another_text_of_the_cast_has_the_same_colours(scene):
    """Colours follow the cast, not who speaks first or at all."""
    whole = speakers.speakers_of(scene.record)
    chunks = tuple(chunk for chunk in scene.record.chunks if chunk.speaker != "Fox")
    less = speakers.speakers_of(scene.record.model_copy(update={"chunks": chunks}))
    assert less["Crow"].colour == whole["Crow"].colour
    assert list(less) == ["", "Crow"]


def test_the_waveform_is_coloured_where_a_speaker_speaks(scene):
    picture = picture_of(scene, scene.record.outputs[0])
    svg = unquote(
        re.search(r'svg\+xml,([^"]+)"', waveform_player(["a"], "audio/wav", "a", picture))[1]
    )
    width = len(picture.peaks.low) - 1
    for name, shown in list(speakers.speakers_of(scene.record).items())[1:]:
        path = re.search(rf'fill="{shown.colour}" d="([^"]+)"', svg)[1]
        starts = [float(x) for x in re.findall(r"M([\d.]+) 0h", path)]
        expected = [c.start_s for c in scene.record.chunks if c.speaker == name]
        found_s = [x / width * picture.seconds for x in starts]
        assert found_s == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_line_names_its_speaker_on_the_run_page_and_in_the_review(scene, width, scheme):
    with browser_page(width=width, color_scheme=scheme) as page:
        page.goto(write_page(scene.folder).as_uri())
        page.wait_for_selector("[role=slider]")
        legend = page.get_by_role("list", name="speakers").get_by_role("listitem")
        assert [item.split()[0] for item in legend.all_inner_texts()] == ["narrator", "Fox", "Crow"]
        page.get_by_text("The whole text").click()
        assert "Fox: Good day, Mistress Crow." in page.inner_text("details.text")
        box = page.get_by_role("group", name=re.compile("text of"))
        assert "Fox Good day, Mistress Crow." in box.inner_text()
        page.locator("[role=slider]").focus()
        page.keyboard.press("ArrowDown")
        assert (
            page.locator("[role=slider]").get_attribute("aria-valuetext").endswith("chunk 1, Fox")
        )
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.goto(write_review(scene).as_uri())
        named = page.locator(".lines .speaker")
        assert named.all_inner_texts()[:2] == ["narrator", "Fox"]
        assert named.count() == len(scene.record.chunks)
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_legend_tells_the_voices(scene):
    soup = BeautifulSoup(show.player(scene).data, "html.parser")
    items = soup.select_one("ul[aria-label=speakers]").select("li")
    assert [item.text for item in items] == ["narrator (heart)", "Fox (heart)", "Crow (heart)"]


def test_a_run_of_one_speaker_has_no_names_in_its_review(speak):
    speech = speak(text="One voice only.")
    assert not any("speaker" in line for line in review_data(speech)["lines"])
    assert "&quot;speakers&quot;: " not in show.player(speech).data
    assert 'aria-label="speakers"' not in show.player(speech).data
