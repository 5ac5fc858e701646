"""Sentence ends: true ones found, false ones not, in all 23 languages of Chatterbox."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencex import segment

from chatter_nb.text import sentences as module
from chatter_nb.text.abbreviations import ABBREVIATIONS
from chatter_nb.text.chunking import split_chunks
from chatter_nb.text.sentences import sentences

# Sentences of each language: all but a last one of two hold ends that are none.
SENTENCES = {
    "ar": ["وصل د. أحمد مساء أمس.", "انظر ص. 45 من الكتاب.", "ثم ذهب إلى البيت."],
    "da": ["Den 1. Maj kom hr. Hansen hjem.", "Se s. 45 og bl.a. Oslo.", "Han gik hjem."],
    "de": [
        "Im 19. Jahrhundert war es anders.",
        "Der 1. FC gewann gegen Hrn. Meier, vgl. S. 45, Bd. 2.",
        "Obst, z. B. Äpfel, aß Ludwig XIV. König Karl nicht.",
        "Das war das Ende.",
        "Alle gingen.",
    ],
    "el": ["Ο κ. Παπάς ήρθε με τον Κ. Καβάφη.", "Βλ. σελ. 45 στο βιβλίο.", "Έφυγε νωρίς."],
    "en": [
        "See vol. 2 of it and ch. 4 too.",
        "It is approx. 5 km away.",
        "The book was ed. by Doe.",
        "On Wed. Jan. 5 he left.",
        "It was written by J. Smith, cf. Brown et al. 2019.",
        "He said no.",
        "So am I.",
        "At 5 p.m. Monday it is in the U.S. Army.",
        "That is all.",
    ],
    "es": ["La Sra. Pérez vino con el Excmo. Gómez.", "Véase pág. 45, vol. 2.", "Se fue pronto."],
    "fi": [
        "Toht. Virtanen tuli 1. Toukokuuta.",
        "Katso s. 45, esim. Kalevala.",
        "Hän lähti kotiin.",
    ],
    "fr": [
        "Hier, il a vu M. Dupont.",
        "Le Dr. Martin est venu avec Mme. Durand et J.-P. Sartre.",
        "Il vivait av. J.-C. en Gaule.",
        "Voir p. 45, p. ex. Paris.",
        "Il est parti.",
    ],
    "he": ["הסופר א. ב. יהושע כתב ספר.", "ראו עמ. 45 בספר של גב. כהן.", "הוא הלך הביתה."],
    "hi": ["डॉ. शर्मा और ए. पी. जे. कलाम आए।", "पृ. 45 देखिए।", "वे घर गए।"],
    "it": ["Il sig. Rossi e il dott. Bianchi vennero.", "Cfr. pag. 45, p. es. Roma.", "Poi partì."],
    "ja": [
        "「本当？」と彼は聞いた。",
        "これは Vol. 2 の話だ。",
        "「はい！」って言った。",
        "終わりだ。",
    ],
    "ko": ['"정말?"라고 그는 물었다.', "2024. 1. 5. 월요일이다.", "Dr. Kim이 왔다.", "그는 갔다."],
    "ms": ["En. Ahmad dan Pn. Siti datang.", "Lihat hlm. 45, jil. 2.", "Mereka pulang."],
    "nl": ["Dhr. Jansen en mevr. De Vries kwamen.", "Zie blz. 45, bijv. Parijs.", "Hij ging weg."],
    "no": ["Den 1. Divisjon vant mot hr. Olsen.", "Se s. 45, f.eks. Oslo.", "Han gikk hjem."],
    "pl": [
        "Ul. Długa to 1. Dywizja i p. Nowak.",
        "Zob. str. 45, np. Warszawa.",
        "Poszedł do domu.",
    ],
    "pt": ["O Sr. Silva e a Dra. Costa vieram.", "Ver pág. 45, p. ex. Lisboa.", "Depois partiu."],
    "ru": [
        "На ул. Ленина жил проф. Иванов.",
        "См. рис. 3, т. е. Москву.",
        "А. С. Пушкин ушёл.",
        "Да.",
    ],
    "sv": ["Den 1. Maj kom dr. Berg.", "Se s. 45, t.ex. Lund.", "Han gick hem."],
    "sw": ["Bw. Juma na Dkt. Asha walikuja.", "Taz. uk. 45 wa kitabu.", "Walienda nyumbani."],
    "tr": ["1. Dünya Savaşı ve Prof. Yılmaz.", "Bkz. s. 45, örn. Ankara.", "Eve gitti."],
    "zh": ["“真的吗？”他问。", "这是 Vol. 2 的内容。", "「走吧！」她笑着說。", "他们走了。"],
}
UNSPACED = ("ja", "zh")


def stripped(text: str, language: str, limit: int = 280) -> list[str]:
    return [sentence.strip() for sentence in sentences(text, language, limit)]


def test_every_language_of_chatterbox_has_its_list_and_its_sentences():
    languages = "ar da de el en es fi fr he hi it ja ko ms nl no pl pt ru sv sw tr zh"
    assert " ".join(sorted(ABBREVIATIONS)) == " ".join(sorted(SENTENCES)) == languages


@pytest.mark.parametrize("language", SENTENCES)
def test_sentences_end_where_they_do_and_nowhere_else(language):
    """No end after a title, a page, an ordinal or an initial, nor between a quote and its verb."""
    text = ("" if language in UNSPACED else " ").join(SENTENCES[language])
    assert stripped(text, language) == SENTENCES[language]


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("limit", [20, 45, 90])
def test_a_chunk_with_a_sentences_pause_ends_where_a_sentence_does(language, limit):
    space = "" if language in UNSPACED else " "
    text = space.join(SENTENCES[language] * 2)
    ends, at = set(), 0
    for sentence in SENTENCES[language] * 2:
        at += len(sentence) + len(space)
        ends.add(at)
    at = 0
    for chunk in split_chunks(text, chunk_chars=limit, language=language):
        at += len(chunk.text)
        assert chunk.pause_ms == 0 or at in ends


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("He cried “Halt!” and ran. “Stop!” she said. (see below) It was late.", "en"),
        ("— Стой! — сказал он. Да.", "ru"),
        ("— ¡Alto! —dijo él. Sí.", "es"),
        ("„Halt!“ rief er. Ja.", "de"),
        ("Qui ? demanda-t-il. Oui.", "fr"),
    ],
)
def test_no_sentence_begins_with_a_small_letter(text, language):
    for sentence in stripped(text, language):
        assert not sentence.lstrip("“(—-„ ")[0].islower()


def test_a_text_without_capitals_has_sentences_all_the_same():
    assert stripped("hello there. how are you? i am fine.", "en") == [
        "hello there.",
        "how are you?",
        "i am fine.",
    ]


def test_an_end_that_may_be_none_counts_where_the_sentence_would_be_too_long():
    """A year's "r." ends a sentence as often as not: another end is preferred."""
    first, second, last = "Urodził się w 1901 r.", "Potem uczył.", "Tak."
    text = f"{first} {second} {last}"
    assert stripped(text, "pl", 40) == [f"{first} {second}", last]
    assert stripped(text, "pl", 25) == [first, second, last]


@pytest.mark.parametrize("language", ["zh-CN", "ZH_tw", "de-AT", "xx"])
def test_a_region_or_an_unknown_language_is_no_obstacle(language):
    first = {
        "z": ["“真的吗？”他问。", "走吧。"],
        "d": ["Vgl. Bd. 2.", "Ja."],
        "x": ["It is so.", "Yes."],
    }
    expected = first[language[0].lower()]
    assert stripped(" ".join(expected), language) == expected


QUOTES = st.sampled_from(["“", "”", "`", "'", '"', "「", "」", "„", "«", "»", "’"])
WORDS = st.sampled_from(
    [
        "a",
        "B.",
        "z. B. ",
        "19. ",
        "vol. 2 ",
        "Yes! ",
        "no. ",
        "と",
        "说。",
        "。",
        "？",
        " ",
        "-",
        "usw. ",
    ]
)


@settings(max_examples=400)
@given(
    parts=st.lists(st.one_of(QUOTES, WORDS, st.text(max_size=5)), max_size=60),
    language=st.sampled_from(sorted(SENTENCES)),
    limit=st.integers(0, 90),
    bound=st.integers(5, 60),
)
def test_no_character_is_lost(parts, language, limit, bound):
    """Nor where a text is read in pieces, at whatever bounds."""
    text = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_PIECE_CHARS", bound)
        patch.setattr(module, "MAX_PIECE_QUOTES", bound // 3)
        found = sentences(text, language, limit)
    assert "".join(found) == text
    assert all(found)


def test_a_long_paragraph_has_the_same_sentences_in_pieces():
    """Each piece begins where a sentence does: nothing depends on where the bounds fall."""
    text = " ".join(
        f"Mr. A. Smith said “Well, {n} it is. Or is it?” and left. It’s {n} p.m. Then she (the "
        f"other. One.) came at No. {n}!"
        for n in range(700)
    )
    assert len(text) > 7 * module.MAX_PIECE_CHARS
    expected = segment("en", text)
    assert [part.strip() for part in expected] == stripped(text, "en")


def test_the_calls_of_sentencex_are_bounded(monkeypatch):
    """It takes the square of the number of quotes in what it is given."""
    lengths = []

    def watched(language, text):
        lengths.append((len(text), text.count("“")))
        return segment(language, text)

    monkeypatch.setattr(module, "segment", watched)
    for text in ("“" * 20_000, "“a " * 9_000, "word " * 9_000, "Yes. “" + "no. " * 9_000):
        lengths.clear()
        assert "".join(sentences(text, "en")) == text
        assert all(chars <= module.MAX_PIECE_CHARS for chars, _ in lengths)
        assert all(quotes <= module.MAX_PIECE_QUOTES for _, quotes in lengths)
        assert sum(chars for chars, _ in lengths) <= 3 * len(text)
