"""From phonemes as hibari writes them (misaki's alphabet) to those of the aligner's dictionary."""

from __future__ import annotations

# Longest first: a vowel and its "ɹ" are one sound in the dictionary.
_PAIRS = {"ɜɹ": "ER", "əɹ": "ER", "ɚ": "ER", "dʒ": "JH", "tʃ": "CH"}
_SOUNDS_TEXT = """
A:EY I:AY W:AW Y:OY O:OW Q:OW æ:AE a:AE ɑ:AA ɒ:AA ɔ:AO ɛ:EH ɜ:ER e:EH ɪ:IH ᵻ:IH i:IY o:OW u:UW
ʊ:UH ʌ:AH ə:AH ᵊ:AH b:B d:D f:F ɡ:G g:G h:HH j:Y k:K l:L m:M n:N ŋ:NG p:P ɹ:R r:R s:S ʃ:SH t:T T:D
ɾ:D ʔ:T θ:TH ð:DH v:V w:W z:Z ʒ:ZH ʤ:JH ʧ:CH
"""  # "T" and "ɾ" are flaps, as in "water"
_SOUNDS: dict[str, str] = dict(pair.split(":") for pair in _SOUNDS_TEXT.split())


def arpabet(phonemes: str) -> str:
    """The sounds of a word, spaces between; marks of stress and length are left out."""
    sounds, at = [], 0
    while at < len(phonemes):
        pair = phonemes[at : at + 2]
        if pair in _PAIRS:
            sounds.append(_PAIRS[pair])
            at += 2
            continue
        if phonemes[at] in _SOUNDS:
            sounds.append(_SOUNDS[phonemes[at]])
        at += 1
    return " ".join(sounds)
