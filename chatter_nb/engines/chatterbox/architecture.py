"""Smaller copies of Chatterbox's networks, for checkpoints that were made for tests.

Upstream's sizes are constants in its code, so a small checkpoint cannot tell its own size. Its
sidecar `chatter_nb.json` does, and `reduced` makes upstream's own constructors build that size. A
real checkpoint has no sidecar, and nothing here changes it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from pydantic import BaseModel, ConfigDict, ValidationError

from chatter_nb.base.errors import InputError

SIDECAR_NAME = "chatter_nb.json"

# Constructors read module globals while `reduced` has them changed: one thread builds at a time.
_building = threading.RLock()


class Sidecar(BaseModel):
    """How a checkpoint was made by `chatter_nb.engines.chatterbox.random_checkpoints`.

    A size that is None is upstream's. Widths that voices and files rely on are always upstream's:
    6561 speech tokens, 80 mel bands, 256 and 192 values for a speaker, 960 samples a token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    random: bool = True
    size: Literal["tiny", "full"] = "full"
    model: str = ""
    seed: int = 0
    mean_tokens: int = 60
    ends: bool = True

    t3_layers: int | None = None
    t3_hidden: int | None = None
    t3_intermediate: int | None = None
    t3_heads: int | None = None
    t3_head_dim: int | None = None

    voice_encoder_hidden: int | None = None

    tokenizer_layers: int | None = None
    tokenizer_heads: int | None = None  # of 64 channels each: its rotary table is fixed to that
    speaker_channels: int | None = None
    speaker_growth: int | None = None
    encoder_width: int | None = None
    encoder_blocks: int | None = None  # before upsampling; upstream fixes four after it
    encoder_heads: int | None = None
    encoder_intermediate: int | None = None
    estimator_channels: int | None = None
    estimator_blocks: int | None = None
    estimator_mid_blocks: int | None = None
    estimator_heads: int | None = None
    estimator_head_dim: int | None = None
    vocoder_channels: int | None = None
    f0_channels: int | None = None


def read_sidecar(folder: Path) -> Sidecar | None:
    """The folder's `chatter_nb.json`, or None without one.

    Raises `InputError`, with the file's name, if it cannot be read.
    """
    path = Path(folder) / SIDECAR_NAME
    if not path.exists():
        return None
    try:
        return Sidecar.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"{path} does not describe a checkpoint: {where}: {first['msg']}. "
            "Make the checkpoint again: "
            "python -m chatter_nb.engines.chatterbox.random_checkpoints FOLDER"
        ) from error


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    text = sidecar.model_dump_json(indent=1, exclude_none=True) + "\n"
    (Path(folder) / SIDECAR_NAME).write_text(text, encoding="utf-8")


@contextmanager
def reduced(sidecar: Sidecar | None) -> Iterator[None]:
    """Inside, upstream's `T3(hp)`, `S3Gen()` and `VoiceEncoder()` build what the sidecar describes.

    Tests need it: no weights can be downloaded where this project is tested, and networks of the
    real sizes take minutes a sentence on a small machine. Upstream passes its sizes as literals, so
    its constructors are replaced inside, and put back on leaving. Networks built inside work
    outside too. With None, or a full-size checkpoint, nothing changes.
    """
    with _building, ExitStack() as undo:
        if sidecar is not None and sidecar.size != "full":
            _reduce_t3(undo, sidecar)
            _reduce_voice_encoder(undo, sidecar)
            _reduce_s3gen(undo, sidecar)
        yield


def _reduce_t3(undo: ExitStack, sizes: Sidecar) -> None:
    configs = import_module("chatterbox.models.t3.llama_configs").LLAMA_CONFIGS
    llama = _without_none(
        hidden_size=sizes.t3_hidden,
        intermediate_size=sizes.t3_intermediate,
        num_hidden_layers=sizes.t3_layers,
        num_attention_heads=sizes.t3_heads,
        num_key_value_heads=sizes.t3_heads,
        head_dim=sizes.t3_head_dim,
    )
    gpt2 = _without_none(
        n_embd=sizes.t3_hidden,
        hidden_size=sizes.t3_hidden,  # upstream's dict carries both names
        n_inner=sizes.t3_intermediate,
        n_layer=sizes.t3_layers,
        n_head=sizes.t3_heads,
        vocab_size=8,  # its own word embedding, deleted after loading, would be half the file
        bos_token_id=0,  # within those 8, or transformers warns
        eos_token_id=0,
    )
    smaller = {
        "Llama_520M": configs["Llama_520M"] | llama,
        "GPT2_medium": configs["GPT2_medium"] | gpt2,
    }
    undo.enter_context(patch.dict(configs, smaller))
    _override(
        undo,
        "chatterbox.models.t3.modules.cond_enc",
        "Perceiver",
        pre_attention_query_size=sizes.t3_hidden,
        embedding_dim=sizes.t3_hidden,
    )


def _reduce_voice_encoder(undo: ExitStack, sizes: Sidecar) -> None:
    config = import_module("chatterbox.models.voice_encoder").VoiceEncConfig
    # On the class: the instance that upstream uses is a default argument, made at import.
    for name, value in _without_none(ve_hidden_size=sizes.voice_encoder_hidden).items():
        undo.enter_context(patch.object(config, name, value))


def _reduce_s3gen(undo: ExitStack, sizes: Sidecar) -> None:
    s3gen = "chatterbox.models.s3gen.s3gen"
    upsampling = "chatterbox.models.s3gen.transformer.upsample_encoder"
    width, channels = sizes.encoder_width, sizes.estimator_channels
    _reduce_s3_tokenizer(undo, sizes)
    _override(
        undo,
        s3gen,
        "CAMPPlus",
        init_channels=sizes.speaker_channels,
        growth_rate=sizes.speaker_growth,
    )
    _override(
        undo,
        s3gen,
        "UpsampleConformerEncoder",
        input_size=width,
        output_size=width,
        attention_heads=sizes.encoder_heads,
        linear_units=sizes.encoder_intermediate,
        num_blocks=sizes.encoder_blocks,
    )
    _override(undo, upsampling, "PreLookaheadLayer", channels=width)
    _override(undo, upsampling, "Upsample1D", channels=width, out_channels=width)
    _override(undo, s3gen, "CausalMaskedDiffWithXvec", input_size=width)
    _override(
        undo,
        s3gen,
        "ConditionalDecoder",
        channels=[channels] if channels else None,
        n_blocks=sizes.estimator_blocks,
        num_mid_blocks=sizes.estimator_mid_blocks,
        num_heads=sizes.estimator_heads,
        attention_head_dim=sizes.estimator_head_dim,
    )
    _override(undo, s3gen, "HiFTGenerator", base_channels=sizes.vocoder_channels)
    _override(undo, s3gen, "ConvRNNF0Predictor", cond_channels=sizes.f0_channels)


def _reduce_s3_tokenizer(undo: ExitStack, sizes: Sidecar) -> None:
    """The tokenizer's size is a default argument of its base class; upstream passes none."""
    model = import_module("s3tokenizer.model_v2")
    heads = sizes.tokenizer_heads
    smaller = _without_none(
        n_audio_state=heads * 64 if heads else None,
        n_audio_head=heads,
        n_audio_layer=sizes.tokenizer_layers,
    )
    defaults = (model.ModelConfig(**smaller),)
    undo.enter_context(patch.object(model.S3TokenizerV2.__init__, "__defaults__", defaults))


def _override(undo: ExitStack, module_name: str, name: str, **sizes: Any) -> None:
    """Make a module's `name(…)` use these sizes, whatever it is called with."""
    module = import_module(module_name)
    build, smaller = getattr(module, name), _without_none(**sizes)
    undo.enter_context(
        patch.object(module, name, lambda *args, **kwargs: build(*args, **(kwargs | smaller)))
    )


def _without_none(**sizes: Any) -> dict[str, Any]:
    return {name: value for name, value in sizes.items() if value is not None}


def t3_config(model: str) -> Any:
    """Upstream's T3 settings of a model; Turbo's stand in its `from_local` (tts_turbo.py:151)."""
    config = import_module("chatterbox.models.t3.modules.t3_config").T3Config
    if model == "chatterbox":
        return config.english_only()
    if model == "chatterbox-multilingual":
        return config.multilingual()
    turbo = config(text_tokens_dict_size=50276)
    turbo.llama_config_name = "GPT2_medium"
    turbo.speech_tokens_dict_size = 6563
    turbo.input_pos_emb = None
    turbo.speech_cond_prompt_len = 375
    turbo.use_perceiver_resampler = False
    turbo.emotion_adv = False
    return turbo
