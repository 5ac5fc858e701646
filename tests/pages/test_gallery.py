"""The page of a folder of runs: true to the runs, safe to open, usable with 500 of them."""

import itertools
import json
import re
import shutil
import time
from pathlib import Path
from urllib.parse import unquote

import pytest
from browser import axe_violations, browser_page
from bs4 import BeautifulSoup
from conftest import ROOT
from fakes import ToneEngine, speaking_with

from chatter_nb.base.errors import EngineError, InputError, OutputError
from chatter_nb.batch.choices import load_choices, marked_runs
from chatter_nb.pages import waves
from chatter_nb.pages.gallery import page as gallery_page
from chatter_nb.pages.gallery import peaks
from chatter_nb.pages.gallery.page import clock, in_words, two_digits, write_gallery
from chatter_nb.pages.run_page import write_pages
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.convert import convert_voice
from chatter_nb.runs.speak import generate_tts

WILD = '50% #1? "wild" <b>&é'
PAUSES = ("sentence", "paragraph", "chapter")
SCRIPT = "<script>document.title = 'taken'</script></script>"


class Broken(ToneEngine):
    """Fails on its first chunk."""

    def synthesize(self, requests, **options):
        raise EngineError(f"no sound {SCRIPT}")
        yield


def parsed(folder: Path) -> BeautifulSoup:
    return BeautifulSoup(write_gallery(folder).read_text(encoding="utf-8"), "html.parser")


def row_of(page: BeautifulSoup, name: str):
    (cell,) = page.find_all("th", {"data-column": "name", "data-key": name})
    return cell.parent


def cell(row, column: str):
    return row.find(attrs={"data-column": column})


def write_ledger(folder: Path, runs: dict, status: str = "ok", **values) -> None:
    head = {"schema": 1, "notebook": "notebooks/01_speak.ipynb", "status": status}
    head |= {"started": "2020-01-01T10:00:00Z", "ended": None} | values
    (folder / "batch.json").write_text(json.dumps(head | {"runs": runs}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Real runs: two of a grid, a long and hostile text, a wild name, several outputs, failures."""
    folder = tmp_path_factory.mktemp("runs")

    def speak(**values):
        values = {"outputs_dir": str(folder), "engine": "hibari"} | values
        return generate_tts(SpeakParams.create(values))

    texts = folder / ".texts"
    texts.mkdir()
    for number in range(1, 7):
        (texts / f"{number} chapter.txt").write_text(f"This is chapter {number}.")
    text = "The river ran high that spring."
    speak(run_name="slow 2", text=text, speed=0.8, formats=("wav", "mp3"))
    speak(run_name="slow 10", text=text, speed=1.25, seed=3, formats=("wav", "mp3"))
    speak(run_name="long", text=f"Stop. {SCRIPT} " + "So it goes on and on. " * 12)
    speak(run_name="wild", text="A wild name.", formats=("mp3",))
    (folder / "wild").rename(folder / WILD)
    speak(run_name="parts", text_file=str(texts), merge=False, formats=("mp3",))
    with speaking_with(Broken()), pytest.raises(EngineError):
        speak(run_name="broken", text="One.", engine="auto")
    (folder / "broken" / "notebook.failed.ipynb").write_text("{}")
    (folder / "long" / "notebook.ipynb").write_text("{}")
    return folder


@pytest.fixture
def runs(made, tmp_path):
    """The same runs, to spoil."""
    return Path(shutil.copytree(made, tmp_path / "runs", ignore=shutil.ignore_patterns(".gallery")))


@pytest.fixture(scope="module")
def many(made, tmp_path_factory):
    """500 runs: one real one with its values varied. Returns the folder."""
    folder = tmp_path_factory.mktemp("many")
    source = made / "slow 2"
    record = json.loads((source / "run.json").read_text())
    for number in range(500):
        run = folder / f"run {number}"
        run.mkdir()
        for file in record["files"]:
            (run / file["name"]).hardlink_to(source / file["name"])
        params = record["params"] | {"text": f"Sentence number {number}.", "speed": 1 + number % 5}
        values = record | {"run_name": run.name, "params": params, "rtf": (number * 7 % 500) / 1000}
        if number % 50 == 0:
            values |= {"status": "failed", "error": "no sound", "files": [], "outputs": []}
        (run / "run.json").write_text(json.dumps(values))
    return folder


def test_the_headline_states_the_finding(made):
    page = parsed(made)
    told = r"6 runs: 5 ok, 1 failed · [\d.]+ s of audio · RTF 0\.\d+"
    assert re.fullmatch(told, page.h1.get_text())
    assert page.title.get_text().endswith(page.h1.get_text())


def test_each_run_has_a_row_in_natural_order(made):
    names = [th["data-key"] for th in parsed(made).select("tbody th")]
    assert names == [WILD, "broken", "long", "parts", "slow 2", "slow 10"]


def test_a_row_is_true_to_its_run(made):
    record = json.loads((made / "slow 10" / "run.json").read_text())
    row = row_of(parsed(made), "slow 10")
    assert cell(row, "status").get_text(" ", strip=True) == "✓ ok"
    assert float(cell(row, "length")["data-key"]) == record["audio_s"]
    assert float(cell(row, "rtf")["data-key"]) == record["rtf"]
    assert float(cell(row, "wall")["data-key"]) == record["wall_s"]
    told = [cell(row, column).get_text(strip=True) for column in ("engine", "voice", "seed")]
    assert told == ["hibari", "own", "3"]
    assert cell(row, "p.speed").get_text() == "1.25"


def test_every_link_leads_to_a_file_beside_the_page(made):
    """Also from names with what would end, change or break a link."""
    page = parsed(made)
    links = [tag.get("href") or tag.get("src") for tag in page.select("tbody [href], tbody [src]")]
    assert len(links) > 20
    for link in links:
        assert not re.search(r"[#?\"<]|^[a-z]+:|^/", link)
        assert (made / unquote(link)).is_file()
    assert row_of(page, WILD).find("audio").source["src"].endswith("/speech.mp3")


def test_links_lead_to_pages_and_not_to_raw_notebooks(runs):
    """A browser shows a notebook as JSON: the run's page and its review stand in its place."""
    for name in ("page.html", "review.html"):
        (runs / "long" / name).write_text("<!doctype html>")
    page = parsed(runs)
    links = [a["href"] for a in row_of(page, "long").select(".links a")]
    assert links == ["long/page.html", "long/review.html", "long/run.json"]
    assert not page.select('a[href$=".ipynb"]')


def test_runs_of_a_batch_inside_the_folder_have_rows(runs):
    """The page of all outputs shows a batch's runs too, those that left no folder among them."""
    (runs / "grid").mkdir()
    (runs / "slow 2").rename(runs / "grid" / "slow 2")
    write_ledger(runs / "grid", {"gone": {"status": "failed", "error": "no such text"}})
    page = parsed(runs)
    row = row_of(page, "grid/slow 2")
    assert row.find("audio").source["src"] == "grid/slow%202/speech.mp3"
    assert "no such text" in row_of(page, "grid/gone").get_text()


def test_runs_that_no_person_named_are_told_and_left_out(runs):
    """The service's and 05_compare's samples; their own galleries have them, a batch stays."""
    for name in ("serve", "compare"):
        shutil.copytree(runs / "slow 2", runs / name / "inside")
    page = parsed(runs)
    assert not page.select('th[data-key$="/inside"]')
    notes = " ".join(note.get_text() for note in page.select("header .quiet"))
    assert "Not here: 1 run of the service (chatter-nb gallery" in notes
    assert "Not here: 1 run that 05_compare speaks as samples" in notes
    assert write_pages(runs, pytest.fail)
    assert not (runs / "serve" / "inside" / "page.html").exists()
    assert row_of(parsed(runs / "serve"), "inside").find("audio")
    write_ledger(runs / "compare", {})
    assert row_of(parsed(runs), "compare/inside").find("audio")


def test_a_player_an_output_smallest_file_first(made):
    page = parsed(made)
    (audio,) = row_of(page, "slow 2").find_all("audio")
    assert audio["preload"] == "none"
    types = [source["type"] for source in audio.find_all("source")]
    assert types == ["audio/mpeg", "audio/wav"]
    parts = row_of(page, "parts")
    assert len(parts.find_all("audio")) == 6
    assert len(parts.select("details.others audio")) == 2  # folded away
    assert [bdi.get_text() for bdi in parts.select(".output bdi")][::5] == [
        "1 chapter",
        "6 chapter",
    ]


def test_a_waveform_covers_its_audio(made):
    """The path goes from the first stretch to the last and back, and stays inside its box."""
    path = row_of(parsed(made), "slow 2").find("path")["d"]
    width = int(row_of(parsed(made), "slow 2").find("svg")["viewbox"].split()[2])
    top, bottom = re.fullmatch(r"M0 (\d+)l(.*)v\d+l(.*)z", path).group(2, 3)
    steps = [list(map(int, re.findall(r"-?\d+", side))) for side in (top, bottom)]
    assert [sum(side[::2]) for side in steps] == [width, -width]
    levels, level = [], int(re.match(r"M0 (\d+)", path)[1])
    for step in steps[0][1::2]:
        level += step
        levels.append(level)
    assert 0 <= min(levels) < max(levels) <= waves.HEIGHT / 2


def test_what_a_user_wrote_stays_text(made):
    source = write_gallery(made).read_text(encoding="utf-8")
    assert source.count("<script") == source.count("</script>") == 1
    assert "<b>&" not in source
    page = BeautifulSoup(source, "html.parser")
    assert SCRIPT in row_of(page, "long").find("details", class_="folded").p.get_text()
    assert SCRIPT in cell(row_of(page, "broken"), "status").find_next("td").get_text()


def test_a_failure_gives_its_reason(made):
    row = row_of(parsed(made), "broken")
    assert row["data-status"] == "failed"
    assert "no sound" in row.find(class_="problem").get_text()
    assert row.find("audio") is None


def test_what_differs_stands_with_the_run_and_what_does_not_above(made):
    page = parsed(made)
    columns = [th["data-column"] for th in page.thead.find_all("th") if th.get("data-column")]
    assert "p.speed" in columns
    assert "p.chunk_chars" not in columns
    assert "chunk_chars 280" in page.find("section", class_="shared").get_text(" ", strip=True)
    row = row_of(page, "slow 2")
    assert "The river ran high" in row.find(class_="subject").get_text()
    assert cell(row, "p.formats").get_text(" ", strip=True) == "formats wav, mp3"
    assert cell(row_of(page, "long"), "p.formats").has_attr("hidden")  # the default


def test_a_conversion_stands_beside_speech(runs):
    recordings = ROOT / "params" / "recordings"
    values = {"source": str(recordings / "reading.flac"), "target": str(recordings / "target.flac")}
    values |= {"engine": "world", "outputs_dir": str(runs), "run_name": "converted"}
    convert_voice(ConvertParams.create(values))
    page = parsed(runs)
    row = row_of(page, "converted")
    assert cell(row, "voice").get_text(strip=True) == "target.flac"
    assert cell(row, "voice")["data-label"] == "Target"
    assert [h2.get_text() for h2 in page.find_all("h2")] == ["Speech", "Conversions"]
    told = page.find_all("section", class_="shared")[1].get_text(" ", strip=True)
    assert "reading.flac" in told


def test_the_ledger_tells_of_runs_that_left_no_folder(runs):
    traceback = f"\x1b[31mTraceback\x1b[0m {SCRIPT}"
    gone = {"status": "failed", "error": "no such text", "traceback": traceback, "wall_s": 1.5}
    write_ledger(runs, {"gone": gone, "next": {"status": "waiting"}, "lost": {"status": "ok"}})
    page = parsed(runs)
    row = row_of(page, "gone")
    assert row["data-status"] == "failed"
    assert "no such text" in row.get_text()
    assert row.find("details", class_="traceback").pre.get_text() == f"Traceback {SCRIPT}"
    assert row_of(page, "next")["data-status"] == "waiting"
    assert row_of(page, "lost")["data-status"] == "failed"  # its audio is not there to hear
    assert "6 runs" not in page.h1.get_text()


def test_the_later_of_ledger_and_record_is_right(runs):
    """A notebook that failed after its run was ok is a failure, until the run is made anew."""
    failed = {"status": "failed", "error": "the plot failed"}
    early, late = {"ended": "2020-01-01T11:00:00Z"}, {"ended": "2999-01-01T11:00:00Z"}
    write_ledger(runs, {"slow 2": failed | late, "slow 10": failed | early})
    page = parsed(runs)
    row = row_of(page, "slow 2")
    assert row["data-status"] == "failed"
    assert "the plot failed" in row.get_text()
    assert row.find("audio")  # it is there, and it is whole
    assert row_of(page, "slow 10")["data-status"] == "ok"


def test_a_run_under_way_and_one_that_failed_over_a_complete_one(runs):
    record = json.loads((runs / "slow 2" / "run.json").read_text())
    later = record | {"started": "2999-01-01T00:00:00Z", "files": [], "outputs": []}
    partial = json.dumps(later | {"status": "running"})
    (runs / "slow 2" / "run.partial.json").write_text(partial)
    (runs / "slow 10" / "run.partial.json").write_text(
        json.dumps(later | {"status": "failed", "error": "no memory"})
    )
    page = parsed(runs)
    assert row_of(page, "slow 2")["data-status"] == "running"
    row = row_of(page, "slow 10")
    assert row["data-status"] == "failed"
    assert "no memory" in row.get_text()
    assert "an earlier run" in row.get_text()
    assert row.find("audio")


@pytest.mark.parametrize(
    "damage", ["{", "[]", "null", "[" * 100_000, '{"runs": 3}', '{"runs": {"a": 1, "../b": {}}}']
)
def test_a_damaged_ledger_is_told(runs, damage):
    (runs / "batch.json").write_text(damage)
    page = parsed(runs)
    assert "batch.json" in page.find(class_="problem").get_text()
    assert len(page.select("tbody tr")) == 6


def test_damage_stops_no_other_row(runs):
    """A record of nonsense, a file that is no audio, one that is gone, one that was replaced."""
    (runs / "broken" / "run.json").write_text('{"schema": 1')
    wav = runs / "long" / "speech.wav"
    wav.write_bytes(b"x" * wav.stat().st_size)
    (runs / WILD / "speech.mp3").unlink()
    (runs / "slow 2" / "speech.wav").write_bytes(b"")
    (runs / "empty").mkdir()
    page = parsed(runs)
    assert len(page.select("tbody tr")) == 6
    assert "run.json cannot be read" in row_of(page, "broken").get_text()
    assert "damaged" in row_of(page, "long").get_text()
    assert "is not there any more" in row_of(page, WILD).get_text()
    assert "has changed" in row_of(page, "slow 2").get_text()
    assert row_of(page, "slow 2").find("path")  # from the mp3, which is whole


def test_a_damaged_cache_of_waveforms_is_made_again(runs):
    before = str(parsed(runs))
    odd = ["[" * 100_000, "null", '{"low": [1e999], "high": [1]}', '{"low": 5}', "a folder"]
    odd += ['{"low": [0], "high": [1' + "0" * 400 + "]}"]
    for path, text in zip(sorted((runs / ".gallery").iterdir()), itertools.cycle(odd)):
        path.write_text(text)
    assert str(parsed(runs)) == before


def test_a_record_leads_nowhere_else(runs):
    """Names in a record are names in its folder; a hash in it names a file in the cache."""
    path = runs / "slow 2" / "run.json"
    record = json.loads(path.read_text())
    file = {"bytes": 3, "sha256": "../../x"}
    record["files"] = [file | {"name": "../slow 10/speech.wav"}, file | {"name": "/etc/x.wav"}]
    record["files"].append(file | {"name": "speech.wav"})
    path.write_text(json.dumps(record))
    row = row_of(parsed(runs), "slow 2")
    assert [a["href"] for a in row.select(".files a")] == ["slow%202/speech.wav"]
    assert not (runs.parent / "x.json").exists()


def test_building_again_reads_no_audio(runs, monkeypatch):
    first = write_gallery(runs).read_bytes()

    def refuse(*_, **__):
        raise AssertionError("audio was read again")

    monkeypatch.setattr(peaks, "envelope", refuse)
    assert write_gallery(runs).read_bytes() == first


def test_peaks_are_kept_as_long_as_their_audio(runs):
    write_gallery(runs)
    kept = set((runs / ".gallery").iterdir())
    shutil.rmtree(runs / "slow 2")
    write_gallery(runs)
    left = set((runs / ".gallery").iterdir())
    assert len(kept - left) == 1
    next(iter(left)).write_text("{")  # damaged: made again
    write_gallery(runs)
    assert all(json.loads(path.read_text())["low"] for path in left)


@pytest.mark.parametrize("damage", ["[", '{"schema": 2}', '{"choices": {"../x": {"stars": 1}}}'])
def test_damaged_choices_are_told_and_hide_no_run(runs, damage):
    (runs / "choices.json").write_text(damage)
    page = parsed(runs)
    assert "holds no choices of a gallery" in page.find(class_="problem").get_text()
    assert len(page.select("tbody tr")) == 6


def test_an_embedded_gallery_leads_to_no_other_file(made):
    """One file to send: the audio of every run that has any is inside, nothing is linked."""
    page = BeautifulSoup(write_gallery(made, embed=True).read_text("utf-8"), "html.parser")
    sources = [tag["src"] for tag in page.select("tbody source")]
    assert len(sources) == 10  # of 5 runs, one of 6 outputs
    assert all(source.startswith("data:audio/mpeg;base64,") for source in sources)
    assert not page.select("tbody a")


def test_an_embedded_gallery_tells_what_had_no_room(runs, monkeypatch):
    """Runs that are marked come first into the file."""
    choices = {"schema": 1, "choices": {"slow 10": {"keep": True}}}
    (runs / "choices.json").write_text(json.dumps(choices))
    monkeypatch.setattr(gallery_page, "EMBED_TOTAL_BYTES", 20_000)
    page = BeautifulSoup(write_gallery(runs, embed=True).read_text("utf-8"), "html.parser")
    assert row_of(page, "slow 10").find("audio")
    assert "no room" in row_of(page, "long").find(class_="problem").get_text()
    assert "up to 0 MB; " in page.header.get_text()
    assert "recordings had no room" in page.header.get_text()


def test_a_folder_without_runs_has_a_page(tmp_path):
    assert "No runs yet" in parsed(tmp_path).h1.get_text()
    with pytest.raises(InputError, match="no folder of runs"):
        write_gallery(tmp_path / "none")


def test_a_page_that_cannot_be_written_leaves_the_old_one(runs, monkeypatch):
    page = write_gallery(runs)
    before = page.read_bytes()

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("chatter_nb.base.disk.os.replace", fail)
    with pytest.raises(OutputError, match=r"index\.html"):
        write_gallery(runs)
    assert page.read_bytes() == before
    assert not list(runs.glob(".index*"))


@pytest.mark.parametrize(
    ("seconds", "table", "sentence"),
    [
        (0.031, "0.031 s", "0.031 s"),
        (4.24, "4.2 s", "4.2 s"),
        (9.96, "10 s", "10 s"),
        (59.6, "1:00", "1 min 0 s"),
        (372, "6:12", "6 min 12 s"),
        (3599.7, "1 h 0 min", "1 h 0 min"),
        (4320, "1 h 12 min", "1 h 12 min"),
    ],
)
def test_lengths_are_told_for_people(seconds, table, sentence):
    assert (clock(seconds), in_words(seconds)) == (table, sentence)


def test_ratios_have_two_digits():
    told = [two_digits(value) for value in (0.0512, 0.05, 0.998, 1.24, 12.4, 1234.5, None)]
    assert told == ["0.051", "0.05", "1", "1.2", "12", "1234", "–"]


# ---- in a browser


def shown(page) -> list[str]:
    return page.locator("tbody tr:visible th .name").all_inner_texts()


def test_rows_sort_and_filter_in_the_browser(made):
    address = write_gallery(made).as_uri()
    with browser_page() as page:
        page.goto(address)
        assert page.title() != "taken"
        heading = page.locator("thead th[data-column='length']")
        heading.locator("button").focus()
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "ascending"
        lengths = page.locator("tbody [data-column='length']").evaluate_all(
            "cells => cells.map(cell => cell.dataset.key)"
        )
        assert lengths[-1] == ""  # unknown comes last
        assert [float(s) for s in lengths[:-1]] == sorted(float(s) for s in lengths[:-1])
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        assert shown(page)[-1] == "broken"
        page.locator("#sort").select_option(label="Run")
        assert shown(page)[-2:] == ["slow 2", "slow 10"]
        page.get_by_label("Search").fill("RIVER 1.25")
        assert shown(page) == ["slow 10"]
        assert page.locator("#shown").inner_text() == "1 of 6 runs"
        page.get_by_label("Search").fill("")
        page.locator("#status").select_option("failed")
        assert shown(page) == ["broken"]
        page.get_by_label("Search").fill("river")
        page.get_by_role("button", name="Show all").click()
        assert len(shown(page)) == 6


def test_audio_plays_one_at_a_time(made):
    """From the disk, by its quoted link; the arrow keys step on; a waveform is a place to start."""
    address = write_gallery(made).as_uri()
    playing = "audios => audios.filter(audio => !audio.paused).length"
    with browser_page() as page:
        page.goto(address)
        players = page.locator("audio")
        first = page.locator("tr", has=page.locator(f"bdi:text-is('{WILD}')")).locator("audio")
        first.evaluate("audio => audio.play()")
        record = json.loads((made / WILD / "run.json").read_text())
        assert abs(first.evaluate("audio => audio.duration") - record["audio_s"]) < 0.1
        page.locator("tr", has_text="slow 2").locator("audio").evaluate("audio => audio.play()")
        assert players.evaluate_all(playing) == 1
        page.keyboard.press("ArrowDown")
        last = page.locator("tr", has_text="slow 10")
        page.locator("tr.playing th[data-key='slow 10']").wait_for()
        assert players.evaluate_all(playing) == 1
        page.locator("body").evaluate("body => document.activeElement.blur()")
        page.keyboard.press(" ")
        assert players.evaluate_all(playing) == 0
        box = last.locator(".wave").bounding_box()
        last.locator(".wave").click(position={"x": box["width"] * 0.75, "y": 10})
        share = last.locator("audio").evaluate("audio => audio.currentTime / audio.duration")
        assert 0.6 < share <= 1


def test_keys_work_on_a_freshly_opened_page(made):
    """Space plays the first run; marks by keys alone go to the run that plays."""
    address = write_gallery(made).as_uri()
    with browser_page() as page:
        page.goto(address)
        page.keyboard.press(" ")
        page.locator("tr.playing").wait_for()
        assert shown(page)[0] == page.locator("tr.playing .name").inner_text() == WILD
        page.keyboard.press("4")
        assert page.locator("tr.playing").get_attribute("data-marks") == "stars"
        page.keyboard.press("k")
        page.keyboard.press("ArrowDown")  # "broken" has no player
        page.locator("tr.playing th[data-key='long']").wait_for()
        for key in ("c", "n", "a", "k", "Enter"):  # letters of a note mark nothing
            page.keyboard.press(key)
        assert page.locator("tr.playing").get_attribute("data-marks") == "note compare"
        assert "1 to keep · 1 to compare" in page.locator("#chosen").inner_text()
        page.locator("#marked").select_option("keep")
        assert shown(page) == [WILD]


def test_choices_on_a_page_without_a_server_are_kept_and_downloaded(runs):
    """A reload keeps them; the download is the file that the page reads."""
    address = write_gallery(runs).as_uri()
    with browser_page() as page:
        page.goto(address)
        row = page.locator("tr", has=page.locator("th[data-key='slow 2']"))
        row.get_by_role("button", name="3 stars").click()
        row.get_by_label("compare").check()
        row.get_by_label("Note").fill("too <b>slow</b>")
        assert "Kept in this browser" in page.locator("#saved").inner_text()
        page.reload()
        assert row.get_by_label("Note").input_value() == "too <b>slow</b>"
        assert row.get_by_label("compare").is_checked()
        with page.expect_download() as download:
            page.get_by_role("button", name="Download choices.json").click()
        download.value.save_as(runs / "choices.json")
        choices = load_choices(runs / "choices.json")
        assert marked_runs(runs / "choices.json", "compare") == [runs / "slow 2"]
        assert choices.choices["slow 2"].stars == 3
        page.evaluate("localStorage.clear()")
        page.goto(write_gallery(runs).as_uri())
        assert row.get_by_role("button", name="3 stars").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_gallery_breaks_no_rule_of_accessibility(made, scheme):
    address = write_gallery(made).as_uri()
    with browser_page(color_scheme=scheme) as page:
        page.goto(address)
        assert axe_violations(page) == []


def test_sorting_does_not_stop_what_plays(made):
    address = write_gallery(made).as_uri()
    with browser_page() as page:
        page.goto(address)
        audio = page.locator("tr", has_text="So it goes on").locator("audio")
        audio.evaluate("audio => audio.play()")
        page.get_by_role("button", name="RTF").click()
        page.wait_for_timeout(200)
        assert not audio.evaluate("audio => audio.paused")


def test_five_hundred_runs_open_without_a_network(many):
    address = write_gallery(many).as_uri()
    with browser_page() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        began_s = time.perf_counter()
        page.goto(address)
        assert page.locator("#shown").inner_text() == "500 runs"
        loaded_s = time.perf_counter() - began_s
        assert loaded_s < 10  # on two busy cores; 0.6 s alone
        page.get_by_role("button", name="RTF").click()
        page.get_by_label("Search").fill("number 499.")
        assert page.locator("#shown").inner_text() == "1 of 500 runs"
        page.locator("tr:visible audio").first.evaluate("audio => audio.play()")
        assert asked[0] == address
        assert all(url.startswith(("file:///", "data:")) for url in asked)


BETWEEN = [pytest.param(width, marks=pytest.mark.slow) for width in (390, 768, 1261)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, *BETWEEN, 1280])
def test_nothing_reaches_over_the_edge(runs, width, scheme):
    """Nor with the longest names that columns can have."""
    for number, name in enumerate(["slow 2", "slow 10", "long"]):
        path = runs / name / "run.json"
        record = json.loads(path.read_text())
        record["params"] |= {f"{kind}_pause_ms": 60_000 - number for kind in PAUSES}
        record["params"] |= {"voice": "v" * 80}
        record["engine"] |= {"name": "chatterbox-multilingual", "device": "cuda:0"}
        record["checks"] |= {"level": "full", "checked": 1, "doubtful": 1}
        record["chunks"][0] |= {"verdict": "doubtful", "text": "w" * 100}
        path.write_text(json.dumps(record | {"seed": 2**32 - 1, "rtf": 12345.6}))
    long = {"status": "failed", "error": "x" * 600, "traceback": "y" * 600}
    write_ledger(runs, {"n" * 200: long})
    address = write_gallery(runs).as_uri()
    with browser_page(width=width, color_scheme=scheme) as page:
        page.goto(address)
        for details in page.locator("details").all():
            details.evaluate("details => { details.open = true; }")
        for part in page.locator(".player, tbody tr").all():  # also what is off the screen
            part.evaluate("part => { part.style.contentVisibility = 'visible'; }")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide == width
