"""Chatterbox' speech: English, Multilingual and Turbo, over upstream's modules.

Chunks are made together (`fast`), or separately in upstream's own loops (`plain`). Samples are
those of upstream's `generate` with the same seed, voice and knobs: up to rounding with `fast`, to
the bit with `plain`. The voice is an argument, never a state; the watermark comes later, in blocks
(see `watermark`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from chatterbox import mtl_tts, tts, tts_turbo
from chatterbox.models.s3gen import S3GEN_SR
from chatterbox.models.s3gen.const import S3GEN_SIL
from chatterbox.models.t3.modules.cond_enc import T3Cond
from chatterbox.models.tokenizers import EnTokenizer
from torch import Tensor
from transformers import AutoTokenizer

from chatter_nb.base.budget import ask
from chatter_nb.base.errors import EngineError
from chatter_nb.engines.base import ChunkRequest, Voice
from chatter_nb.engines.chatterbox.conditionals import (
    DECODER_PROMPT_S,
    Conditionals,
    VoiceShelf,
    encode_for_speech,
)
from chatter_nb.engines.chatterbox.device import Precision, memory_explained, t3_dtype
from chatter_nb.engines.chatterbox.fast import FastPath
from chatter_nb.engines.chatterbox.loading import (
    TOO_LARGE,
    load_s3gen,
    load_t3,
    load_voice_encoder,
    readable,
)
from chatter_nb.engines.chatterbox.multilingual import (
    Alphabet,
    GraphemeTokenizer,
    helper_notes,
    helper_versions,
)
from chatter_nb.engines.chatterbox.plain import PlainPath
from chatter_nb.engines.chatterbox.s3gen import Synthesizer
from chatter_nb.engines.chatterbox.t3 import TokenDecoder
from chatter_nb.engines.chatterbox.tokens import Prompt, Sampling, SpokenChunk
from chatter_nb.engines.checkpoints import MEANFLOW_FILE, PACKAGE, check_meanflow, identity, locate
from chatter_nb.engines.gpu import is_small_gpu, voice_device
from chatter_nb.engines.recordings import MIN_S
from chatter_nb.engines.refusal import counted, unspeakable
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.engines.watermark import load_perth

if TYPE_CHECKING:
    from chatter_nb.engines.voices import Library, Recording

# Whole words: reading Japanese takes time with the square of the length of the text.
_PART = re.compile(r".{1,100}(?:\s|$)|\S+", re.DOTALL)
_SILENT_END = (S3GEN_SIL,) * 3  # Turbo's
_SAMPLING = tuple(field.name for field in fields(Sampling))
# The knobs of the part that draws tokens; the others are S3Gen's.
_OF_T3 = ("exaggeration", "max_new_tokens", *_SAMPLING)
# Seconds of work a second of speech on 2 cores, random full weights, the whole voice prompt: 9 for
# chunks of 2.6 s, less for longer ones. No GPU has been measured.
_CPU_RTF = 7.0


def _defaults(engine: str) -> dict[str, Any]:
    """The knobs of T3, which draws tokens, with their default values."""
    knobs = TTS_ENGINES[engine].knobs
    return {name: value for name, value in knobs.items() if name in _OF_T3}


class ChatterboxEngine:
    """The English model. `SpeechEngine` over upstream's T3, S3Gen and voice encoder.

    `device` is a torch device that is there; `checkpoint` a folder, or empty for the hub's cache.
    """

    name = "chatterbox"
    sample_rate = S3GEN_SR
    languages: tuple[str, ...] = ("en",)
    accepts = TTS_ENGINES[name].accepts
    watermarked = speaks_in_parts = True
    defaults: ClassVar[dict[str, Any]] = _defaults(name)
    t3_file = "t3_cfg.safetensors"
    s3gen_file = "s3gen.safetensors"
    voice_encoder_file = "ve.safetensors"
    meanflow = False
    min_voice_s: float | None = MIN_S
    encoder_prompt_s = 6.0  # upstream's ENC_COND_LEN
    normalises_voice = False

    def __init__(
        self, *, device: str = "cpu", checkpoint: str = "", precision: Precision = "exact"
    ) -> None:
        folder = self._folder = locate(self.name, checkpoint)
        self.device, self.precision = device, precision
        self.typical_rtf = _CPU_RTF if device == "cpu" else None
        self.version = f"{version(PACKAGE)}+{identity(folder, self.name)}{self._helpers()}"
        self._perth = load_perth(device)  # held, so that each output of a run finds it loaded
        self._load_tokenizer()
        self._voice_encoder = load_voice_encoder(folder, self.voice_encoder_file, device)
        self._s3gen = load_s3gen(folder, self.s3gen_file, device, meanflow=self.meanflow)
        t3 = load_t3(folder, self.t3_file, "cpu", self.name)
        with memory_explained("the model", TOO_LARGE):
            self._decoder = TokenDecoder(t3, device, t3_dtype(device, precision))
            self._synthesizer = Synthesizer(self._s3gen, precision=precision)
        del t3.tfmr  # the decoder has its layers in a form of its own
        self._fast = FastPath(self, self._decoder)
        self._voices = VoiceShelf(
            folder,
            self.version,
            self._encode,
            min_s=self.min_voice_s or 0,
            heard_s=min(self.encoder_prompt_s, DECODER_PROMPT_S),
        )

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """A voice of the library or of a recording; an empty `voice` is the checkpoint's own."""
        return self._voices.voice(voice, library)

    def check_text(self, text: str, language: str) -> list[str]:
        """Refuse letters that the model has no token for; note the symbols it passes over."""
        read = []
        for part in _PART.findall(text):
            ask(f"how {self.name} reads it")
            read.append(self._normalised(part, language))
        return self._alphabet.check("".join(read), who=self.name, original=text)

    def synthesize(
        self, requests: Sequence[ChunkRequest], *, engine_path: str = "fast", **options: Any
    ) -> Iterator[SpokenChunk]:
        """See `SpeechEngine.synthesize`; `engine_path` "upstream": its own loops, no parts."""
        if engine_path == "upstream":
            return self._plain.synthesize(requests)
        return self._fast.synthesize(requests, **options)

    @property
    def rows(self) -> int:
        """How many chunks are decoded together by default."""
        return 1 if is_small_gpu(self.device) else self._decoder.rows_that_fit()

    @cached_property
    def _plain(self) -> PlainPath:
        """Upstream's modules as they are, loaded at the first use."""
        t3 = load_t3(self._folder, self.t3_file, self.device, self.name)
        return PlainPath(self, t3)

    def synthesizer(self, request: ChunkRequest) -> Synthesizer:
        return self._other_synthesizer if request.knobs.get("meanflow") else self._synthesizer

    @cached_property
    def _other_synthesizer(self) -> Synthesizer:
        """Over Turbo's S3Gen of two steps; a user may add its file to this model's files."""
        check_meanflow(self._folder)
        s3gen = load_s3gen(self._folder, MEANFLOW_FILE, self.device, meanflow=True)
        return Synthesizer(s3gen, precision=self.precision)

    def prompt(self, text: str, seed: int, request: ChunkRequest) -> Prompt:
        tokens = self._text_tokens(text, request.language)
        if tokens.shape[1] > (longest := self._decoder.longest_text):
            raise EngineError(
                f"{text[:60]!r}… is {tokens.shape[1]} text tokens long, the model takes {longest}: "
                "choose a smaller chunk_chars"
            )
        return Prompt(request.index, tokens, seed, int(self._knobs(request)["max_new_tokens"]))

    def cond(self, request: ChunkRequest) -> T3Cond:
        return request.voice.data.for_t3(self._knobs(request).get("exaggeration", 0.0), self.device)

    def sampling(self, request: ChunkRequest) -> Sampling:
        knobs = self._knobs(request)
        return Sampling(**{name: knobs[name] for name in _SAMPLING if name in knobs})

    def decoder_prompt(self, request: ChunkRequest) -> dict[str, Any]:
        return request.voice.data.for_s3gen(self.device, request.knobs.get("prompt_s"))

    def with_end(self, tokens: Tensor) -> Tensor:
        return tokens

    def _knobs(self, request: ChunkRequest) -> dict[str, Any]:
        return self.defaults | {k: v for k, v in request.knobs.items() if k in self.defaults}

    def _encode(self, recording: Recording) -> Conditionals:
        return encode_for_speech(
            recording,
            self._s3gen,
            self._voice_encoder,
            voice_device(self.device),
            prompt_tokens=self._decoder.voice_tokens,
            prompt_s=self.encoder_prompt_s,
            normalise=self.normalises_voice,
        )

    def _helpers(self) -> str:
        """Other packages that decide how a text is read, for the version."""
        return ""

    def _load_tokenizer(self) -> None:
        path = self._folder / "tokenizer.json"
        with readable(path):
            self._tokenizer = EnTokenizer(str(path))
        self._alphabet = Alphabet(self._tokenizer.tokenizer)

    def _normalised(self, text: str, language: str) -> str:
        return tts.punc_norm(text)

    def _text_tokens(self, text: str, language: str) -> Tensor:
        return self._tokens_of(self._alphabet.known(self._normalised(text, language)), language)

    def _tokens_of(self, normalised: str, language: str) -> Tensor:
        return self._tokenizer.text_to_tokens(normalised)


class MultilingualEngine(ChatterboxEngine):
    """23 languages; `language` names one of them."""

    name = "chatterbox-multilingual"
    languages = ("en", *sorted(set(mtl_tts.SUPPORTED_LANGUAGES) - {"en"}))
    accepts = TTS_ENGINES[name].accepts
    defaults: ClassVar = _defaults(name)
    t3_file = "t3_mtl23ls_v2.safetensors"
    s3gen_file = "s3gen.pt"
    voice_encoder_file = "ve.pt"

    def check_text(self, text: str, language: str) -> list[str]:
        return helper_notes(language) + super().check_text(text, language)

    def _helpers(self) -> str:
        return helper_versions()

    def _load_tokenizer(self) -> None:
        path = self._folder / "grapheme_mtl_merged_expanded_v1.json"
        with readable(path):
            self._tokenizer = GraphemeTokenizer(path)
        self._alphabet = Alphabet(self._tokenizer.tokenizer)

    def _normalised(self, text: str, language: str) -> str:
        return self._tokenizer.normalised(mtl_tts.punc_norm(text), language)

    def _tokens_of(self, normalised: str, language: str) -> Tensor:
        return self._tokenizer.tokens_of(normalised, language)


class TurboEngine(ChatterboxEngine):
    """The fast English model: no guidance, tags such as [laugh], two decoder steps."""

    name = "chatterbox-turbo"
    accepts = TTS_ENGINES[name].accepts
    defaults: ClassVar = _defaults(name)
    t3_file = "t3_turbo_v1.safetensors"
    s3gen_file = MEANFLOW_FILE
    meanflow = True
    min_voice_s = 5.0 + 1 / S3GEN_SR  # more than five
    encoder_prompt_s = 15.0
    normalises_voice = True

    def check_text(self, text: str, language: str) -> list[str]:
        """Refuse other scripts: its tokens are bytes of any text, but it has learnt English."""
        letters = Counter(filter(str.isalpha, text))
        foreign = {c: n for c, n in letters.items() if "LATIN" not in unicodedata.name(c, "")}
        if foreign:
            problem = (
                f"engine '{self.name}' speaks English, not {counted(Counter(foreign))}: replace "
                "them (replacements), or choose engine: chatterbox-multilingual"
            )
            raise unspeakable([problem], text, foreign.keys(), Counter())
        return []

    def with_end(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens, torch.tensor(_SILENT_END, device=tokens.device)])

    def _load_tokenizer(self) -> None:
        with readable(self._folder / "vocab.json"):
            self._tokenizer = AutoTokenizer.from_pretrained(self._folder)

    def _text_tokens(self, text: str, language: str) -> Tensor:
        return self._tokenizer(tts_turbo.punc_norm(text), return_tensors="pt").input_ids
