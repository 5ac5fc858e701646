"""A book is shown as it is: its contents before the run, its loudness after it, its files."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from epubs import build_epub
from matplotlib.colors import to_hex

from chatter_nb.audio.targets import TARGETS
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import OUTPUT_FORMATS
from chatter_nb.notebook import show
from chatter_nb.notebook.plots import ACCENT
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts

BOOK = str(ROOT / "params" / "books" / "fables.epub")
KEYS = ("rms_db", "true_peak_db", "floor_db")  # of the panels, for a target of RMS


def rows_of(params: SpeakParams) -> list[list[str]]:
    page = BeautifulSoup(show.contents(params).data, "html.parser")
    return [[cell.get_text() for cell in row.find_all("td")] for row in page.select("tbody tr")]


@pytest.fixture(scope="module")
def mastered(tmp_path_factory):
    """Two chapters of the sample book, in two formats."""
    values = {"text_file": BOOK, "chapters": "1,4", "formats": ["mp3", "m4b"], "master": "acx"}
    values |= {"engine": "hibari", "run_name": "run"}
    folder = tmp_path_factory.mktemp("runs")
    return generate_tts(SpeakParams.create(values | {"outputs_dir": str(folder)}))


def with_reports(speech, records):
    """The run as if its chapters had these reports."""
    record = speech.record.model_copy(update={"loudness": tuple(records)})
    return replace(speech, record=record)


def failing(record, floor_db=-57.2):
    reason = f"noise floor {floor_db} dB, asked at most -60"
    after = record.after | {"floor_db": floor_db}
    return record.model_copy(update={"after": after, "failures": (reason,)})


def dots(ax) -> list[tuple[float, float]]:
    return [tuple(place) for place in ax.collections[0].get_offsets()]


def asked_for(ax):
    """The shaded range, in the axis' own units."""
    return ax.patches[0].get_extents().transformed(ax.transData.inverted())


def test_the_contents_are_those_of_the_book_with_what_is_left_out():
    params = SpeakParams(text_file=BOOK)
    rows = rows_of(params)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[1] == ["2", "Contents", "0", "", "contents"]
    assert rows[3] == ["4", "The Crow and the Pitcher", "106", "about 32 s", ""]
    page = show.contents(params).data
    assert "Three Fables, by Aesop" in page
    assert "390 words are spoken, about 2 min" in page
    assert "1 × notes (19 words)" in page


def test_chapters_that_are_not_chosen_are_told_and_not_counted():
    params = SpeakParams(text_file=BOOK, chapters="4", speed=2.0)
    assert [row[4] for row in rows_of(params)] == [
        "not chosen",
        "contents",
        "not chosen",
        "",
        "not chosen",
    ]
    assert "106 words are spoken, about 16 s" in show.contents(params).data


def test_parts_of_a_chapter_are_indented_and_markup_is_text(tmp_path):
    part = '<ol><li><a href="a.xhtml#p">P</a></li></ol>'
    nested = f'<li><a href="a.xhtml">A &lt;b&gt; &amp; C</a>{part}</li>'
    head = '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
    nav = f'{head}<body><nav epub:type="toc"><ol>{nested}</ol></nav></body></html>'
    documents = {"a.xhtml": '<p>One two.</p><p id="p">Three.</p>'}
    path = build_epub(tmp_path / "a.epub", documents, [], members={"OEBPS/nav.xhtml": nav})
    page = show.contents(SpeakParams(text_file=str(path))).data
    assert re.findall(r"padding-left:(\d)em", page) == ["0", "1"]
    assert "A <b> & C" in unescape(page)
    assert "<b> & C" not in page


def test_each_document_of_a_folder_that_is_not_merged_has_a_table():
    params = SpeakParams(text_file="params/texts/fables", merge=False)
    page = BeautifulSoup(show.contents(params).data, "html.parser")
    assert len(page.find_all("table")) == 3
    assert len(rows_of(params.model_copy(update={"merge": True}))) == 3


def test_a_document_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.epub"):
        show.contents(SpeakParams(text_file=str(tmp_path / "gone.epub")))


def test_the_loudness_is_that_of_the_record_over_what_acx_asks_for(mastered):
    """A dot for each chapter of each format, the chapters from top to bottom."""
    figure, records = show.loudness(mastered), mastered.record.loudness
    assert [record.file for record in records] == ["speech.m4b"] * 2 + ["speech.mp3"] * 2
    for ax, key in zip(figure.axes, KEYS, strict=True):
        wanted = [(r.after[key], n % 2) for n, r in enumerate(records)]
        assert np.array(dots(ax)) == pytest.approx(np.array(wanted))
        assert ax.get_ylim()[0] > ax.get_ylim()[1]
    level, peak, floor = map(asked_for, figure.axes)
    assert (level.x0, level.x1) == pytest.approx((-23, -18))
    assert (peak.x1, floor.x1) == pytest.approx((-3, -60))
    assert peak.x0 == pytest.approx(figure.axes[1].get_xlim()[0])
    titles = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert titles == ["Title page", "The Crow and the Pitcher"]
    assert figure.get_suptitle() == "2 of 2 chapters keep acx's levels"


def test_a_chapters_own_files_are_in_one_row(mastered):
    """With `split`, a chapter's formats follow each other in the record."""
    first, second, third, fourth = mastered.record.loudness
    figure = show.loudness(with_reports(mastered, [first, third, second, fourth]))
    whole = show.loudness(mastered)
    for ax, other in zip(figure.axes, whole.axes, strict=True):
        assert dots(ax) == dots(other)


def test_a_chapter_that_misses_its_target_is_named_and_orange(mastered):
    first, second, *others = mastered.record.loudness
    figure = show.loudness(with_reports(mastered, [first, failing(second), *others]))
    told = "1 of 2 chapters keep acx's levels; The Crow and the Pitcher: noise floor -57.2 dB"
    assert figure.get_suptitle().startswith(told)
    for ax in figure.axes:
        colours = [to_hex(colour) for colour in ax.collections[0].get_facecolors()]
        assert [colour == ACCENT for colour in colours] == [False, True, False, False]
    left, right = figure.axes[2].get_xlim()
    assert all(left < level < right for level, _ in dots(figure.axes[2]))


def test_of_very_many_chapters_only_those_that_fail_are_named(mastered):
    one = mastered.record.loudness[0]
    records = [one.model_copy(update={"chapter": f"Chapter {n}"}) for n in range(1, 301)]
    records[150] = failing(records[150])
    figure = show.loudness(with_reports(mastered, records))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["Chapter 151"]
    assert figure.get_size_inches()[1] <= 12


def test_a_target_of_lufs_shifts_its_range_for_mono_and_asks_for_no_floor(mastered):
    records = [r.model_copy(update={"target": "podcast"}) for r in mastered.record.loudness]
    level, _, floor = show.loudness(with_reports(mastered, records)).axes
    assert level.get_xlabel() == "loudness (LUFS)"
    span, target = asked_for(level), TARGETS["podcast"]
    assert (span.x0, span.x1) == pytest.approx((target.lowest - 3, target.highest - 3))
    assert floor.get_xlim()[1] < -60  # only the dots are in it


def test_a_run_that_was_not_mastered_says_so(mastered):
    page = show.loudness(with_reports(mastered, []))
    assert "master is none" in page.data
    assert "chatter-nb loudness FILE" in page.data


def test_the_files_say_what_they_are_for(mastered):
    page = BeautifulSoup(show.files(mastered).data, "html.parser")
    rows = {row.td.get_text(): row.find_all("td") for row in page.select("tbody tr")}
    assert list(rows) == ["speech.m4b", "speech.mp3", "speech.words.json", "run.json"]
    assert all(cells[2].get_text() for cells in rows.values())
    assert rows["speech.m4b"][3].get_text() == mastered.record.files[0].sha256[:12]
    assert rows["run.json"][3].get_text() == ""
    assert {row.suffix for row in OUTPUT_FORMATS.values()} <= set(show._PURPOSES)
