"""Text files: each read or refused by name; encodings found; Markdown said as by a reader."""

import re
from pathlib import Path

import pytest

from chatter_nb.base.errors import InputError
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.files import merge_sources, natural_key, read_sources
from chatter_nb.text.line import CHAPTER_BREAK
from chatter_nb.text.markdown import markdown_to_text

FRENCH = "Le café était fermé, dit-il; une façade naïve. " * 3


def test_a_folder_is_read_in_natural_order(tmp_path):
    """2 before 10, whatever the case, both suffixes, nothing hidden."""
    for name in ("part 10.txt", "Part 2.md", "part 1.txt", ".hidden.txt", "notes.odt"):
        (tmp_path / name).write_text(f"This is {name}.")
    sources = read_sources(tmp_path)
    assert [s.name for s in sources] == ["part 1", "Part 2", "part 10"]
    assert "passed over notes.odt: no text files (.txt" in sources[0].note
    assert not any(source.note for source in sources[1:])


def test_natural_key_orders_mixed_names():
    names = ["b", "10", "9", "a10", "a9", "A1", "²"]
    assert sorted(names, key=natural_key) == ["9", "10", "A1", "a9", "a10", "b", "²"]


def test_merged_files_are_chapters(tmp_path):
    """The chapter pause lies between files, and nothing of any is lost."""
    (tmp_path / "1.txt").write_text("One.")
    (tmp_path / "2.txt").write_text("Two.\n")
    chunks = split_chunks(
        clean(merge_sources(read_sources(tmp_path), "speech", "").text), chapter_pause_ms=9
    )
    assert [(c.text, c.pause_ms) for c in chunks] == [("One. ", 9), ("Two.", 0)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_encodings_need_no_guess(tmp_path, encoding):
    """A byte-order mark is understood and does not reach the text."""
    (tmp_path / "a.txt").write_bytes(FRENCH.encode(encoding))
    (source,) = read_sources(tmp_path / "a.txt")
    assert (source.text, source.note) == (FRENCH, "")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", FRENCH),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy. " * 3),
        ("cp1254", "Şimdi İstanbul'da güneş doğuyor, çocuklar ığdır. " * 3),
        ("cp1251", "Привет, это проверка текста на русском языке. " * 3),
        ("shift_jis", "これは日本語のテキストです。元気ですか。" * 3),
        ("gb18030", "这是一个中文文本。你好吗？" * 3),
    ],
)
def test_another_encoding_is_detected_and_reported(tmp_path, encoding, text):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    (source,) = read_sources(tmp_path / "a.txt")
    assert source.text == text
    assert "a.txt is not UTF-8; read as" in source.note


def test_a_stray_byte_does_not_garble_a_utf8_text(tmp_path):
    """One Windows apostrophe in a text of UTF-8: only that byte is read otherwise, and told."""
    (tmp_path / "a.txt").write_bytes("naïve — “quoted” ".encode() * 5 + b"it\x92s")
    (source,) = read_sources(tmp_path / "a.txt")
    assert source.text.endswith("naïve — “quoted” it’s")
    assert source.note == "a.txt: 1 bytes are not UTF-8, the first at byte 122; read as cp1252"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"  \n\t ", "nothing to speak"),
        (b"?! ... --", "nothing to speak"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xfe", "is binary"),
        (b"plain\x00text", "is binary"),
    ],
)
def test_a_file_that_cannot_be_spoken_is_refused_by_name(tmp_path, data, told):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.txt .*{told}|{told}.*a\.txt"):
        read_sources(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("page.xml", "<p>Hello there.</p>", "a .xml file"),
        ("page.txt", "<html><body><h1>Title</h1><p>Hello there.</p></body></html>", "HTML"),
        ("page.md", "\ufeff\n<!DOCTYPE html>\n<p>Hello.</p>", "HTML"),
        ("letter.txt", r"{\rtf1\ansi Hello there.}", "RTF"),
        ("feed.txt", '<?xml version="1.0"?><rss>Hello</rss>', "XML"),
        ("film.txt", "1\n00:00:01,000 --> 00:00:02,500\nHello.\n", "subtitles"),
        ("film.srt", "Hello.", "a .srt file"),
        ("paper.txt", "%PDF-1.7 Hello", "PDF"),
        ("book.txt", "PK\x03\x04 mimetypeapplication/epub+zip", "a zip archive"),
        ("BOOK.MOBI", "Hello.", "a .mobi file"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_what_can_be_read(tmp_path, name, content, kind):
    """Its markup would be read aloud; the name or the beginning tells."""
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=rf"{name} is {re.escape(kind)}.*\.txt.*\.md"):
        read_sources(tmp_path / name)


@pytest.mark.parametrize("name", ["a.markdown", "a.mdown", "a.MKD"])
def test_markdown_has_several_suffixes(tmp_path, name):
    (tmp_path / name).write_text("# Title\n\nSome *words*.")
    (source,) = read_sources(tmp_path)
    assert (source.text, source.is_marked) == ("Title\n\nSome words.", True)


@pytest.mark.parametrize("name", ["notes", "Chapter 1. The Road", "a.log", "a.text"])
def test_plain_text_may_have_any_other_name(tmp_path, name):
    (tmp_path / name).write_text("It was <b>so</b> and 1 < 2.")
    (source,) = read_sources(tmp_path / name)
    assert (source.text, source.is_marked) == ("It was <b>so</b> and 1 < 2.", False)


def test_the_sign_between_merged_files_is_no_character_of_theirs(tmp_path):
    """A file separator or a form feed in a file is white space."""
    (tmp_path / "1.txt").write_text("One \x1c and\fthe same.\f")
    (tmp_path / "2.txt").write_text("\fTwo.")
    chunks = split_chunks(
        clean(merge_sources(read_sources(tmp_path), "speech", "").text), chapter_pause_ms=9
    )
    assert [(c.spoken, c.pause_ms) for c in chunks] == [("One and the same.", 9), ("Two.", 0)]


@pytest.mark.parametrize(
    "markdown",
    [
        "".join("  " * level + f"- w{level}\n" for level in range(40)),
        "> " * 40 + "w39",
        "".join("> " * level + f"w{level}\n\n" for level in range(1, 40)),
        "".join("   " * level + f"1. w{level}\n" for level in range(40)),
    ],
)
def test_deep_markdown_keeps_its_words(markdown):
    words = re.findall(r"w\d+", markdown)
    assert re.findall(r"w\d+", markdown_to_text(markdown)) == words


@pytest.mark.parametrize(
    "markdown",
    ["".join("  " * level + f"- w{level}\n" for level in range(60)), "> " * 120 + "word"],
)
def test_deeper_markdown_is_refused(tmp_path, markdown):
    """The parser would leave out the words."""
    (tmp_path / "a.md").write_text("Some text.\n\n" + markdown)
    with pytest.raises(InputError, match=r"a\.md: Markdown's lists .* more than 49 deep"):
        read_sources(tmp_path)


def test_every_bad_file_of_a_folder_is_named_at_once(tmp_path, monkeypatch):
    """None is skipped in silence, an unreadable one neither."""
    (tmp_path / "1.txt").write_bytes(b"")
    (tmp_path / "2.txt").write_text("Fine.")
    (tmp_path / "3.txt").write_text("Locked.")
    read = Path.read_bytes

    def locked(path):
        if path.name == "3.txt":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", locked)
    with pytest.raises(InputError, match=r"(?s)1\.txt is empty.*3\.txt: Permission denied"):
        read_sources(tmp_path)


def test_a_text_given_as_a_file_name_is_told_not_thrown(tmp_path):
    with pytest.raises(InputError, match=r"cannot read text file .* a long.*too long"):
        read_sources(tmp_path.parent / ("It was a long text " * 30))


def test_missing_places_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt does not exist"):
        read_sources(tmp_path / "nowhere.txt")
    with pytest.raises(InputError, match=r"holds no text file \(\.txt .*\.md"):
        read_sources(tmp_path)


def test_markdown_is_read_as_a_reader_would():
    """Markup and link targets go, every word and pause mark stays, headings begin chapters."""
    text = markdown_to_text(
        "# Title\n\nSome *em* [link](http://x.y) `code` [pause 1s].\n\n## Two\n\n- a\n- b\n\n"
        "<b>bold</b> &amp; [12]\n\n```\nx = 1\n```\n"
    )
    assert text.split("\n\n") == [
        "Title",
        "Some em link code [pause 1s].",
        CHAPTER_BREAK,
        "Two",
        "a",
        "b",
        "bold & [12]",
        "x = 1\n",
    ]


@pytest.mark.parametrize(
    ("markdown", "read"),
    [
        ("```\nvector<int> x; if (a <b && c> d)\n```", "vector<int> x; if (a <b && c> d)"),
        ("Use List<String> here", "Use List<String> here"),
        ("a <b and c> d", "a <b and c> d"),
        ("one<br>two <i class='x'>three</i>", "one two three"),
        ("1984. It was a bright day.", "1984. It was a bright day."),
        ("2. Second\n3. Third", "2. Second 3. Third"),
        ("[note]: important", "[note]: important"),
        ("See [x].\n\n[x]: http://a.b/c", "See x."),
        ("Text[^1].\n\n[^1]: Foot.", "Text[^1]. [^1]: Foot."),
        ("---\ntitle: X\n---\nHello", "Hello"),
        ("---\r\ntitle: X\r\ntags:\r\n  - a\r\n---\r\nHello", "Hello"),
        ("---\n\nIt was a dark night.\n\n---\n\nThen day.", "It was a dark night. Then day."),
        ("He was born in\n\n1986.\n", "He was born in 1986."),
        ("1. - foo\n2. - bar", "1. foo 2. bar"),
        ("[Time]: 12:30", "[Time]: 12:30"),
        ("[Bob]: No...yes", "[Bob]: No...yes"),
        ("~~~ Then he left", "Then he left"),
        ("```python\nx\n```", "x"),
        ("Use <code> and <i> tags", "Use <code> and <i> tags"),
        ("| a | b |\n|---|---|\n| 1 | 2 | three |", "a, b 1, 2, three"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b 1, 2"),
    ],
)
def test_markdown_loses_no_word(markdown, read):
    """Only markup, link targets and front matter are left out."""
    assert " ".join(markdown_to_text(markdown).split()) == read
