"""Makes one file of encoded chapters, with marks, tags and a cover: m4b, mp3 or opus.

Nothing is encoded again: the packets of the chapters follow each other.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.stream import Disposition

from chatter_nb.audio.encoder import BITEXACT, CODECS, CodecName
from chatter_nb.audio.tags import MOST_IN_OGG, Tags
from chatter_nb.base.disk import whole_file
from chatter_nb.base.errors import InputError

_MOST_IN_LIST = 255  # chapters in Nero's list, which counts in a byte; Apple's track has no limit
_WHOLE = {"max_pixels": "36000000", "err_detect": "explode"}  # shops ask for 9 million at most


def write_book(
    chapters: Sequence[tuple[str, Path]],
    path: Path,
    codec_name: CodecName,
    tags: Tags,
    marks_s: Sequence[tuple[str, float]] = (),
) -> list[float]:
    """Make a book of encoded chapters, each a title and a file; returns their starts in seconds.

    One file may hold several chapters: `marks_s` has their titles and their starts in its sound.
    One chapter has no mark. The same chapters give the same bytes. Raises `InputError` for chapters
    of other formats or rates, or without sound, or a cover that cannot be read; `OutputError`.
    """
    try:
        parts = [_Part.of(file) for _, file in chapters]
    except ValueError as error:
        raise InputError(f"a chapter of {path} holds no sound, or is damaged: {error}") from error
    if len({(part.base, part.rate, part.packet) for part in parts}) != 1:
        raise InputError(f"the chapters of {path} must be one or more, of one format and rate")
    count = max(len(parts), len(marks_s))
    if codec_name == "opus" and count > MOST_IN_OGG:
        raise InputError(f"opus holds {MOST_IN_OGG} chapters, not {count}: choose m4b or mp3")
    starts_s = _starts_s(parts, is_mp3=codec_name == "mp3")
    titles, end_s = [title for title, _ in chapters], starts_s[-1] + parts[-1].length_s
    if marks_s:
        titles = [title for title, _ in marks_s]
        starts_s = [starts_s[0] + Fraction(mark_s) for _, mark_s in marks_s]
    muxer, options = CODECS[codec_name].container, dict(BITEXACT)
    if codec_name == "m4b":  # its index comes first, so that players start before the end is there
        list_flag = "+disable_chpl" if len(titles) > _MOST_IN_LIST else ""
        options |= {"brand": "M4B ", "movflags": f"+faststart{list_flag}"}
    with (  # FFmpeg's errors of the disk are `OSError`
        whole_file(path) as part,
        av.open(str(part), "w", format=muxer, container_options=options) as container,
    ):
        container.metadata.update(tags.metadata())
        if len(titles) > 1:
            _mark(container, titles, [*starts_s, end_s])
        _mux(container, parts, tags)
    return [float(start_s) for start_s in starts_s]


class _Part(NamedTuple):
    """The packets of an encoded chapter. Times without `_s` are in units of `base` (seconds).

    They start at `first`, and are `packet` long. The sound begins `padding_s` later.
    """

    path: Path
    base: Fraction
    rate: int
    first: int
    packet: int
    length_s: Fraction
    padding_s: Fraction

    @classmethod
    def of(cls, path: Path) -> _Part:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            packets, base = _packets(container, stream), Fraction(stream.time_base or 0)
            begin = next(packets)
            durations = Counter(packet.duration for packet in chain([begin], packets))
            packet, length_s = max(durations), durations.total() * max(durations) * base
            padding_s = (-begin.pts or stream.start_time or 0) * base
            return cls(path, base, stream.rate, begin.pts, packet, length_s, padding_s)


def _starts_s(parts: Sequence[_Part], *, is_mp3: bool) -> list[Fraction]:
    """When the sound of each chapter begins, by the packets before it.

    Players leave out the padding at the start of the file, but of an mp3 only a decoder's 529
    samples, since its header is written anew. The padding of the other chapters stays, as silence.
    """
    left_out_s = Fraction(529, parts[0].rate) if is_mp3 else parts[0].padding_s
    before_s = accumulate((part.length_s for part in parts), initial=Fraction(0))
    return [at_s + p.padding_s - left_out_s for at_s, p in zip(before_s, parts, strict=False)]


def _mark(container: Any, titles: Sequence[str], times_s: Sequence[Fraction]) -> None:
    """Put the chapters into the header. `times_s` holds a start for each, and the end."""
    spans_ms = pairwise(round(1000 * time_s) for time_s in times_s)
    marks = []
    for number, (title, (start_ms, end_ms)) in enumerate(zip(titles, spans_ms, strict=True)):
        mark = {"id": number, "start": start_ms, "end": end_ms, "metadata": {"title": title}}
        marks.append(mark | {"time_base": Fraction(1, 1000)})
        if container.format.name == "ogg":  # FFmpeg's own marks are a second late after x.5 s
            minutes, ms = divmod(start_ms, 60_000)
            clock = f"{minutes // 60:02d}:{minutes % 60:02d}:{ms // 1000:02d}.{ms % 1000:03d}"
            name = f"CHAPTER{number:03d}"
            container.metadata.update({name: clock, f"{name}NAME": title})
    if container.format.name != "ogg":
        container.set_chapters(marks)


def _mux(container: Any, parts: Sequence[_Part], tags: Tags) -> None:
    """Write the packets of all parts, one after another; the cover first."""
    with av.open(str(parts[0].path)) as first:
        stream = container.add_stream_from_template(first.streams.audio[0])
    stream.metadata["language"] = container.metadata.get("language", "und")
    if tags.cover and container.format.name != "ogg":
        _mux_cover(container, tags.cover)
    position = parts[0].first
    for part in parts:
        with av.open(str(part.path)) as source:
            for packet in _packets(source, source.streams.audio[0]):
                # A copy leaves behind what a part says of its own padding.
                copy = av.Packet(bytes(packet))
                copy.stream, copy.time_base = stream, part.base
                copy.pts = copy.dts = position
                copy.duration = packet.duration if part is parts[-1] else part.packet
                position += part.packet
                container.mux(copy)


def is_picture(data: bytes) -> bool:
    """Whether players can show a cover: a whole JPEG or PNG of at most 36 million pixels."""
    form = "png_pipe" if data.startswith(b"\x89PNG") else "jpeg_pipe"
    try:
        with av.open(io.BytesIO(data), "r", format=form) as image:
            image.streams[0].codec_context.options = _WHOLE
            return next(image.decode(video=0), None) is not None
    except av.FFmpegError:
        return False


def _mux_cover(container: Any, cover: bytes) -> None:
    if not is_picture(cover):
        raise InputError("the cover must be a whole JPEG or PNG file")
    with av.open(io.BytesIO(cover)) as image:
        source = image.streams[0]
        packet = next(_packets(image, source))
        packet.stream = container.add_stream_from_template(source)
        packet.stream.disposition = Disposition.attached_pic
        container.mux(packet)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    return (packet for packet in container.demux(stream) if packet.size)
