"""Documents become the files of a book: chapters, tags, a file a chapter, mastered, resumed."""

import subprocess
import sys

import av
import numpy as np
import psutil
import pytest
from epubs import build_epub
from test_checking import wait_for

from chatter_nb.audio.measuring import measure_file
from chatter_nb.audio.reading import read_audio
from chatter_nb.audio.targets import TARGETS
from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.book_plan import slug
from chatter_nb.runs.speak_plan import plan_speech

TITLES = ["The North Wind & the Sun", "Über die Krähe", "3. The End"]
NEAR_S = 0.03  # LAME's delay, and the bound of a block
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f"
    b"\x15\xc4\x89\x00\x00\x00\rIDATx\xdac\xfc\xcfP\x0f\x00\x03\x86\x01\x80Z4}j\x00\x00\x00\x00"
    b"IEND\xaeB`\x82"
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
    for (_, mark_s), chapter, chunk in zip(marks, chapters, firsts, strict=True):
        assert chapter.start_s == chunk.start_s
        assert abs(mark_s - chapter.start_s) < NEAR_S
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
    assert "loudness: 6 of 6 meet acx" in str(speech)
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
        options |= {"formats": "m4b,mp3", "master": "acx"}
        pairs = [f"-p{name}={value}" for name, value in options.items()]
        return [sys.executable, "-m", "chatter_nb.cli", "speak", *pairs]

    subprocess.run(command(root), check=True, capture_output=True, timeout=600)
    return command, root / "run"


@pytest.mark.parametrize("seen", [".chunks/??/*.npy", "run/.spool.*", "run/.chapters/*.json"])
def test_a_killed_run_resumes_to_the_same_bytes(seen, whole, tmp_path):
    """Killed when the first chunk is made, the first spool written, the first chapter mastered."""
    command, finished = whole
    killed = subprocess.Popen(command(tmp_path), stdout=-3, stderr=-3)
    wait_for(lambda: list(tmp_path.glob(seen)))
    psutil.Process(killed.pid).kill()
    killed.wait()
    assert not (tmp_path / "run" / "run.json").exists()
    subprocess.run(command(tmp_path), check=True, capture_output=True, timeout=600)
    for name in ("speech.m4b", "speech.mp3"):
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
        ({"split": "chapter", "formats": ["m4b"]}, "split: chapter, and m4b is one file"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_cure(values, told):
    with pytest.raises(ParamError, match=told):
        SpeakParams.create({"text": "Hello.", **values})


def test_a_cover_that_is_none_is_refused_before_the_work(book):
    params = SpeakParams.create(
        {"text_file": str(book), "engine": "hibari", "cover": str(book), "formats": ["m4b"]}
    )
    with pytest.raises(InputError, match=r"cover .* must be a JPEG or PNG file"):
        plan_speech(params)


def test_the_estimate_counts_the_spool(book, tmp_path):
    values = {"text_file": str(book), "engine": "hibari", "outputs_dir": str(tmp_path)}
    plain = plan_speech(SpeakParams.create({**values, "formats": ["mp3"]}))
    mastered = plan_speech(SpeakParams.create({**values, "formats": ["mp3"], "master": "acx"}))
    spools = 2 * mastered.audio_s() / len(TITLES) * 24_000 * 4
    more = mastered.estimate().disk_bytes - plain.estimate().disk_bytes
    assert more == pytest.approx(spools + 6_000 * plain.audio_s(), abs=2)


def test_a_slug_is_short_and_ascii():
    assert slug("Über die Krähe & 3 Füchse") == "uber-die-krahe-3-fuchse"
    assert slug("第一章") == ""
    assert len(slug("word " * 20)) <= 40
