"""A lexicon: how words are to be said. People write it in YAML, other programs in PLS (W3C 1.0).

In YAML a line is `Siobhan: Shivawn`, or `word:` has some of `say ipa arpabet language engine case
forms note`. What a voice makes of an entry is not known here.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from lxml import etree

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError, ParamError, Problems, shown
from chatter_nb.base.project import parse_yaml
from chatter_nb.text.chunking import composed
from chatter_nb.text.parsers import STRICT
from chatter_nb.text.replacing import Rule

_PLS = "http://www.w3.org/2005/01/pronunciation-lexicon"
_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_X_SAMPA_TEXT = (  # a sign and its IPA; other letters are the same in both
    r"@ ə { æ 3 ɜ A ɑ Q ɒ O ɔ V ʌ I ɪ U ʊ E ɛ 6 ɐ 1 ɨ } ʉ 2 ø 9 œ Y ʏ M ɯ 7 ɤ 8 ɵ T θ D ð S ʃ Z ʒ "
    r'N ŋ r\ ɹ R ʁ 4 ɾ 5 ɫ ? ʔ J ɲ C ç X χ G ɣ B β L ʎ p\ ɸ v\ ʋ W ʍ h\ ɦ @` ɚ 3` ɝ " ˈ % ˌ : ː '
    "= \u0329 ~ \u0303 _~ \u0303 _h ʰ"
)
_X_SAMPA = _X_SAMPA_TEXT.split()
_IPA = dict(zip(_X_SAMPA[::2], _X_SAMPA[1::2], strict=True)) | {"-": ""}
_X_SAMPA_SIGN = re.compile("|".join(sorted(map(re.escape, _IPA), key=len, reverse=True)))
MAX_BYTES = 16_000_000  # CMU's dictionary of 134,000 words has 4 MB
_FORMS = ("all", "exact")


@dataclass(frozen=True)
class Entry:
    """A word, and how it is said: in other letters (`say`), or in phonemes (`ipa`, `arpabet`).

    `language` and `engine` limit it to these ("en" is also "en-GB", and "en-GB" "en"). `case`:
    whether it holds only as it is written; None: only if it has a capital. `forms: exact` leaves
    possessive and plural.
    """

    word: str
    say: str = ""
    ipa: str = ""
    arpabet: str = ""
    language: str = ""
    engine: str = ""
    case: bool | None = None
    forms: str = "all"
    note: str = ""

    def holds(self, engine: str, language: str) -> bool:
        """Whether it is for this engine and language."""
        mine = self.language.lower()
        asked = language.lower()
        is_language = f"{asked}-".startswith(f"{mine}-") or f"{mine}-".startswith(f"{asked}-")
        return (is_language or not mine) and self.engine in ("", engine)

    def rule(self, said: Any) -> Rule:
        """The rule that finds the word, and says it so."""
        is_any = self.word == self.word.lower() if self.case is None else not self.case
        return Rule(self.word, said, is_any, self.forms == "all")


_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_NAMES = tuple(field.name for field in fields(Entry) if field.name != "word")


def read_lexicon(path: Path) -> list[Entry]:
    """The entries of a lexicon file, YAML or PLS. Raises `InputError` with every problem in it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"lexicon {path} has more than {MAX_BYTES // 1_000_000} MB: divide it")
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read lexicon {path}: {error.strerror}") from error
    if data.lstrip()[:1] == b"<":
        return list(read_pls(data, f"lexicon {path}", is_own=True))
    try:
        values = parse_yaml(data.decode("utf-8-sig"), where=f"lexicon {path}")
    except UnicodeDecodeError:
        raise InputError(f"lexicon {path} is not UTF-8 text: save it as UTF-8") from None
    except ParamError as error:
        raise InputError(str(error)) from error
    problems = Problems()
    entries = [problems.of(partial(_entry, word, value)) for word, value in values.items()]
    if problems.messages:
        raise InputError(f"lexicon {path}: " + "\n  ".join(problems.messages))
    return entries


def add_entries(path: Path, said: Mapping[str, str]) -> list[str]:
    """Put respellings by word into a YAML lexicon; returns a line for each.

    Comments and order stay; a word that is there already is said anew, at its place. A missing file
    is made; a kill leaves it as it was. Raises `InputError`.
    """
    new, text, told = dict[str, Any](), "", list[str]()
    if path.exists():
        read_lexicon(path)  # raises for what is wrong in it
        text = path.read_bytes().decode("utf-8-sig")
        if text.lstrip()[:1] == "<":
            raise InputError(f"lexicon {path} is PLS, which other programs write: name a YAML file")
        new = parse_yaml(text, where=f"lexicon {path}")
    written = {unicodedata.normalize("NFC", word): word for word in new}
    for entry in [_checked(Entry(word, say=say)) for word, say in said.items()]:
        word = written.get(entry.word, entry.word)
        told.append(f"{word}: {entry.say}" + (f", was {shown(new[word])}" if word in new else ""))
        text, new[word] = _with_line(text, word, entry.say), entry.say
    if (
        Problems().of(partial(parse_yaml, text, where="lexicon")) != new
    ):  # braces, an alias, the end of a document
        raise InputError(
            f"lexicon {path}: write it as `word: respelling` lines, which can be added"
        )
    write_whole(path, text.encode(), durable=True)
    return told


def _with_line(text: str, word: str, say: str) -> str:
    """The YAML with the line of a word, in the place of the word's entry, or at the end."""
    line = yaml.safe_dump({word: say}, allow_unicode=True, width=MAX_BYTES).rstrip("\n")
    newline = "\r\n" if "\r\n" in text else "\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if root else ():
        if key.value == word:
            while isinstance(value, yaml.MappingNode) and not value.flow_style:
                value = value.value[-1][1]
            return text[: key.start_mark.index] + line + text[value.end_mark.index :]
    apart = newline if text and not text.endswith("\n") else ""
    return f"{text}{apart}{line}{newline}"


def write_pls(entries: Iterable[Entry], path: Path, language: str) -> None:
    """Write entries as PLS 1.0, which has no word for engine, case, forms and note."""
    root = etree.Element(f"{{{_PLS}}}lexicon", nsmap={None: _PLS})
    root.attrib.update({"version": "1.0", "alphabet": "ipa", _LANG: language})
    for entry in entries:
        lexeme = etree.SubElement(root, f"{{{_PLS}}}lexeme")
        etree.SubElement(lexeme, f"{{{_PLS}}}grapheme").text = entry.word
        for name, alphabet in (("ipa", "ipa"), ("arpabet", "x-arpabet")):
            if value := getattr(entry, name):
                phoneme = etree.SubElement(lexeme, f"{{{_PLS}}}phoneme", alphabet=alphabet)
                phoneme.text = value
        if entry.say:
            etree.SubElement(lexeme, f"{{{_PLS}}}alias").text = entry.say
    text = etree.tostring(root, encoding="unicode", pretty_print=True)
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'
    write_whole(path, text.encode())


def _entry(word: str, value: Any) -> Entry:
    if isinstance(value, str):
        value = {"say": value}
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(word)}: {shown(value)} is no respelling: put it in quotes")
    for name, held in value.items():
        if name not in _NAMES:
            near = difflib.get_close_matches(str(name), _NAMES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_NAMES)}"
            raise InputError(f"{shown(word)}: unknown name {shown(name)}; {hint}")
        if not isinstance(held, bool if name == "case" else str):
            kind = "true or false" if name == "case" else "a text: put it in quotes"
            raise InputError(f"{shown(word)}: {name}: {shown(held)} must be {kind}")
    return _checked(Entry(word, **value))


def _checked(entry: Entry) -> Entry:
    """The entry in NFC. Raises `InputError` if it names no word, or no way to say it."""
    texts = {k: composed(v) for k, v in asdict(entry).items() if k != "case"}
    entry = Entry(**{name: " ".join(text.split()) for name, text in texts.items()}, case=entry.case)
    if not any(char.isalnum() for char in entry.word):
        raise InputError(f"{shown(entry.word)} has no letter: give a word")
    if not (entry.say or entry.ipa or entry.arpabet):
        raise InputError(f"{shown(entry.word)}: give say, ipa or arpabet")
    if entry.language and not _LANGUAGE.fullmatch(entry.language):
        given = f"language: {shown(entry.language)}"
        raise InputError(f"{shown(entry.word)}: {given} must be a code such as en or en-GB")
    if entry.forms not in _FORMS:
        raise InputError(f"{shown(entry.word)}: forms: {shown(entry.forms)} must be all or exact")
    return entry


def sounds_in(said: str, alphabet: str) -> dict[str, str]:
    """Phonemes of an alphabet (ipa, x-sampa, x-arpabet), as `Entry` has them; {} for others."""
    match alphabet.lower():
        case "" | "ipa":
            return {"ipa": said}
        case "x-sampa":
            return {"ipa": _X_SAMPA_SIGN.sub(lambda sign: _IPA[sign[0]], said)}
        case "x-arpabet" | "arpabet":
            return {"arpabet": said}
    return {}


def read_pls(
    data: bytes, where: str, language: str = "", *, is_own: bool = False
) -> Iterator[Entry]:
    """An entry for each way that PLS writes a word; of several ways to say it the first counts.

    `language` is that of a lexicon which names none; of one's own no word is left out. Raises
    `InputError` that begins with `where`.
    """
    try:
        root = etree.fromstring(data, STRICT)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(f"{where} is no XML: {error}") from None
    if etree.QName(root).localname != "lexicon":
        raise InputError(f"{where} is no PLS: its root is {etree.QName(root).localname}")
    usual, language = root.get("alphabet", "ipa"), root.get(_LANG, "") or language
    for lexeme in root.iter("{*}lexeme"):
        said: dict[str, Any] = {}
        unknown = ""
        for node in lexeme.iter("{*}phoneme", "{*}alias"):
            text = " ".join("".join(node.itertext()).split())
            is_alias = etree.QName(node).localname == "alias"
            alphabet = node.get("alphabet", usual)
            ways = {"say": text} if is_alias else sounds_in(text, alphabet)
            unknown = alphabet if text and not ways else unknown
            said = {**ways, **said} if text else said
        for grapheme in lexeme.iter("{*}grapheme"):
            word = " ".join("".join(grapheme.itertext()).split())
            if word and unknown and not said and is_own:
                cure = "ipa, x-sampa and x-arpabet are known"
                raise InputError(f"{where}: {word}: alphabet {shown(unknown)}: {cure}")
            if word and said:
                yield _checked(replace(Entry(word, language=language), **said))
