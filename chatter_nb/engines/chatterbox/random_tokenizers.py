"""Text tokenizers for random checkpoints: upstream's file names and sizes, a token a character.

The real vocabularies come with the weights. These cover the same alphabets: every text in the
project's tests can be encoded, only with other numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.text.markup import ACTED_TAGS

ENGLISH_SIZE = 704
MULTILINGUAL_SIZE = 2454  # by this number upstream's T3 knows that it is multilingual
GPT2_SIZE = 50257
START_ID, STOP_ID = 255, 0

# The real table has tens of thousands of entries; these show that it is used.
CANGJIE = """
日a 月b 金c 木d 水e 火f 土g 竹h 戈i 十j 大k 中l 一m 弓n 人o 心p 手q 口r 尸s 廿t 山u 女v 田w 卜y
明ab 林dd 森ddd 晶aaa 昌aa 朋bb 炎ff 圭gg 品rrr 呂rhr 回wr 好vnd 你onf 我hqi 他opd 她vpd 的hapi
是amyo 不mf 了nn 在klg 有kb 這yymr 來doo 到mgln 時agdi 個owjr 們oan 門an 上ym 下my 天mk 地gpd 年oq
生hqm 子nd 小nc 多nini 少fh 出uu 入oh 去gi 三mmm 二mm 四wc 五mdm 六yc 七ju 八ho 九kn 百ma 千hj
文yk 字jnd 言ymmr 語yrmmr 話yrhjr 說yrcru 書lga 國wirm 家jmso 學hbnd 校dyck 車jwj 馬sqsf 花top 草taj
雨mlby 電mbwu 石mr 河emnr 海eowy 江em 湖ejrb 王mg 玉mgi 白ha 黑wgf 紅vfm 青qmb 東dw 西mcw 南jbtj
北lmp 左km 右kr 早aj 今oin 安jv 友ke 父ck 兄rhu 妹vjd 愛bbpe 見buhu 走gyo 吃ron
"""
# How a token is found in a text: as it is written, anywhere.
_UNCHANGED = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
SPECIAL = ("[UNK]", "[SPACE]", "[PAD]", "[SEP]", "[CLS]", "[MASK]")


def write(folder: Path, model: str) -> None:
    """Write the tokenizer files of a model into its checkpoint folder."""
    if model == "chatterbox":
        _write_characters(folder / "tokenizer.json", _english(), ENGLISH_SIZE)
    elif model == "chatterbox-multilingual":
        path = folder / "grapheme_mtl_merged_expanded_v1.json"
        _write_characters(path, _multilingual(), MULTILINGUAL_SIZE, _multilingual_tags())
        codes = [f"{entry[0]}\t{entry[1:]}" for entry in CANGJIE.split()]  # upstream's layout
        _write_json(folder / "Cangjie5_TC.json", codes)
    else:
        _write_byte_level(folder)


def _english() -> list[str]:
    ascii_printable = _range(0x21, 0x7F)
    accented = [c for c in _range(0xC0, 0x180) if c not in "×÷"]
    return [*ascii_printable, *accented, *"¡¿£€°§"]


def _multilingual() -> list[str]:
    """Characters of texts after upstream's lower-casing and NFKD: letters and combining marks."""
    blocks = (
        (0x21, 0x7F),  # ASCII
        (0x300, 0x370),  # combining accents
        (0x3B1, 0x3CA),  # Greek
        (0x430, 0x460),  # Cyrillic
        (0x5B0, 0x5C8),  # Hebrew points and letters
        (0x5D0, 0x5EB),
        (0x60C, 0x670),  # Arabic letters, marks and digits
        (0x900, 0x980),  # Devanagari
        (0x1100, 0x1113),  # Hangul: initials, medials, finals
        (0x1161, 0x1176),
        (0x11A8, 0x11C3),
        (0x3001, 0x3003),  # ideographic comma and full stop
        (0x3008, 0x3012),  # CJK brackets
        (0x3041, 0x3097),  # hiragana
        (0x3099, 0x309B),  # combining voicing marks
        (0x30A1, 0x30FD),  # katakana
    )
    letters = [c for first, end in blocks for c in _range(first, end)]
    return [*letters, *"ßæøłđıœþðŋħəʻʼʾʿ", *"¡¿£€°§«»“”‘’„‚–—‐‑…·،؛؟।॥！，：；？（）"]


def _multilingual_tags() -> list[str]:
    languages = [f"[{code}]" for code in sorted(TTS_ENGINES["chatterbox-multilingual"].languages)]
    return languages + [f"[cj_{c}]" for c in "abcdefghijklmnopqrstuvwxyz.0123456789"]


def _write_byte_level(folder: Path) -> None:
    """Write GPT-2's files with 256 byte tokens and no merges: they encode any text without loss.

    Turbo adds its tags: 50276 tokens in all.
    """
    tokens = sorted(ByteLevel.alphabet())  # in the order of GPT-2's vocabulary
    tokens += [f"unused{number}" for number in range(GPT2_SIZE - 1 - len(tokens))]
    end = "<|endoftext|>"
    tags = {
        f"[{name.replace('_', ' ')}]": GPT2_SIZE + i for i, name in enumerate(ACTED_TAGS.split())
    }
    _write_json(folder / "vocab.json", {token: i for i, token in enumerate([*tokens, end])})
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    _write_json(folder / "added_tokens.json", tags)
    special = {"bos_token": end, "eos_token": end, "unk_token": end}
    _write_json(folder / "special_tokens_map.json", special)
    config: dict[str, object] = {
        "tokenizer_class": "GPT2Tokenizer",
        "model_max_length": 1024,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(number): {"content": token, "special": token == end, **_UNCHANGED}
            for token, number in ({end: GPT2_SIZE - 1} | tags).items()
        },
        **special,
    }
    _write_json(folder / "tokenizer_config.json", config)


def _range(first: int, end: int) -> list[str]:
    return [chr(code) for code in range(first, end)]


def _write_characters(
    path: Path, characters: Iterable[str], size: int, tags: Iterable[str] = ()
) -> None:
    """Write a tokenizer of single characters and bracketed tags; the rest becomes [UNK]."""
    added = ["[STOP]", "[START]", *SPECIAL, *tags]
    vocabulary = _number([*added, *dict.fromkeys(characters)], size)
    tokenizer = Tokenizer(BPE(vocabulary, [], unk_token="[UNK]"))  # no merges: each character
    tokenizer.add_special_tokens(added)
    tokenizer.save(str(path))


def _number(tokens: list[str], size: int) -> dict[str, int]:
    """Ids 0 to size − 1: stop and start as upstream has them, dummy tokens for unused ids."""
    fixed = {"[STOP]": STOP_ID, "[START]": START_ID}
    free = (number for number in count() if number not in fixed.values())
    dummies = [f"[unused_{number}]" for number in range(size - len(tokens))]
    others = [token for token in tokens if token not in fixed]
    return fixed | {token: next(free) for token in [*others, *dummies]}


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
