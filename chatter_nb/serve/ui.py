"""The web page at /ui: Speak and Convert by hand, with the same tasks as every other route.

Players and downloads use the addresses of the service, so that Gradio keeps no copies. Uploads go
through the same checks as the uploads of a form. Settings stay in the browser; runs are read from
disk.
"""

from __future__ import annotations

import gradio as gr
from fastapi import FastAPI

from chatter_nb.pages.players import asset
from chatter_nb.pages.review import editor_script
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.serve.live import Lives
from chatter_nb.serve.page_border import mount_page
from chatter_nb.serve.service import Service
from chatter_nb.serve.sheet import Sheet

_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]  # of the reader's machine: nothing is fetched


def add_page(app: FastAPI, service: Service) -> None:
    """Mount the page on the application."""
    theme = gr.themes.Default(font=_FONTS, font_mono=["ui-monospace", "monospace"])
    theme.set(  # Gradio's own grey is too pale on white to be read: 1.9 to 1
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        input_placeholder_color="*neutral_500",
        **{  # … and so is white on its orange
            f"button_primary_background_fill{state}": f"*primary_{700 + 100 * ('hover' in state)}"
            for state in ("", "_dark", "_hover", "_hover_dark")
        },
    )
    # In the head: Gradio's own way with styles takes `:is(a, b)` apart. Nested into its container
    # they come before Gradio's.
    styles = asset("review.css") + asset("front.css")
    nested = f"{styles}.gradio-container.gradio-container {{{styles}}}"
    head = f"<style>{nested}</style><script>{editor_script()}{asset('front.js')}</script>"
    mount_page(app, page_of(service, app.state.lives), service.settings, theme=theme, head=head)


def page_of(service: Service, lives: Lives) -> gr.Blocks:
    """Gradio's page, with a tab for each kind of run."""
    with gr.Blocks(title="chatter_nb", analytics_enabled=False) as page:
        for kind, verb in ((SpeakParams, "Speak"), (ConvertParams, "Convert")):
            with gr.Tab(verb):
                Sheet(service, lives, kind, verb).draw(page)
    return page
