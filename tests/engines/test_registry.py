"""An engine's name, and what engines accept, stand in one place; the rest follows."""

from typing import get_args

import pytest
from listings import modules_that_list

from chatter_nb.bench.params import ENGINES, TimingParams
from chatter_nb.engines.checkpoints import MODELS
from chatter_nb.engines.registry import ENGINE_PARAMETERS, TTS_ENGINES, VC_ENGINES
from chatter_nb.params.conversion import VcEngineName
from chatter_nb.params.fields import COMMON, fields_of
from chatter_nb.params.runs import (
    KNOBS,
    ConvertParams,
    SpeakParams,
    SpeechEngineName,
    TtsEngineName,
    knobs_of,
)

REGISTRIES = {"speech": TTS_ENGINES, "conversion": VC_ENGINES}
ENTRIES = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]


def test_a_knob_is_a_field_and_its_engines_and_no_more():
    """A new one stands in no other list; the field itself says whether forms fold it away."""
    assert modules_that_list(KNOBS, at_least=3) == {"engines/registry.py"}
    assert not set(KNOBS) <= {name for names in COMMON.values() for name in names}


def test_every_knob_is_a_field_that_some_engine_accepts():
    assert set(KNOBS) == {knob for entry in TTS_ENGINES.values() for knob in entry.knobs}
    assert set(KNOBS) & set(ConvertParams.model_fields) == {
        name for entry in VC_ENGINES.values() for name in entry.knobs
    }
    assert knobs_of(SpeakParams(text="a")) == {}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_engines_accept_nothing_that_parameters_do_not_have(kind):
    params = SpeakParams if kind == "speech" else ConvertParams
    for name, entry in REGISTRIES[kind].items():
        assert entry.accepts <= set(params.model_fields), name
        assert entry.accepts <= ENGINE_PARAMETERS
        for knob, value in entry.knobs.items():
            field = fields_of(params)[knob]
            assert value is None or field.least <= value <= field.most, (name, knob)


def test_the_names_of_engines_are_the_registrys():
    """mypy and pydantic know them by `params`, which lies below the registry."""
    assert set(get_args(TtsEngineName)) == {"auto", *TTS_ENGINES}
    assert set(get_args(VcEngineName)) == {"auto", *VC_ENGINES}
    assert fields_of(TimingParams)["engine"].choices == get_args(SpeechEngineName)
    assert set(ENGINES) == {name for name in TTS_ENGINES if name.startswith("chatterbox")}
    names = {*TTS_ENGINES, *VC_ENGINES}
    assert modules_that_list(names, at_least=2, keys=False) == {
        "params/conversion.py",
        "params/runs.py",
    }


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_the_registry_says_what_the_engines_accept(kind, name):
    entry = REGISTRIES[kind][name]
    assert not entry.files or entry.files in MODELS
    if entry.missing():
        pytest.skip(entry.lacks())
    engine_class = entry.engine_class()
    assert (engine_class.name, engine_class.accepts) == (name, entry.accepts)
    assert engine_class.min_voice_s == entry.min_voice_s
    assert getattr(engine_class, "languages", entry.languages) == entry.languages
    assert getattr(engine_class, "needs_voice", False) == entry.needs_voice
