"""Cuts: in every script nothing is lost, and nothing parted that belongs together."""

import re
import unicodedata
from itertools import accumulate, chain, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.cuts import TAG, cut, parted
from chatter_nb.text.pace import chars_per_s, chunk_limit

# A paragraph of each, sentence by sentence, written for these tests.
SENTENCES = {
    "zh": [
        "春天来了，湖边的柳树发出了新芽，几只鸭子在水面上慢慢地游着。",
        "老人放下手里的书，对孩子说：“你看，燕子又回来了！”",
        "孩子抬起头问：“它们从哪里来？路上要飞多少天？”",
        "没有人回答……只有风从水面上轻轻地吹过；远处的山，还留着2024年冬天的雪。",
    ],
    "ja": [
        "春の朝、彼女は窓を大きく開けて、庭の桜をながめていた。",
        "「おはよう。今日はいい天気ですね」と、となりの老人が声をかけた。",
        "ちょっと待ってください、すぐに行きますから！",
        "ふたりはコーヒーを飲みながら、遠い国へ旅立った友だちのことを、夕方まで話していた。",
    ],
    "ko": [
        "오늘은 아침부터 날씨가 맑아서 우리는 강가로 산책을 나갔다. ",
        "물 위에는 오리 세 마리가 떠 있었다! ",
        "너도 다음에 같이 갈래? ",
        "그러면 도시락을 싸서, 나무 그늘에 앉아, 천천히 먹자.",
    ],
    "th": [  # a space ends a phrase or a sentence; no mark tells which
        "วันนี้อากาศดีมาก เราจึงออกไปเดินเล่นที่ริมแม่น้ำตั้งแต่เช้า เด็ก ๆ วิ่งเล่นกันอย่างสนุกสนานใต้ต้นไม้ใหญ่ "
        "น้ำใสจนมองเห็นปลาตัวเล็กว่ายไปมา แล้วฝนก็ค่อย ๆ ตกลงมา เราเลยรีบกลับบ้านก่อนที่จะเปียกกันทุกคน",
    ],
    "hi": [
        "आज सुबह मौसम बहुत अच्छा था। ",
        "हम सब नदी के किनारे टहलने गए, और वहाँ हमने रंग-बिरंगे पक्षी देखे। ",
        "क्या तुम भी कल हमारे साथ चलोगे? ",
        "विद्यार्थियों के लिए यह यात्रा हमेशा याद रहेगी॥",
    ],
    "ar": [
        "كان الجو جميلا هذا الصباح، فخرجنا نمشي على ضفة النهر. ",
        "هل تأتي معنا غدا؟ ",
        "سنأخذ الخبز والجبن والتمر؛ ثم نجلس تحت الشجرة الكبيرة، ونحكي الحكايات حتى المساء!",
    ],
}
PARAGRAPHS = {language: "".join(sentences) for language, sentences in SENTENCES.items()}
# Of Unicode's Thai block: vowels and signs that are written after, above or below a consonant.
THAI_TAIL = set("ะัาำิีึืฺุู็่้๊๋์ํ๎ๅๆฯ")
THAI_HEAD = set("เแโใไ")
SMALL_KANA = set("ぁぃぅぇぉっゃゅょァィゥェォッャュョー")
CLOSING = set("，、；：。！？”’」』）")


def chunk_texts(text: str, limit: int, language: str = "en") -> list[str]:
    """The chunks' texts, after what every list of chunks must keep to."""
    chunks = split_chunks(clean(text), chunk_chars=limit, language=language)
    assert "".join(chunk.text for chunk in chunks) == unicodedata.normalize("NFC", text)
    assert all(len(chunk.text.strip()) <= limit for chunk in chunks)
    return [chunk.text for chunk in chunks]


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_end_at_each_scripts_own_marks(language):
    """With room for the longest sentence, every chunk is one or more whole sentences."""
    limit = max(len(sentence.rstrip()) for sentence in SENTENCES[language])
    ends = set(accumulate(map(len, SENTENCES[language])))
    texts = chunk_texts(PARAGRAPHS[language], limit, language)
    assert set(accumulate(map(len, texts))) <= ends
    assert len(texts) > 1 or len(ends) == 1


def test_thai_is_cut_at_the_spaces_between_its_phrases():
    """Where phrases fit; the sign that repeats a word keeps to its word all the same."""
    texts = chunk_texts(PARAGRAPHS["th"], 60, "th")
    assert len(texts) > 3
    assert all(text.endswith(" ") for text in texts[:-1])


@pytest.mark.parametrize("language", PARAGRAPHS)
@pytest.mark.parametrize("limit", range(20, 90, 3))
def test_every_script_is_cut_without_parting_what_belongs_together(language, limit):
    """No accent, vowel or tone mark without its letter, no closing mark at a beginning."""
    texts = chunk_texts(PARAGRAPHS[language], limit, language)
    for before, after in pairwise(texts):
        assert not unicodedata.category(after[0]).startswith("M")
        assert unicodedata.combining(before[-1]) != 9  # a virama ties the next consonant
        assert after[0] not in THAI_TAIL | SMALL_KANA | CLOSING
        assert before[-1] not in THAI_HEAD
        assert not (before[-1].isdigit() and after[0] in "0123456789年")


@pytest.mark.parametrize("language", ["ko", "hi", "ar"])
@pytest.mark.parametrize("limit", range(20, 90, 3))
def test_scripts_with_spaces_are_cut_at_them(language, limit):
    texts = chunk_texts(PARAGRAPHS[language], limit, language)
    assert all(text.endswith(" ") for text in texts[:-1])


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        ("湖边的柳树发出了新芽，", "几只鸭子在水面上慢慢地游着"),
        ("“燕子从南方飞回来了，”", "孩子笑着点了点头又跑开了"),
        ("没有人回答他提出的问题……", "只有风从水面上轻轻吹过"),
    ],
)
def test_clause_marks_are_preferred_to_places_between_characters(first, rest):
    """The quote that a clause closes stays with it; an ellipsis is a clause's end too."""
    assert chunk_texts(first + rest, 20, "zh") == [first, rest]


def test_without_any_mark_the_parts_are_of_about_equal_length():
    """Not twenty characters and a stump of one; and no small kana at a beginning."""
    assert [len(part) for part in chunk_texts("春" * 21, 20, "zh")] in ([10, 11], [11, 10])
    first, second = chunk_texts("ああああああああああしゃああああああああああ", 20, "ja")
    assert (first[-1], second[0]) in {("あ", "し"), ("ゃ", "あ")}


def test_a_latin_word_or_a_number_inside_stays_whole():
    """ "2024年" is read with its counter, and a name is no row of letters."""
    text = "我们在2024年第一次听到了Chatterbox说出来的中文句子感到非常高兴"
    for limit in range(20, 40):
        joined = "|".join(chunk_texts(text, limit, "zh"))
        assert "2024年" in joined
        assert "Chatterbox" in joined


def test_one_early_space_is_no_place_to_cut_where_words_have_none():
    first, _ = chunk_texts("第一 湖边的柳树发出了新芽几只鸭子在水面上慢慢地游", 20, "zh")
    assert len(first) > 8


@pytest.mark.parametrize("limit", range(15, 60, 3))
def test_a_quote_keeps_the_particle_that_follows_it(limit):
    """「…」と is one phrase: neither a pause nor a cut falls between."""
    text = (
        "「今日はとても良い天気ですね！」と言いながら彼は外へ「さようなら」って出て行ったのです" * 2
    )
    parts = list(cut(text, limit))
    assert len(parts) > 1
    assert not any(part.endswith("」") for part in parts)


TAGS = st.sampled_from(["[laugh]", "[sigh]", "[clear throat]", "[gasp]", "[Rire Doux]", "[咳嗽]"])
AROUND = st.sampled_from(
    [
        "And then,",
        "he went.",
        "So!",
        "春天来了。",
        "x" * 25,
        "漢字",
        "ที่ริมแม่น้ำ",
        "“Oh?”",
        "…",
        "—",
        "1.",
    ]
)


@settings(max_examples=1500)
@given(
    pieces=st.lists(st.one_of(TAGS, AROUND, st.sampled_from([" ", ""])), max_size=40),
    limit=st.integers(20, 90),
)
def test_a_tag_is_never_cut(pieces, limit):
    """As many whole tags in the chunks as in the text, whatever stands around them."""
    text = re.sub(r" +", " ", "".join(pieces)).strip()
    inside = [TAG.findall(part) for part in chunk_texts(text, limit)]
    assert list(chain(*inside)) == TAG.findall(text)


@pytest.mark.parametrize("limit", range(20, 60))
def test_a_tag_within_one_long_sentence_stays_whole(limit):
    """Neither its space nor its letters are a place to cut, at any distance."""
    text = (
        "so she said it [clear throat] once more and " * 6 + "x" * 70 + "[clear throat]" + "y" * 9
    )
    assert sum(part.count("[clear throat]") for part in chunk_texts(text, limit)) == 7


def test_a_tag_alone_is_no_part_of_a_sentence():
    """An engine says it best with the words around it."""
    text = "He stopped [sigh]. [laugh] And then he went. Yes."
    assert chunk_texts(text, 20) == ["He stopped [sigh]. ", "[laugh] And ", "then he went. Yes."]


def test_brackets_that_are_no_tag_are_text():
    """A long aside, or one with figures or marks, is cut like any other."""
    for aside in ("[" + "a word " * 8 + "]", "[12 and 13 and 14 and 15]", "[a, b, c, d, e, f, g]"):
        assert not TAG.search(aside)
        assert len(chunk_texts(aside, 20)) > 1
    wide = "[" + "abcdefg " * 3 + "abcd]"  # a tag by its form, but over the limit
    assert TAG.fullmatch(wide)
    assert len(chunk_texts(wide, 20)) == 2


LETTERS = st.text("春来了ゃーっ、。ที่เแกำ क्षि한글aé\u0301 5🙂\u200d[]", max_size=120)


@settings(max_examples=1500)
@given(text=LETTERS, limit=st.integers(1, 60))
def test_parts_of_any_mixture_are_within_the_limit_and_lose_nothing(text, limit):
    parts = list(cut(text, limit))
    assert "".join(parts) == text
    assert all(parts) or parts == [""]
    assert all(len(part.rstrip()) <= limit for part in parts)


def test_a_chunk_lasts_about_as_long_in_every_language():
    """What 280 Latin characters say takes 16 to 19 s; so do the fewer characters of the others."""
    for language in ("en", "fr", "zh", "ja", "ko", "th", "hi", "ar"):
        limit = chunk_limit(280, language)
        assert limit <= 280
        assert 16 < limit / chars_per_s(language) < 19


def test_a_limit_for_few_characters_keeps_room_for_a_phrase():
    assert chunk_limit(40, "zh") == 20
    assert chunk_limit(280, "zh") == 84
    assert chunk_limit(280, "fr") == chunk_limit(280, "en") == 280


def test_a_region_does_not_change_the_rate():
    assert chars_per_s("zh-CN") == chars_per_s("ZH_tw") == chars_per_s("zh")
    assert chars_per_s("xx") == 15.0


# -- words of many parts


@pytest.mark.parametrize(
    ("word", "spaced"),
    [
        ("well-known-" * 8, "well-known-well-known-well-known-well-known-well-known- "),
        ("a/" * 30, "a/a/a/a/a/a/a/a/a/a/ a/"),
        ("/" * 30, "//////////////////// //"),
        ("’s" * 30, "’s’s’s’s’s’s’s’s’s’s ’s"),
        ("a1" * 30, "a1a1a1a1a1a1a1a1a1a1 a1"),
        ("aB" * 30, "aBaBaBaBaBaBaBaBaBaBaBaBaBaBaBaBaBaBaBa B"),
        ("https://ab.cd/e/f/g/h/i/j/k?l=1&m=2", "https://ab.cd/e/f/g/h/i/j/ k?l=1&m=2"),
        ("e\u0301-" * 30, "e\u0301-" * 10 + " e\u0301-"),
    ],
)
def test_a_word_of_many_parts_has_spaces_for_the_voice(word, spaced):
    """After a hyphen or a slash where there is one; once, and no letter is lost."""
    assert parted(f"See {word}, he said.").startswith(f"See {spaced}")
    assert parted(word).replace(" ", "") == word
    assert parted(parted(word)) == parted(word)


@pytest.mark.parametrize(
    "text",
    [
        "a-" * 10,
        "mother-in-law " * 20,
        "." * 100,
        "-" * 100,
        "_" * 100,
        "* " * 100,
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        "你好，世界。「本当？」と、" * 20,
        "สวัสดีครับ" * 20,
        "नमस्ते" * 20,
        "مرحبا،" * 3,
        "555-0123-4567-8901",
        "https://www.example.org/path/page.html",
    ],
)
def test_other_words_stay_as_they_are(text):
    """Rules and leaders, long words, scripts without spaces, ordinary addresses and numbers."""
    assert parted(text) == text


def test_long_sentences_are_cut_without_being_copied():
    """Each part copied what follows it: the square of the length."""
    copied = []

    class Counted(str):
        def __getitem__(self, place):
            part = super().__getitem__(place)
            copied.append(len(part))
            return part

    assert "".join(cut(Counted("word " * 4_000), 20)) == "word " * 4_000
    assert sum(copied) < 10 * 20_000


def test_no_word_stands_alone_before_one_that_is_cut():
    """ "See https://…": the address has to be cut anyway, at its joints and not in its parts."""
    address = "https://example.com/" + "abc/" * 100
    first, *_, last = cut(f"See {address}for more.", 280)
    assert first.startswith("See https:")
    assert first.endswith("/")
    assert last.endswith("for more.")
    first, *_ = cut("See " + "a" * 300 + " now.", 280)
    assert len(first) == 280
    assert next(cut("To internationalization of it", 20)) == "To "  # the word fits alone
