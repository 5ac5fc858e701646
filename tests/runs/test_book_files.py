"""Documents become the files of a book: chapters, tags, a file a chapter, mastered, resumed."""

import base64
import subprocess
import sys

import av
import numpy as np
import psutil
import pytest
from epubs import build_epub
from test_checking import wait_for

from chatter_nb.audio.measuring import measure_file
from chatter_nb.audio.reading import read_audio, resample
from chatter_nb.audio.targets import TARGETS
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_plan import slug
from chatter_nb.runs.speak_plan import plan_speech

NEAR_S = 0.002  # the goal is 0.023
TITLES = ["The North Wind & the Sun", "Über die Krähe", "3. The End"]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def document(folder, words="It was a warm day, and nobody was about."):
    """An EPUB of three short chapters; its author is Aesop."""
    documents = {
        f"{number}.xhtml": f"<h1>{title.replace('&', '&amp;')}</h1><p>{words}</p>"
        for number, title in enumerate(TITLES)
    }
    entries = [(t.replace("&", "&amp;"), f"{at}.xhtml") for at, t in enumerate(TITLES)]
    return build_epub(folder / "tales.epub", documents, entries)


@pytest.fixture
def book(tmp_path):
    return document(tmp_path)


def look(path):
    """What a player reads: tags, marks, the length in seconds, whether there is a cover."""
    with av.open(str(path)) as container:
        marks = [
            (mark["metadata"]["title"], float(mark["start"] * mark["time_base"]))
            for mark in container.chapters()
        ]
        tags = container.metadata | container.streams.audio[0].metadata
        return tags, marks, container.duration / 1e6, bool(container.streams.video)


@pytest.mark.parametrize("name", ["m4b", "mp3", "opus"])
def test_a_book_has_its_chapters_where_they_sound(name, speak, book):
    speech = speak(text="", text_file=str(book), formats=["wav", name])
    tags, marks, length_s, _ = look(speech.folder / f"speech.{name}")
    chapters = speech.record.chapters
    assert [title for title, _ in marks] == [chapter.title for chapter in chapters] == TITLES
    firsts = [speech.record.chunks[chapter.first_chunk] for chapter in chapters]
    assert [chunk.text.strip() for chunk in firsts] == TITLES
    wav, rate = read_audio(speech.folder / "speech.wav")
    sound, file_rate = read_audio(speech.folder / f"speech.{name}")
    sound = resample(sound, file_rate, rate)
    for (_, mark_s), chapter, chunk in zip(marks, chapters, firsts, strict=True):
        assert chapter.start_s == chunk.start_s
        first = wav[round(chapter.start_s * rate) :][:rate]
        start = max(0, round((mark_s - 0.1) * rate))
        found = start + np.correlate(sound[start:][: rate + rate // 5], first).argmax()
        assert abs(found / rate - mark_s) < NEAR_S
    assert abs(length_s - speech.audio_s) < 0.12
    told = {field.lower(): value for field, value in tags.items()}
    assert (told["title"], told["artist"], told["date"]) == ("A book", "Aesop", "1912")


def test_tags_are_those_of_the_parameters_where_given(speak, book, tmp_path):
    (tmp_path / "cover.png").write_bytes(PNG)
    given = {"title": "Fables", "author": "A. B.", "read_by": "C. D.", "date": "1999"}
    speech = speak(
        text="", text_file=str(book), formats=["m4b"], cover=str(tmp_path / "cover.png"), **given
    )
    tags, _, _, has_cover = look(speech.files[0])
    names = ("title", "artist", "composer", "date")
    assert [tags[name] for name in names] == list(given.values())
    assert has_cover


def test_an_m4b_is_read_as_other_recordings_are(speak, book):
    """From its beginning and from a place within, as players' pictures do."""
    from chatter_nb.audio.curves import duration_s, envelope, stretch

    speech = speak(text="", text_file=str(book), formats=["wav", "m4b"])
    path = speech.folder / "speech.m4b"
    (wav, rate), (sound, _) = read_audio(speech.folder / "speech.wav"), read_audio(path)
    assert abs(len(sound) - len(wav)) < 2048
    assert np.corrcoef(wav, sound[: len(wav)])[0, 1] > 0.99
    part, _ = stretch(path, start_s=4.0, end_s=5.0)
    assert np.corrcoef(part, wav[4 * rate : 5 * rate])[0, 1] > 0.99
    assert len(envelope(path, bins=100)[0]) == 100
    assert abs(duration_s(path) - speech.audio_s) < 0.1


def test_a_text_without_more_stays_byte_for_byte_what_it_was(speak, tmp_path):
    """What the writer makes of the same samples; with a tag it is another file."""
    names = ["mp3", "opus"]
    plain = speak(text="Hello there.", formats=["wav", *names], wav_bits=32)
    assert plain.record.chapters == ()
    samples, rate = plain.read()
    with AudioWriter(tmp_path, "alone", names, sample_rate=rate) as writer:
        writer.write(samples)
        writer.finish()
        alone = writer.commit()
    assert [p.read_bytes() for p in plain.files[1:]] == [p.read_bytes() for p in alone]
    tagged = speak(text="Hello there.", formats=names, title="Hello", run_name="tagged")
    assert [look(path)[0]["title"] for path in tagged.files] == ["Hello", "Hello"]


def test_split_makes_files_of_every_chapter(speak, book):
    whole = speak(text="", text_file=str(book))
    speech = speak(
        text="", text_file=str(book), formats=["wav", "mp3"], split="chapter", run_name="parts"
    )
    stems = ["speech-01-the-north-wind-the-sun", "speech-02-uber-die-krahe", "speech-03-3-the-end"]
    assert [p.name for p in speech.files] == [f"{s}.{f}" for s in stems for f in ("wav", "mp3")]
    parts = [read_audio(path)[0] for path in speech.files[::2]]
    assert np.array_equal(np.concatenate(parts), whole.read()[0])
    tags = [look(path)[0] for path in speech.files[1::2]]
    assert [(t["title"], t["album"], t["track"]) for t in tags] == [
        (title, "A book", str(at)) for at, title in enumerate(TITLES, 1)
    ]
    assert all(chunk.cached for chunk in speech.record.chunks)


def test_chapters_are_mastered_and_measured(speak, book):
    """Each chapter of an mp3 meets ACX's numbers, and the record says where it stands."""
    speech = speak(text="", text_file=str(book), formats=["mp3", "m4b"], master="acx", split="none")
    assert "loudness: 6 of 6 keep acx's levels" in str(speech)
    loudness = speech.record.loudness
    assert [(r.file, r.chapter, r.failures) for r in loudness] == [
        (f"speech.{name}", title, ()) for name in ("m4b", "mp3") for title in TITLES
    ]
    measured = measure_file(speech.folder / "speech.mp3")
    assert TARGETS["acx"].file_failures(measured) == []
    for name in ("m4b", "mp3"):
        marks = look(speech.folder / f"speech.{name}")[1]
        starts_s = [report.start_s for report in loudness if report.file == f"speech.{name}"]
        assert [mark_s for _, mark_s in marks] == pytest.approx(starts_s, abs=0.001)
    assert not (speech.folder / ".chapters").exists()


@pytest.mark.parametrize("master", ["none", "podcast"])
def test_an_m4b_stays_one_file_where_others_are_divided(speak, book, master):
    """Byte for byte the m4b of a run that divides nothing; and it is resumed."""
    values = {"text": "", "text_file": str(book), "master": master}
    whole = speak(**values, formats=["m4b", "mp3"])
    values |= {"formats": ["m4b", "mp3"], "split": "chapter"}
    speech = speak(**values, run_name="parts")
    names = [path.name for path in speech.files]
    assert names[0] == "speech-01-the-north-wind-the-sun.mp3"
    assert names[3:] == ["speech.m4b"]
    assert speech.files[3].read_bytes() == (whole.folder / "speech.m4b").read_bytes()
    marks = look(speech.files[3])[1]
    assert [title for title, _ in marks] == TITLES
    told = [(r.file, r.chapter) for r in speech.record.loudness]
    parts = list(zip(names, TITLES, strict=False))
    assert told == ([*parts, *(("speech.m4b", t) for t in TITLES)] if master != "none" else [])
    fewer = speak(**values | {"formats": ["mp3"]}, run_name="parts")
    assert [path.name for path in fewer.files] == names  # the same sound: it stays


def test_every_document_of_a_folder_is_divided(speak, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in "ab":
        (texts / f"{name}.md").write_text("# One\n\nHello.\n\n# Two\n\nThere.")
    values = {"text": "", "text_file": str(texts), "merge": False, "split": "chapter"}
    speech = speak(**values, formats=["mp3", "m4b"])
    assert [path.name for path in speech.files] == [
        *("a-01-one.mp3", "a-02-two.mp3", "a.m4b", "b-01-one.mp3", "b-02-two.mp3", "b.m4b")
    ]
    for path in (speech.files[2], speech.files[5]):
        assert [title for title, _ in look(path)[1]] == ["One", "Two"]


def test_silence_tone_and_rate_are_those_of_the_parameters(speak, book):
    """The record has the silence before each chapter; its sound begins after it."""
    given = {"head_s": 1.5, "tail_s": 0.0, "room_tone": "off", "sample_rate": 48_000}
    speech = speak(text="", text_file=str(book), formats=["m4b"], master="acx", **given)
    signal, rate = read_audio(speech.files[0])
    assert rate == 48_000
    assert [report.head_s for report in speech.record.loudness] == [1.5] * 3
    for report in speech.record.loudness:
        start = round(report.start_s * rate)
        assert np.abs(signal[start + 3000 : start + round(1.4 * rate)]).max() < 1e-4
        sound = np.abs(signal[start : start + 3 * rate]) > 0.02
        assert sound.argmax() / rate == pytest.approx(1.5, abs=0.1)
    assert np.abs(signal[-rate // 10 :]).max() > 0.001  # no silence, no tone
    podcast = {"formats": ["mp3"], "master": "podcast", "run_name": "podcast"}
    signal, _ = speak(text="Hello there.", **podcast, room_tone="on", head_s=1.0).read()
    assert -70 < 20 * np.log10(np.std(signal[2000:20_000])) < -62


def test_the_rate_that_acx_asks_for_is_measured(speak):
    values = {"formats": ["mp3"], "master": "acx", "sample_rate": 48_000}
    speech = speak(text="Two herons stood beside the road and waited.", **values)
    assert speech.record.loudness[0].failures == ("rate 48,000 Hz, asked 44,100",)


def test_on_audio_is_unmastered(speak, book, tmp_path):
    from chatter_nb.runs.speak import generate_tts

    heard = []
    values = {"text_file": str(book), "engine": "hibari", "outputs_dir": str(tmp_path)}
    more = {"formats": ["mp3"], "master": "r128"}
    params = SpeakParams.create({**values, **more, "run_name": "mastered"})
    mastered = generate_tts(params, on_audio=heard.append)
    plain = speak(text="", text_file=str(book))
    samples = np.concatenate(heard)
    assert np.abs(samples - plain.read()[0]).max() <= 2**-15
    level_db = 20 * np.log10(np.std(mastered.read()[0]) / np.std(samples))
    assert level_db == pytest.approx(mastered.record.loudness[0].gain_db, abs=1)


def test_a_conversion_is_mastered_too(tmp_path, speak, second_voice):
    from chatter_nb.params.runs import ConvertParams
    from chatter_nb.runs.convert import convert_voice

    source = speak(text="Two herons stood beside the road and waited for the rain.").files[0]
    values = {"source": str(source), "target": str(second_voice), "outputs_dir": str(tmp_path)}
    more = {"engine": "world", "formats": ["m4b"], "master": "podcast"}
    speech = convert_voice(ConvertParams.create({**values, **more}))
    assert [(r.file, r.failures) for r in speech.record.loudness] == [("converted.m4b", ())]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The command of a run, and the folder of one that nobody killed."""
    root = tmp_path_factory.mktemp("book")
    book = document(root, "It was a warm day, and nobody was about. " * 4)

    def command(folder):
        options = {"text_file": book, "engine": "hibari", "outputs_dir": folder, "run_name": "run"}
        options |= {"formats": "m4b,mp3", "master": "acx", "split": "chapter"}
        pairs = [f"-p{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "chatter_nb.cli", "speak", *pairs]

    subprocess.run(command(root), check=True, capture_output=True, timeout=600)
    return command, root / "run"


STAGES = [".chunks/??/*.npy", "run/.spool.*", "run/.chapters/*.json", "run/.speech-01*.part"]


@pytest.mark.parametrize("seen", STAGES)
def test_a_killed_run_resumes_to_the_same_bytes(seen, whole, tmp_path):
    """Killed when the first chunk, spool, mastered chapter, or file of a chapter is there.

    The m4b goes through all chapters then; the mp3 of the first is being written.
    """
    command, finished = whole
    killed = subprocess.Popen(command(tmp_path), stdout=-3, stderr=-3)
    wait_for(lambda: list(tmp_path.glob(seen)))
    psutil.Process(killed.pid).kill()
    killed.wait()
    assert not (tmp_path / "run" / "run.json").exists()
    subprocess.run(command(tmp_path), check=True, capture_output=True, timeout=600)
    names = [path.name for path in finished.glob("speech*.m*")]
    assert len(names) == 1 + len(TITLES)
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes()
    assert not list((tmp_path / "run").glob(".*"))


def test_a_mastered_chapter_is_not_mastered_again(book, tmp_path, monkeypatch):
    """After a run that stopped before its end, its chapters are there."""
    from chatter_nb.runs import book_files
    from chatter_nb.runs.speak import generate_tts

    values = {"text_file": str(book), "engine": "hibari", "outputs_dir": str(tmp_path)}
    params = SpeakParams.create({**values, "formats": ["mp3"], "master": "acx"})
    with monkeypatch.context() as patch:
        patch.setattr(book_files, "write_book", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            generate_tts(params)
    monkeypatch.setattr(book_files, "master_chapter", None)
    speech = generate_tts(params)
    assert len(speech.record.loudness) == len(TITLES)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"master": "acx"}, "master is for compressed files: take wav out of formats"),
        ({"split": "chapter", "formats": ["m4b"]}, "m4b is one file with marks: .* or add mp3"),
        ({"head_s": 0.0, "room_tone": "off"}, "room_tone and head_s: .* Set master: acx"),
        ({"sample_rate": 48_000}, "sample_rate: for mastered files. Set master: acx"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_cure(values, told):
    with pytest.raises(ParamError, match=told):
        SpeakParams.create({"text": "Hello.", **values})


def plan(text_file, folder, **values):
    own = {"text_file": str(text_file), "engine": "hibari", "outputs_dir": str(folder)}
    return plan_speech(SpeakParams.create(own | values))


@pytest.mark.parametrize("damage", [lambda _: b"PK", lambda d: d[:40], lambda d: d[:-20]])
def test_a_cover_that_is_none_is_refused_before_the_work(damage, book, tmp_path):
    """Also one that only begins as a picture does."""
    (tmp_path / "cover.png").write_bytes(damage(PNG))
    with pytest.raises(InputError, match=r"cover .* must be a whole JPEG or PNG file"):
        plan(book, tmp_path, cover=str(tmp_path / "cover.png"), formats=["m4b"])


@pytest.mark.parametrize(
    ("cover", "kind", "notes"), [(PNG, "png", 0), (PNG[:-20], "png", 1), (b"GIF89a", "gif", 1)]
)
def test_a_documents_cover_that_players_cannot_show_is_noted(cover, kind, notes, tmp_path):
    documents = {"1.xhtml": "<h1>One</h1><p>Hello there.</p>"}
    item = f'<item id="c" href="c.{kind}" media-type="image/{kind}" properties="cover-image"/>'
    entries, members = [("One", "1.xhtml")], {f"OEBPS/c.{kind}": cover}
    path = tmp_path / "book.epub"
    book = build_epub(path, documents, entries, members=members, more_items=item)
    planned = plan(book, tmp_path, formats=["m4b"])
    assert planned.outputs[0].tags.cover == (None if notes else PNG)
    told = [note for note in planned.warnings if f"its cover (image/{kind}) is left out" in note]
    assert len(told) == notes
    assert not plan(book, tmp_path, formats=["opus"]).warnings  # has no cover


def test_opus_with_too_many_chapters_is_refused_before_the_work(tmp_path):
    text = tmp_path / "many.md"
    text.write_text("\n\n".join(f"# {number}\n\nHello." for number in range(1001)))
    with pytest.raises(InputError, match="opus holds 1000 chapters, not 1,001: choose m4b"):
        plan(text, tmp_path, formats=["m4b", "opus"])
    assert len(plan(text, tmp_path, formats=["opus"], split="chapter").outputs) == 1001


def test_outputs_of_one_name_are_refused_before_the_work(tmp_path):
    """The second chapter of a document, and the first of another."""
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.md").write_text("# One\n\nHello.\n\n# 01 Two\n\nThere.")
    (texts / "a-02.md").write_text("# Two\n\nHello.")
    with pytest.raises(InputError, match="would be files named a-02-01-two: rename"):
        plan(texts, tmp_path, merge=False, split="chapter")
    assert len(plan(texts, tmp_path, merge=False).outputs) == 2


def test_the_estimate_counts_the_spools_of_the_longest_chapter(tmp_path):
    """One that is written, one that is read; twice if an undivided file is there too."""
    text = tmp_path / "text.md"
    text.write_text("# One\n\nHello.\n\n# Two\n\n" + "A long day in the country. " * 40)
    plain = plan(text, tmp_path, formats=["mp3"])
    mastered = plan(text, tmp_path, formats=["mp3"], master="acx")
    spool = max(mastered.chapters_s()) * 24_000 * 4
    assert max(mastered.chapters_s()) > 0.8 * mastered.audio_s()
    more = mastered.estimate().disk_bytes - plain.estimate().disk_bytes
    assert more == pytest.approx(2 * spool + (2 * 24_000 - 6_000) * plain.audio_s(), abs=2)
    both = {"formats": ["mp3", "m4b"], "split": "chapter"}
    more = plan(text, tmp_path, **both, master="acx").estimate().disk_bytes
    more -= plan(text, tmp_path, **both).estimate().disk_bytes
    assert more == pytest.approx(4 * spool + (2 * 40_200 - 14_200) * plain.audio_s(), abs=2)


def test_a_document_without_a_title_gives_its_files_name(speak, tmp_path):
    text = tmp_path / "The Storm.txt"
    text.write_text("It was dark. Nobody spoke.")
    speech = speak(text="", text_file=str(text), formats=["m4b"])
    assert look(speech.folder / "speech.m4b")[0]["title"] == "The Storm"
    bare = speak(text="It was dark.", formats=["m4b"], run_name="bare")
    assert "title" not in look(bare.folder / "speech.m4b")[0]


def test_a_slug_is_short_and_ascii():
    assert slug("Über die Krähe & 3 Füchse") == "uber-die-krahe-3-fuchse"
    assert slug("第一章") == ""
    assert len(slug("word " * 20)) <= 40
