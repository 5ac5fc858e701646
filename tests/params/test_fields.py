"""Fields as a form needs them, read from the parameter classes."""

import pytest

from chatter_nb.base.errors import ParamError
from chatter_nb.params.fields import COMMON, fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams

BOTH = pytest.mark.parametrize("cls", [SpeakParams, ConvertParams])


@BOTH
def test_every_parameter_is_a_field_with_its_help(cls):
    fields = fields_of(cls)
    assert list(fields) == list(cls.model_fields)
    for name, field in fields.items():
        assert field.help == (cls.model_fields[name].description or "")


@BOTH
def test_every_parameter_says_its_purpose_and_whether_it_is_in_sight(cls):
    """A parameter without either would stand in no group of the cell, the form or the page."""
    fields = fields_of(cls)
    assert all(field.purpose for field in fields.values())
    assert COMMON[cls] == tuple(name for name, field in fields.items() if field.often)
    assert 3 < len(COMMON[cls]) < len(fields) / 3


def test_labels_units_and_kinds():
    fields = fields_of(SpeakParams)
    pause = fields["sentence_pause_ms"]
    assert (pause.label, pause.unit, pause.kind, pause.range) == (
        "pause after a sentence",
        "ms",
        "integer",
        "0 to 60000 ms",
    )
    assert fields["temperature"].range == "above 0, up to 5"
    assert fields["temperature"].optional
    assert fields["meanflow"].kind == "flag"
    assert fields["meanflow"].optional
    assert fields["formats"].choices == ("wav", "flac", "mp3", "opus", "m4b")
    assert fields["engine"].choices[0] == "auto"
    assert fields["takes"].kind == "mapping"


@BOTH
def test_ranges_are_those_that_are_enforced(cls):
    """One step beyond either end of a field's range is refused; the ends are not."""
    source = {"text": "a"} if cls is SpeakParams else {"source": "a", "window_s": 120.0}
    source |= {"formats": ("mp3",), "master": "acx"}  # some fields need it
    checked = 0
    for field in fields_of(cls).values():
        if field.kind not in ("integer", "number") or field.least is None:
            continue
        number = int if field.kind == "integer" else float
        if not field.above:
            cls(**{**source, field.name: number(field.least)})
        cls(**{**source, field.name: number(field.most)})
        for beyond in (field.least - (0 if field.above else 1), field.most + 1):
            with pytest.raises(ParamError, match=field.name):
                cls(**{**source, field.name: number(beyond)})
        checked += 1
    assert checked >= 6
