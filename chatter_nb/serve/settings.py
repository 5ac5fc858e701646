"""The settings of a server and its limits, checked before anything loads."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines import registry
from chatter_nb.params.runs import ConvertParams, SpeakParams

MIN_KEY_CHARS = 16
# http, and what browsers' extensions and applications of web pages have: chrome-extension://ID,
# app://NAME, tauri://localhost.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:]+\])(:\d+)?")
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:]+\]")
# What `-p` may set for all requests: where and how models run. A request cannot set these.
MACHINE = ("device", "checkpoint", "precision", "rows")


@dataclass(frozen=True)
class Limits:
    """How much a client may ask for at once, and how long the server waits for it."""

    text_chars: int = 50_000  # about an hour of speech
    job_text_chars: int = 1_000_000  # a long novel
    audio_s: float = 7_200.0  # of one run, by its plan
    job_audio_s: float = 180_000.0
    header_bytes: int = 32_768
    json_bytes: int = 1_000_000
    job_json_bytes: int = 8_000_000
    upload_bytes: int = 100_000_000
    voice_s: float = 120.0  # a voice needs 15 s
    source_s: float = 3600.0  # a recording to convert
    upload_timeout_s: float = 120.0  # for a whole body, at the rate of a slow phone line
    header_timeout_s: float = 15.0
    send_timeout_s: float = 300.0  # without a byte taken; a paused player takes nothing
    request_timeout_s: float = 1800.0  # waiting and work together
    backlog_bytes: int = 64_000_000  # streamed audio that a slow client has not taken yet
    connections: int = 1000


@dataclass(frozen=True)
class Settings:
    """The settings of a server. Raises `InputError` for values that do not go together."""

    host: str = "127.0.0.1"
    port: int = 7860
    engine: str = "auto"
    preload: bool = False
    api_key: str = field(default="", repr=False)
    outputs_dir: str = "outputs/serve"
    voices_dir: str = "outputs/voices"
    max_queue: int = 64
    max_jobs: int = 256
    expire_after_s: float | None = None
    cors_origins: tuple[str, ...] = ()
    allow_hosts: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    web_page: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise InputError(f"--port {self.port} is no port: choose 1 to 65535, or 0 for any")
        for name in ("max_queue", "max_jobs"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be at least 1")
        if self.expire_after_s is not None and self.expire_after_s <= 0:
            raise InputError("--expire-after must be above 0: it would remove runs at once")
        if self.engine != "auto":
            registry.entry(self.engine)
        self._check_machine()
        self._check_key()
        self._check_names()
        if not self.api_key and not self.is_local:
            raise InputError(
                f"--host {self.host} lets others in: set a key first, with --api-key-env NAME of "
                "an environment variable that holds it, or keep to --host 127.0.0.1"
            )

    def _check_names(self) -> None:
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise InputError(
                    f"--cors-origin {origin!r} is no origin: write it as browsers do and without a "
                    "path, such as https://example.org, http://localhost:3000 or "
                    "chrome-extension://ID"
                )
        for host in self.allow_hosts:
            if not _HOST.fullmatch(host):
                raise InputError(
                    f"--allow-host {host!r} is no host name: write it in small letters and without "
                    "a port, such as host.docker.internal"
                )

    def _check_key(self) -> None:
        if self.api_key and len(self.api_key) < MIN_KEY_CHARS:
            raise InputError(
                f"the API key has {len(self.api_key)} characters: use {MIN_KEY_CHARS} or more, "
                'such as: python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        if not self.api_key.isascii():
            raise InputError("the API key has letters that not every client can send: use ASCII")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def outputs(self) -> Path:
        return resolve_path(self.outputs_dir)

    @property
    def voices(self) -> Path:
        return resolve_path(self.voices_dir)

    def server_values(self, kind: type[SpeakParams] | type[ConvertParams]) -> dict[str, Any]:
        """The parameters that the server sets for every request: folders, and how models run."""
        machine = {name: value for name, value in self.machine.items() if name in kind.model_fields}
        places = {"outputs_dir": self.outputs_dir, "voices_dir": self.voices_dir}
        return machine | places | {"interactive": False}

    def _check_machine(self) -> None:
        foreign = sorted(set(self.machine) - set(MACHINE))
        if foreign:
            raise ParamError(f"-p {foreign[0]}: a server takes only {', '.join(MACHINE)}")
        SpeakParams.create({"text": "x"} | self.server_values(SpeakParams), where="-p")
        precision = self.machine.get("precision")
        if precision in ("fast", "int8") and self.engine in ("auto", "hibari"):
            raise ParamError(f"-p precision={precision} needs --engine with one of Chatterbox'")
