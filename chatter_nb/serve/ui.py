"""The web page at /ui."""

from __future__ import annotations

from fastapi import FastAPI

from chatter_nb.serve.service import Service


def add_page(app: FastAPI, service: Service) -> None:
    """Mount the page."""
