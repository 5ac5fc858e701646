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

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chatter_nb.base.errors import InputError

SIDECAR_NAME = "chatter_nb.json"

_CONFIGS = ("Llama_520M", "GPT2_medium")
# Where upstream calls a constructor, if not in its S3Gen.
_MODULES = {
    "Perceiver": "t3.modules.cond_enc",
    "PreLookaheadLayer": "s3gen.transformer.upsample_encoder",
    "Upsample1D": "s3gen.transformer.upsample_encoder",
}
# Constructors read module globals while `reduced` has them changed: one thread builds at a time.
_building = threading.RLock()


def _size(places: str = "", *, tiny: int | None = None) -> Any:
    """A size, the arguments of upstream's constructors that it replaces, and a tiny one's value."""
    return Field(None, description=places, json_schema_extra={"tiny": tiny})


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

    t3_layers: int | None = _size("Llama_520M.num_hidden_layers GPT2_medium.n_layer")
    t3_hidden: int | None = _size(
        "Llama_520M.hidden_size GPT2_medium.n_embd GPT2_medium.hidden_size "
        "Perceiver.pre_attention_query_size Perceiver.embedding_dim"
    )
    t3_intermediate: int | None = _size("Llama_520M.intermediate_size GPT2_medium.n_inner")
    t3_heads: int | None = _size(
        "Llama_520M.num_attention_heads Llama_520M.num_key_value_heads GPT2_medium.n_head"
    )
    t3_head_dim: int | None = _size("Llama_520M.head_dim")

    voice_encoder_hidden: int | None = _size(tiny=32)

    tokenizer_layers: int | None = _size(tiny=1)
    # Of 64 channels each: the tokenizer's rotary table is fixed to that.
    tokenizer_heads: int | None = _size(tiny=1)
    speaker_channels: int | None = _size("CAMPPlus.init_channels", tiny=16)
    speaker_growth: int | None = _size("CAMPPlus.growth_rate", tiny=4)
    encoder_width: int | None = _size(
        "UpsampleConformerEncoder.input_size UpsampleConformerEncoder.output_size "
        "PreLookaheadLayer.channels Upsample1D.channels Upsample1D.out_channels "
        "CausalMaskedDiffWithXvec.input_size",
        tiny=64,
    )
    # Before upsampling; upstream fixes four after it.
    encoder_blocks: int | None = _size("UpsampleConformerEncoder.num_blocks", tiny=1)
    encoder_heads: int | None = _size("UpsampleConformerEncoder.attention_heads", tiny=2)
    encoder_intermediate: int | None = _size("UpsampleConformerEncoder.linear_units", tiny=128)
    estimator_channels: int | None = _size("ConditionalDecoder.channels", tiny=32)
    estimator_blocks: int | None = _size("ConditionalDecoder.n_blocks", tiny=1)
    estimator_mid_blocks: int | None = _size("ConditionalDecoder.num_mid_blocks", tiny=1)
    estimator_heads: int | None = _size("ConditionalDecoder.num_heads", tiny=2)
    estimator_head_dim: int | None = _size("ConditionalDecoder.attention_head_dim", tiny=16)
    vocoder_channels: int | None = _size("HiFTGenerator.base_channels", tiny=32)
    f0_channels: int | None = _size("ConvRNNF0Predictor.cond_channels", tiny=32)

    @classmethod
    def tiny_sizes(cls) -> dict[str, int]:
        """The sizes of a tiny checkpoint, except for T3's, which differ from model to model."""
        extras: dict[str, Any] = {n: f.json_schema_extra for n, f in cls.model_fields.items()}
        return {name: extra["tiny"] for name, extra in extras.items() if extra and extra["tiny"]}

    def arguments(self) -> dict[str, dict[str, Any]]:
        """The arguments to replace, by constructor; a size that is None replaces none."""
        replaced: dict[str, dict[str, Any]] = {}
        for name, field in type(self).model_fields.items():
            size: Any = getattr(self, name)
            for place in (field.description or "").split() if size is not None else ():
                constructor, _, argument = place.partition(".")
                is_list = place == "ConditionalDecoder.channels"
                replaced.setdefault(constructor, {})[argument] = [size] if is_list else size
        return replaced


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
            arguments = sidecar.arguments()
            _reduce_configs(undo, arguments)
            _reduce_voice_encoder(undo, sidecar)
            _reduce_s3_tokenizer(undo, sidecar)
            for constructor, smaller in arguments.items():
                _override(undo, constructor, smaller)
        yield


def _reduce_configs(undo: ExitStack, arguments: dict[str, dict[str, Any]]) -> None:
    """T3's transformers are made from a dict of settings each, which leaves `arguments`."""
    configs = import_module("chatterbox.models.t3.llama_configs").LLAMA_CONFIGS
    smaller = {name: configs[name] | arguments.pop(name, {}) for name in _CONFIGS}
    # GPT-2's own word embedding, deleted after loading, would be half the file; its tokens lie
    # within those 8, or transformers warns.
    smaller["GPT2_medium"] |= {"vocab_size": 8, "bos_token_id": 0, "eos_token_id": 0}
    undo.enter_context(patch.dict(configs, smaller))


def _reduce_voice_encoder(undo: ExitStack, sizes: Sidecar) -> None:
    config = import_module("chatterbox.models.voice_encoder").VoiceEncConfig
    # On the class: the instance that upstream uses is a default argument, made at import.
    if sizes.voice_encoder_hidden is not None:
        undo.enter_context(patch.object(config, "ve_hidden_size", sizes.voice_encoder_hidden))


def _reduce_s3_tokenizer(undo: ExitStack, sizes: Sidecar) -> None:
    """The tokenizer's size is a default argument of its base class; upstream passes none."""
    model = import_module("s3tokenizer.model_v2")
    smaller: dict[str, int] = {}
    if heads := sizes.tokenizer_heads:
        smaller |= {"n_audio_state": heads * 64, "n_audio_head": heads}
    if layers := sizes.tokenizer_layers:
        smaller |= {"n_audio_layer": layers}
    defaults = (model.ModelConfig(**smaller),)
    undo.enter_context(patch.object(model.S3TokenizerV2.__init__, "__defaults__", defaults))


def _override(undo: ExitStack, name: str, smaller: dict[str, Any]) -> None:
    """Make upstream's `name(…)` use these sizes, whatever it is called with."""
    module = import_module(f"chatterbox.models.{_MODULES.get(name, 's3gen.s3gen')}")
    build = getattr(module, name)
    undo.enter_context(
        patch.object(module, name, lambda *args, **kwargs: build(*args, **(kwargs | smaller)))
    )


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
