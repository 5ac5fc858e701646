"""Checkpoints of random weights with upstream's file names, for tests, benchmarks and CI.

They load with upstream's own `from_local` (a tiny checkpoint inside `architecture.reduced`), hum
instead of speaking, and end their chunks by themselves. They show that the code works and how fast
it is, but not how a voice sounds.

    python -m chatter_nb.engines.chatterbox.random_checkpoints FOLDER --size tiny
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tqdm.auto import tqdm

from chatter_nb.base.errors import InputError
from chatter_nb.engines.chatterbox import random_tokenizers, random_weights
from chatter_nb.engines.chatterbox.architecture import Sidecar, reduced, t3_config, write_sidecar

Size = Literal["tiny", "full"]

# A seed for each part: a change to one part leaves the others as they were.
T3_SEED, S3GEN_SEED, VOICE_ENCODER_SEED, VOICE_SEED = range(4)

TINY_T3 = {
    "chatterbox": (2, 64, 128, 4, 16),
    # The alignment analyzer hooks layer 13 and head 15.
    "chatterbox-multilingual": (14, 64, 128, 16, 8),
    "chatterbox-turbo": (2, 32, 64, 4, 8),
}
T3_SIZES = ("t3_layers", "t3_hidden", "t3_intermediate", "t3_heads", "t3_head_dim")
MODELS = tuple(TINY_T3)

FILES = {  # T3, S3Gen and voice encoder, under upstream's names
    "chatterbox": ("t3_cfg.safetensors", "s3gen.safetensors", "ve.safetensors"),
    "chatterbox-multilingual": ("t3_mtl23ls_v2.safetensors", "s3gen.pt", "ve.pt"),
    "chatterbox-turbo": ("t3_turbo_v1.safetensors", "s3gen_meanflow.safetensors", "ve.safetensors"),
}
PROMPT_S = {"tiny": 4, "full": 10}
TOKENS_A_SECOND = 25


def make_checkpoint(
    folder: Path | str,
    model: str = "chatterbox",
    size: Size = "tiny",
    seed: int = 0,
    mean_tokens: int = 60,
    *,
    ends: bool = True,
) -> Path:
    """Write a random checkpoint and its sidecar into `folder`; returns the folder.

    `size`: "tiny" takes a second to make and one or two to speak; "full" has upstream's sizes.
    `mean_tokens`: speech tokens (40 ms each) after which a chunk ends, on average, with upstream's
    default sampling. `ends=False`: only the limit on new tokens ends a chunk.
    The same arguments give the same tensors. The global random state is left as it was.
    """
    if model not in MODELS:
        raise InputError(f"there is no model {model!r}; choose one of {', '.join(MODELS)}")
    if size not in PROMPT_S:
        raise InputError(f"there is no size {size!r}; choose tiny or full")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = dict(zip(T3_SIZES, TINY_T3[model], strict=True)) | Sidecar.tiny_sizes()
    sidecar = Sidecar.model_validate(
        {"size": size, "model": model, "seed": seed, "mean_tokens": mean_tokens, "ends": ends}
        | (sizes if size == "tiny" else {})
    )
    # One network at a time: a full T3 takes 2 GB.
    parts = list(zip(FILES[model], (_t3, _s3gen, _voice_encoder), strict=True))
    for name, state_of in tqdm(parts, "random weights", disable=size == "tiny"):
        save = torch.save if name.endswith(".pt") else save_file
        save(state_of(sidecar), folder / name)
    random_tokenizers.write(folder, model)
    torch.save(_voice(sidecar), folder / "conds.pt")
    write_sidecar(folder, sidecar)
    return folder


def _t3(sidecar: Sidecar) -> random_weights.State:
    t3 = _build(sidecar, lambda: _upstream("t3").T3(t3_config(sidecar.model)))
    make = random_weights.gpt2_state if t3.is_gpt else random_weights.llama_state
    seed = _seed(sidecar, T3_SEED)
    return make(t3, seed, mean_tokens=sidecar.mean_tokens, ends=sidecar.ends)


def _s3gen(sidecar: Sidecar) -> random_weights.State:
    meanflow = sidecar.model == "chatterbox-turbo"
    s3gen = _build(sidecar, lambda: _upstream("s3gen").S3Gen(meanflow=meanflow))
    return random_weights.s3gen_state(s3gen, _seed(sidecar, S3GEN_SEED))


def _voice_encoder(sidecar: Sidecar) -> random_weights.State:
    encoder = _build(sidecar, lambda: _upstream("voice_encoder").VoiceEncoder())
    return random_weights.random_state(encoder, _seed(sidecar, VOICE_ENCODER_SEED))


def _build(sidecar: Sidecar, construct: Callable[[], Any]) -> Any:
    """The network's shapes without its values, which take minutes to draw."""
    with torch.random.fork_rng(devices=[]), reduced(sidecar), torch.device("meta"):
        return construct()


def _upstream(part: str) -> Any:
    return import_module(f"chatterbox.models.{part}")


def _seed(sidecar: Sidecar, part: int) -> int:
    return sidecar.seed * 10 + part


def _voice(sidecar: Sidecar) -> dict[str, Any]:
    """A built-in voice, in the layout of upstream's `Conditionals.save`."""
    generator = torch.Generator().manual_seed(_seed(sidecar, VOICE_SEED))

    def tokens(count: int) -> torch.Tensor:
        return torch.randint(0, random_weights.START_SPEECH, (1, count), generator=generator)

    prompt = PROMPT_S[sidecar.size] * TOKENS_A_SECOND
    # The voice encoder's numbers are never negative and have unit length.
    speaker = torch.randn(1, 256, generator=generator).relu()
    t3 = {
        "speaker_emb": speaker / speaker.norm(),
        "clap_emb": None,
        "cond_prompt_speech_tokens": tokens(375 if sidecar.model == "chatterbox-turbo" else 150),
        "cond_prompt_speech_emb": None,
        "emotion_adv": torch.full((1, 1, 1), 0.5),
    }
    gen = {
        "prompt_token": tokens(prompt),
        "prompt_token_len": torch.tensor([prompt]),
        "prompt_feat": torch.randn(1, 2 * prompt, 80, generator=generator) * 2 - 5,  # log mel
        "prompt_feat_len": None,
        "embedding": torch.randn(1, 192, generator=generator),
    }
    return {"t3": t3, "gen": gen}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a checkpoint of random weights.")
    parser.add_argument("folder", type=Path, help="made, and filled with upstream's file names")
    parser.add_argument("--model", choices=MODELS, default=MODELS[0], help="whose architecture")
    parser.add_argument(
        "--size", choices=tuple(PROMPT_S), default="tiny", help="full: upstream's sizes, 3 GB"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same weights")
    parser.add_argument(
        "--mean-tokens", type=int, default=60, help="how long chunks are, 25 tokens a second"
    )
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # of upstream's packages about each other
    folder = make_checkpoint(**vars(options))
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"{folder}: a {options.size} {options.model}, {megabytes:.0f} MB of random weights")


if __name__ == "__main__":
    main()
