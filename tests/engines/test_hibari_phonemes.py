"""IPA and ARPABET become what hibari's model is given for the same word of its own dictionary."""

import gzip
import json
from pathlib import Path

import hibari
import numpy as np
import pytest
from hibari import Hibari

from chatter_nb.base.errors import InputError
from chatter_nb.engines.hibari_phonemes import mark, of_arpabet, of_ipa

# As Wiktionary writes American English; a letter of hibari's that is not here is IPA already.
IPA = {"A": "eɪ", "I": "aɪ", "O": "oʊ", "W": "aʊ", "Y": "ɔɪ", "ʤ": "d͡ʒ", "ʧ": "t͡ʃ", "ɹ": "ɹ"}
IPA |= {"ᵊl": "l̩", "ᵊn": "n̩", "ɜɹ": "ɝ", "əɹ": "ɚ", "i": "iː", "u": "uː", "ɑ": "ɑː", "ɡ": "g"}
VOWELS = set("AIOWYɑæəɛɜɪiɔʊuʌᵊᵻ")


@pytest.fixture(scope="module")
def dictionary():
    data = (Path(hibari.__file__).parent / "assets" / "lexicon_us_gold.json.gz").read_bytes()
    words = json.loads(gzip.decompress(data))
    return {word: said for word, said in words.items() if isinstance(said, str)}


def as_written(phonemes):
    """IPA with the stress before the syllable's consonants, where dictionaries have it."""
    sounds = []
    for char in phonemes:
        if char in "ˈˌ":
            onset = 0
            while onset < len(sounds) and sounds[-1 - onset] not in VOWELS | {"ɹ", "l", "n"}:
                onset += 1
            sounds.insert(len(sounds) - onset, char)
        else:
            sounds.append(char)
    text = "".join(sounds)
    for own, ipa in sorted(IPA.items(), key=lambda pair: -len(pair[0])):
        text = text.replace(own, ipa)
    return text


def test_ipa_of_500_dictionary_words_is_the_models_own_input(dictionary):
    words = np.random.default_rng(22).choice(sorted(dictionary), 500, replace=False)
    wrong = [w for w in words if of_ipa(as_written(dictionary[w])) != dictionary[w]]
    assert len(wrong) <= 10, wrong


def test_the_mark_is_what_the_model_is_given(dictionary):
    """hibari's own reader passes marked phonemes on as they are."""
    speaker = Hibari()
    assert list(speaker.phonemize(mark("Siobhan", of_ipa("/ʃɪˈvɔːn/"), "'s") + " cat")) == [
        "ʃɪvˈɔnz kˈæt"
    ]


@pytest.mark.parametrize(
    ("ipa", "arpabet", "phonemes"),
    [
        ("/ʃɪˈvɔːn/", "SH IH0 V AO1 N", "ʃɪvˈɔn"),
        ("[ˈwɝld]", "W ER1 L D", "wˈɜɹld"),
        ("ˈt͡ʃɛər.mən", "CH EH1 AXR M AX N", None),
        ("ˈbʌtɚ", "B AH1 T ER0", "bˈʌtəɹ"),
        ("həˈloʊ", "HH AH0 L OW1", "həlˈO"),
    ],
)
def test_both_alphabets_say_the_same(ipa, arpabet, phonemes):
    if phonemes:
        assert of_ipa(ipa) == of_arpabet(arpabet) == phonemes
    else:
        assert of_ipa(ipa) == "ʧˈɛəɹmən"


@pytest.mark.parametrize(
    ("phonemes", "added"), [("bˈʌs", "ᵻz"), ("kˈæt", "s"), ("dˈɔɡ", "z"), ("bˈi", "z")]
)
def test_a_possessive_sounds_as_after_this_sound(phonemes, added):
    assert mark("Xy", phonemes, "’s") == f"[Xy’s](/{phonemes}{added}/)"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: of_ipa("ʃɪ中"), "ipa 'ʃɪ中': '中' (cjk unified ideograph-4e2d) is no sound"),
        (lambda: of_ipa("ʃt"), "ipa 'ʃt' has no vowel"),
        (lambda: of_arpabet("SH QQ1"), "arpabet 'SH QQ1': 'QQ1' is not among AA AE"),
    ],
)
def test_what_is_no_sound_is_named(call, told):
    with pytest.raises(InputError) as caught:
        call()
    assert told in str(caught.value)
