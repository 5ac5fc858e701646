"""The tokenizers of random checkpoints: upstream's sizes, every alphabet, nothing lost."""

import json

import pytest

pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.engines.chatterbox import random_tokenizers


@pytest.fixture
def english(tmp_path):
    from chatterbox.models.tokenizers import EnTokenizer

    random_tokenizers.write(tmp_path, "chatterbox")
    return EnTokenizer(str(tmp_path / "tokenizer.json"))


@pytest.fixture
def multilingual(tmp_path, monkeypatch):
    """Upstream's tokenizer asks the hub for a file that the folder has: not in a test."""
    from chatterbox.models.tokenizers import MTLTokenizer
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    random_tokenizers.write(tmp_path, "chatterbox-multilingual")
    return MTLTokenizer(str(tmp_path / "grapheme_mtl_merged_expanded_v1.json"))


def test_english(english):
    """704 tokens, upstream's special ids, characters one by one, unknown ones as [UNK]."""
    vocabulary = english.tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(704))
    assert (vocabulary["[START]"], vocabulary["[STOP]"]) == (255, 0)
    assert english.decode(english.encode("Café, naïve? Yes!")) == "Café, naïve? Yes!"
    assert english.encode("a漢b")[1] == vocabulary["[UNK]"]


MULTILINGUAL_TEXTS = {
    "ar": "مرحبا بالعالم",
    "de": "Grüße, Straße",
    "el": "Καλημέρα κόσμε",
    "he": "שלום עולם",
    "hi": "नमस्ते दुनिया",
    "ja": "こんにちは、カタカナ。",
    "ko": "안녕하세요",
    "pl": "Zażółć gęślą",
    "ru": "Привет, мир!",
    "tr": "İyi günler",
    "zh": "[cj_a][cj_b][cj_.]",
}


@pytest.mark.parametrize(("language", "text"), MULTILINGUAL_TEXTS.items())
def test_multilingual_knows_the_alphabet(multilingual, language, text):
    """Every supported script is in the vocabulary, behind its language's tag."""
    vocabulary = multilingual.tokenizer.get_vocab()
    ids = multilingual.encode(text, language_id=language)
    assert vocabulary["[UNK]"] not in ids
    assert ids[0] == vocabulary[f"[{language}]"]
    assert (len(ids) == 4) == (language == "zh")  # Cangjie tags are one token each


def test_multilingual_vocabulary(multilingual, tmp_path):
    """2454 tokens, by which upstream knows the model, a tag a language, and Cangjie's table."""
    from chatterbox.mtl_tts import SUPPORTED_LANGUAGES

    vocabulary = multilingual.tokenizer.get_vocab()
    assert sorted(vocabulary.values()) == list(range(2454))
    assert {f"[{code}]" for code in SUPPORTED_LANGUAGES} <= vocabulary.keys()
    table = json.loads((tmp_path / "Cangjie5_TC.json").read_text("utf-8"))
    codes = dict(entry.split("\t") for entry in table)
    assert len(codes) == len(table) >= 100
    assert codes["明"] == "ab"


def test_turbo_is_lossless(tmp_path):
    """50276 tokens, any text comes back, and an event tag is one token."""
    from transformers import AutoTokenizer

    random_tokenizers.write(tmp_path, "chatterbox-turbo")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "Héllo, 你好 🎉 — “quoted”\n[laugh] done."
    assert len(tokenizer) == 50276
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert len(tokenizer("[clear throat]").input_ids) == 1
