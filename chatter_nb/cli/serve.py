"""The HTTP service: `serve`, and `app`, which opens its page as well."""

from __future__ import annotations

import logging
import os
from typing import Annotated, Any

import typer

from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.cli.options import pairs_of, seconds_of
from chatter_nb.params.runs import SpeakParams

Host = Annotated[str, typer.Option(help="Where to listen; others than this machine need a key.")]
Port = Annotated[int, typer.Option(help="0 takes any that is free.")]
Engine = Annotated[str, typer.Option(help="The one engine that speaks; auto: the best here.")]
Preload = Annotated[bool, typer.Option("--preload", help="Load the model before listening.")]
Page = Annotated[bool, typer.Option(help="The page at /ui; without it Gradio is not loaded.")]
KeyEnv = Annotated[
    str, typer.Option("--api-key-env", help="An environment variable that holds the API key.")
]
Voices = Annotated[str, typer.Option("--voices", help="The folder of recordings.")]
Queue = Annotated[int, typer.Option("--max-queue", help="Requests that may wait, a model.")]
Outputs = Annotated[str, typer.Option("--outputs", help="Where runs and jobs go.")]
Expire = Annotated[
    str, typer.Option("--expire-after", help="Remove runs and kept chunks so old: 24h, 7d.")
]
Cors = Annotated[
    list[str] | None,
    typer.Option(
        "--cors-origin",
        help="Pages of this origin may call: https://example.org, chrome-extension://ID.",
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host", help="Another name by which it is called, such as host.docker.internal."
    ),
]
Machine = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="device, checkpoint, precision or rows, for all requests."),
]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 7860,
    engine: Engine = "auto",
    preload: Preload = False,
    page: Page = True,
    api_key_env: KeyEnv = "",
    voices: Voices = "outputs/voices",
    max_queue: Queue = 64,
    outputs: Outputs = "outputs/serve",
    expire_after: Expire = "",
    cors_origin: Cors = None,
    allow_host: Hosts = None,
    param: Machine = None,
) -> None:
    """Serve speech and conversion over HTTP, with a web page at /ui."""
    _begin(
        open_page=False,
        host=host,
        port=port,
        engine=engine,
        preload=preload,
        web_page=page,
        api_key=_key(api_key_env),
        voices_dir=voices,
        max_queue=max_queue,
        outputs_dir=outputs,
        expire_after_s=seconds_of("--expire-after", expire_after) if expire_after else None,
        cors_origins=tuple(cors_origin or ()),
        allow_hosts=tuple(allow_host or ()),
        machine=SpeakParams.coerce(pairs_of(param)),
    )


def app(port: Port = 7860, engine: Engine = "auto") -> None:
    """Serve to this machine alone, and open the web page."""
    _begin(open_page=True, port=port, engine=engine)


def _begin(*, open_page: bool, **values: Any) -> None:
    from chatter_nb.setup.doctor import INSTALL_SERVICE, lacking_for_service

    if missing := lacking_for_service():
        raise UnavailableError(f"{missing}; install with: {INSTALL_SERVICE}")
    from chatter_nb.serve.settings import Settings

    settings = Settings(**values)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    for chatty in ("httpx", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    from chatter_nb.serve.server import serve

    serve(settings, open_page=open_page)


def _key(variable: str) -> str:
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise InputError(f"--api-key-env {variable}: there is no such variable, or it is empty")
    return key
