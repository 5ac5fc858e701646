"""IPA and ARPABET in the phonemes that hibari was trained on, and the mark by which it says them.

Its alphabet (misaki's, Apache-2.0) is American: a letter for each diphthong and affricate, no
length, stress before the vowel and not before the syllable.
"""

from __future__ import annotations

import re
import unicodedata

from chatter_nb.base.errors import InputError, shown

_IPA_TEXT = (  # longer ones first where one begins another
    "eɪ:A ei:A aɪ:I ai:I aj:I oʊ:O əʊ:O ou:O aʊ:W au:W aw:W ɔɪ:Y oi:Y ɔj:Y tʃ:ʧ dʒ:ʤ ɝ:ɜɹ ɚ:əɹ "
    "əl̩:ᵊl l̩:ᵊl n̩:ᵊn m̩:ᵊm r:ɹ ɹ:ɹ ʁ:ɹ ɾ:ɾ g:ɡ ɫ:l ʍ:w x:k χ:k ç:h ɲ:nj ʎ:lj ʋ:v β:v ɸ:f ʔ:ʔ "
    "a:ɑ ɒ:ɑ ɐ:ə e:ɛ o:O ɨ:ᵻ y:u ø:ɜ œ:ɜ ɘ:ə ɵ:ʊ ɤ:ʌ ʉ:u"
)
_IPA = dict(pair.split(":") for pair in _IPA_TEXT.split())
_OWN = "AIOWYʤʧɑæəɛɜɪiɔʊuʌᵊᵻbdfhjklmnpstvwzðŋɡɹɾʃʒʔθ"
_VOWELS = "AIOWYɑæəɛɜɪiɔʊuʌᵊᵻ"
_ARPABET_TEXT = (
    "AA:ɑ AE:æ AH:ʌ AO:ɔ AW:W AY:I EH:ɛ ER:ɜɹ EY:A IH:ɪ IY:i OW:O OY:Y UH:ʊ UW:u AX:ə AXR:əɹ IX:ᵻ "
    "B:b CH:ʧ D:d DH:ð DX:ɾ F:f G:ɡ HH:h JH:ʤ K:k L:l M:m N:n NG:ŋ P:p R:ɹ S:s SH:ʃ T:t TH:θ V:v "
    "W:w Y:j Z:z ZH:ʒ EL:ᵊl EN:ᵊn"
)
_ARPABET = dict(pair.split(":") for pair in _ARPABET_TEXT.split())
_UNSTRESSED = {"AH": "ə", "ER": "əɹ"}
_STRESSES = {"0": "", "1": "ˈ", "2": "ˌ"}
_SILENT = re.compile(r"[\[\]/.\s‿()ːˑʰ\u035c\u0361\u0303\u031a\u032a\u032f]")
_SOUND = re.compile("|".join(sorted(map(re.escape, (*_IPA, *_OWN)), key=len, reverse=True)))
MARK = re.compile(r"\[([^\[\]]*)\]\(/[^()/]*/\)")
_HISSES, _VOICELESS = "szʃʒʧʤ", "ptkfθ"


def mark(word: str, phonemes: str, ending: str = "") -> str:
    """What hibari reads as these phonemes; `ending` is the word's, such as "'s"."""
    last = phonemes.rstrip("ˈˌ")[-1:]
    added = "ᵻz" if last in _HISSES else "s" if last in _VOICELESS else "z"
    return f"[{word}{ending}](/{phonemes}{added if ending else ''}/)"


def without_marks(text: str) -> str:
    """A text with the words of its marks, and not their phonemes."""
    return MARK.sub(r"\1", text)


def of_ipa(ipa: str) -> str:
    """IPA, as dictionaries write English, in hibari's phonemes. Raises `InputError`."""
    text = unicodedata.normalize("NFD", ipa.replace("'", "ˈ").replace(",", "ˌ"))
    text = unicodedata.normalize("NFC", _SILENT.sub("", text))
    sounds, stress, at = [], "", 0
    while at < len(text):
        if text[at] in "ˈˌ":
            stress, at = text[at], at + 1
            continue
        found = _SOUND.match(text, at)
        if not found:
            name = unicodedata.name(text[at], "?").lower()
            raise InputError(f"ipa {shown(ipa)}: {shown(text[at])} ({name}) is no sound of English")
        sound, at = _IPA.get(found[0], found[0]), found.end()
        is_vowel = sound[0] in _VOWELS
        sounds.append((stress if is_vowel else "") + sound)
        stress = "" if is_vowel else stress
    return _spoken("".join(sounds), f"ipa {shown(ipa)}")


def of_arpabet(arpabet: str) -> str:
    """ARPABET, as CMU's dictionary writes it ("SH IH0 V AO1 N"), likewise."""
    sounds = []
    for sign in arpabet.upper().split():
        name, stress = sign.rstrip("012"), sign[-1]
        sound = _UNSTRESSED.get(name) if stress == "0" else None
        sound = sound or _ARPABET.get(name)
        if sound is None:
            known = " ".join(_ARPABET)
            raise InputError(f"arpabet {shown(arpabet)}: {shown(sign)} is not among {known}")
        sounds.append(_STRESSES.get(stress, "") + sound)
    return _spoken("".join(sounds), f"arpabet {shown(arpabet)}")


def _spoken(phonemes: str, what: str) -> str:
    if not any(sound in _VOWELS for sound in phonemes):
        raise InputError(f"{what} has no vowel")
    return phonemes
