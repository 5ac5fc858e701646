"""Writes with PyAV what phones and cameras write: sound in any container, also with a picture."""

from pathlib import Path

import av
import numpy as np


def write(
    path: Path,
    signal: np.ndarray | None,
    rate: int,
    encoder: str,
    *,
    video: bool = False,
    second: np.ndarray | None = None,
    fast_start: bool = False,
    title: str = "",
) -> None:
    """Encode `signal` of shape (samples,) or (samples, channels), and a `second` sound track."""
    options = {"movflags": "+faststart"} if fast_start else {}
    with av.open(str(path), "w", container_options=options) as output:
        output.metadata["title"] = title
        if video:
            picture = output.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", 5)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        tracks = [
            (_stream(output, encoder, rate, track), track)
            for track in (signal, second)
            if track is not None
        ]
        if video:
            for number in range(10):
                shade = np.full((48, 64, 3), 20 * number, np.uint8)
                frame = av.VideoFrame.from_ndarray(shade, "rgb24")
                frame.pts = number
                output.mux(picture.encode(frame))
            output.mux(picture.encode(None))
        for stream, track in tracks:
            samples = np.ascontiguousarray(track.reshape(1, -1), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=_layout(track))
            frame.sample_rate, frame.pts = rate, 0
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))


def _stream(output, encoder: str, rate: int, track: np.ndarray):
    stream = output.add_stream(encoder, rate=rate, layout=_layout(track))
    stream.bit_rate = 12_200 if rate == 8_000 else 64_000
    sixteen = [kind.name for kind in stream.codec.audio_formats if kind.name in ("s16", "s16p")]
    if sixteen:  # the first of TTA has 8 bits
        stream.format = sixteen[0]
    return stream


def _layout(track: np.ndarray) -> str:
    return "mono" if track.ndim == 1 else "stereo"
