"""Books in one file: read back by FFmpeg's demuxers and by Chromium, as players read them."""

import base64

import av
import numpy as np
import pytest
from browser import browser_page

from chatter_nb.audio.book_file import Tags, write_book
from chatter_nb.audio.encoder import CODECS
from chatter_nb.base.errors import InputError, OutputError

RATE = 24_000
CODEC_NAMES = tuple(CODECS)
QUIET_S = 0.2  # before a chapter's tone
NEAR_S = 0.023
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def chapter(path, codec_name, *, seconds, hz=440, rate=RATE):
    """A chapter that is quiet, then a tone, then quiet again; encoded."""
    tone = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(rate * (seconds - 2 * QUIET_S))) / rate)
    signal = np.pad(tone, round(rate * QUIET_S)).astype("f4")
    CODECS[codec_name].encode(np.array_split(signal, 3), path, rate=rate, is_best=False)
    return path


@pytest.fixture
def chapters(tmp_path):
    """Three chapters of other lengths and pitches than each other."""

    def make(codec_name):
        lengths = enumerate((1.5, 2.0123, 1.1))
        return [
            (
                f"{at + 1}. Über {at}",
                chapter(tmp_path / f"{at}.part", codec_name, seconds=s, hz=300 + 200 * at),
            )
            for at, s in lengths
        ]

    return make


def decoded(path):
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [part for f in container.decode(audio=0) for part in resampler.resample(f)]
        signal = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return signal, frames[0].sample_rate


def marks(path):
    """The chapters of a file: title, start and end in seconds."""
    with av.open(str(path)) as container:
        found = container.chapters()
    return [
        (
            c["metadata"]["title"],
            float(c["start"] * c["time_base"]),
            float(c["end"] * c["time_base"]),
        )
        for c in found
    ]


def tags_of(path):
    with av.open(str(path)) as container:
        return container.metadata | container.streams.audio[0].metadata


@pytest.mark.parametrize("codec_name", CODEC_NAMES)
def test_marks_stand_where_the_chapters_sound(chapters, codec_name, tmp_path):
    made = chapters(codec_name)
    starts_s = write_book(made, tmp_path / "book", codec_name, Tags())
    signal, rate = decoded(tmp_path / "book")
    loud = np.abs(signal) > 0.25
    gaps = np.diff(np.flatnonzero(loud), prepend=-rate) > QUIET_S / 2 * rate
    onsets_s = np.flatnonzero(loud)[gaps] / rate
    assert len(onsets_s) == 3
    found = marks(tmp_path / "book")
    assert [title for title, _, _ in found] == [title for title, _ in made]
    assert [start for _, start, _ in found] == pytest.approx(starts_s, abs=0.001)
    assert [start + QUIET_S for _, start, _ in found] == pytest.approx(list(onsets_s), abs=NEAR_S)
    assert [end for _, _, end in found[:-1]] == [start for _, start, _ in found[1:]]
    assert found[-1][2] == pytest.approx(len(signal) / rate, abs=0.1)


@pytest.mark.parametrize("codec_name", CODEC_NAMES)
def test_a_chapter_sounds_in_the_book_as_in_its_file(chapters, codec_name, tmp_path):
    """Nothing is encoded again, and no chapter disturbs the next: sample for sample."""
    made = chapters(codec_name)
    starts_s = write_book(made, tmp_path / "book", codec_name, Tags())
    book, rate = decoded(tmp_path / "book")
    for (_, path), start_s in zip(made[1:], starts_s[1:], strict=True):
        alone, _ = decoded(path)
        start = round(start_s * rate)
        inside = book[start : start + len(alone)]
        assert len(inside) >= len(alone) - 1200
        assert np.abs(inside - alone[: len(inside)]).max() < 1e-6


@pytest.mark.parametrize("codec_name", CODEC_NAMES)
@pytest.mark.parametrize("count", [1, 255, 256, 1025])
def test_any_number_of_chapters_has_its_marks(codec_name, count, tmp_path):
    one = chapter(tmp_path / "one.part", codec_name, seconds=0.5)
    made = [(f"Chapter {number}", one) for number in range(count)]
    if codec_name == "opus" and count > 1000:  # its numbers have three digits
        with pytest.raises(InputError, match="opus holds 1000 chapters, not 1025"):
            write_book(made, tmp_path / "book", codec_name, Tags())
        return
    starts_s = write_book(made, tmp_path / "book", codec_name, Tags(title="Many"))
    found = marks(tmp_path / "book")
    if count == 1:
        assert (found, len(starts_s)) == ([], 1)
        return
    assert [title for title, _, _ in found] == [title for title, _ in made]
    assert [start for _, start, _ in found] == pytest.approx(starts_s, abs=0.001)
    assert np.diff(starts_s).min() >= 0.45
    if codec_name == "m4b":  # its old list counts in a byte
        assert (b"chpl" in (tmp_path / "book").read_bytes()) == (count <= 255)


@pytest.mark.parametrize("codec_name", CODEC_NAMES)
def test_tags_and_cover_are_read_back(chapters, codec_name, tmp_path):
    tags = Tags("Bücher", "A. Author", "N. Narrator", "1901", "de", "Of words.", PNG)
    write_book(chapters(codec_name), tmp_path / "book", codec_name, tags)
    told = tags_of(tmp_path / "book")
    wanted = {
        "title": "Bücher",
        "album": "Bücher",
        "artist": "A. Author",
        "composer": "N. Narrator",
        "date": "1901",
        "language": "deu",
        "genre": "Audiobook",
    }
    assert {name: told.get(name) for name in wanted} == wanted
    assert "Of words." in told.values()
    with av.open(str(tmp_path / "book")) as container:
        pictures = [bytes(next(container.demux(stream))) for stream in container.streams.video]
        assert pictures == ([] if codec_name == "opus" else [PNG])
        if codec_name == "m4b":
            assert container.metadata["major_brand"] == "M4B "
            assert container.metadata["media_type"] == "2"


@pytest.mark.parametrize("codec_name", CODEC_NAMES)
def test_a_book_is_byte_for_byte_the_same_again(chapters, codec_name, tmp_path):
    for name in ("first", "again"):
        folder = tmp_path / name
        folder.mkdir()
        write_book(chapters(codec_name), folder / "book", codec_name, Tags("T", "A", language="en"))
    assert (tmp_path / "first" / "book").read_bytes() == (tmp_path / "again" / "book").read_bytes()


def test_what_makes_no_book_is_told_and_leaves_nothing(chapters, tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    made, path = chapters("m4b"), folder / "book.m4b"
    other = chapter(tmp_path / "other.part", "m4b", seconds=1, rate=44_100)
    with pytest.raises(InputError, match="of one format and rate"):
        write_book([*made, ("Other", other)], path, "m4b", Tags())
    silent = tmp_path / "silent.part"
    CODECS["m4b"].encode([np.zeros(0, "f4")], silent, rate=RATE, is_best=False)
    with pytest.raises(InputError, match=f"holds no sound, or is damaged: .*{silent}"):
        write_book([*made, ("Silent", silent)], path, "m4b", Tags())
    with pytest.raises(InputError, match="one or more"):
        write_book([], path, "m4b", Tags())
    for cover in (PNG[:-20], other.read_bytes()):
        with pytest.raises(InputError, match="the cover must be a whole JPEG or PNG file"):
            write_book(made, path, "m4b", Tags(cover=cover))
    with pytest.raises(OutputError, match="cannot write"):
        write_book(made, tmp_path / "none" / "book.m4b", "m4b", Tags())
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_a_sentence_and_leaves_nothing(small_disk, tmp_path):
    one = chapter(tmp_path / "one.part", "m4b", seconds=20)
    with pytest.raises(OutputError, match="disk full while writing"):
        write_book([(str(at), one) for at in range(4)], small_disk.folder / "b.m4b", "m4b", Tags())
    assert list(small_disk.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("wanted", "mp3", "opus"),
    [(24_000, 24_000, 24_000), (44_100, 44_100, 48_000), (11_025, 16_000, 16_000)],
)
def test_a_codec_has_the_next_rate(wanted, mp3, opus):
    assert CODECS["mp3"].rate_for(wanted) == CODECS["m4b"].rate_for(wanted) == mp3
    assert CODECS["opus"].rate_for(wanted) == opus


@pytest.mark.slow
@pytest.mark.parametrize("codec_name", CODEC_NAMES)
def test_chromium_opens_a_book_with_its_duration_and_finds_the_last_chapter(
    chapters, codec_name, tmp_path
):
    path, page_path = tmp_path / f"book.{codec_name}", tmp_path / "page.html"
    starts_s = write_book(chapters(codec_name), path, codec_name, Tags(title="Book"))
    signal, rate = decoded(path)
    page_path.write_text("<title>A book</title>")
    with browser_page() as page:
        page.goto(page_path.as_uri())
        duration_s, at_s = page.evaluate(
            """([url, start_s]) => new Promise((done, fail) => {
                const audio = new Audio(url);
                audio.onerror = () => fail(audio.error.message);
                audio.onloadedmetadata = () => { audio.currentTime = start_s; };
                audio.onseeked = () => done([audio.duration, audio.currentTime]);
            })""",
            [path.name, starts_s[-1]],
        )
    assert duration_s == pytest.approx(len(signal) / rate, abs=0.1)
    assert at_s == pytest.approx(starts_s[-1], abs=0.01)
