"""The speakers of a text: their voices, how they speak, and their moods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer

from chatter_nb.base.errors import shown
from chatter_nb.base.speakers import QUOTES
from chatter_nb.params.pairs import as_pairs
from chatter_nb.params.types import Text, one_or_more

SPEEDS = (0.5, 2.0)  # the slowest and the fastest pace, of any engine that has one
Speed = Annotated[float | None, Field(ge=SPEEDS[0], le=SPEEDS[1])]
ToTwo = Annotated[float | None, Field(ge=0, le=2)]
Temperature = Annotated[float | None, Field(gt=0, le=5)]
_OF_CAST = ("labels", "moods")


class Manner(BaseModel):
    """How somebody speaks; what is None is as in the run. `gain_db` is louder or softer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    speed: Speed = None
    exaggeration: ToTwo = None
    cfg_weight: ToTwo = None
    temperature: Temperature = None
    gain_db: float = Field(0.0, ge=-20, le=20)

    def knobs(self) -> dict[str, float]:
        """The knobs of an engine that are set."""
        values = {name: getattr(self, name) for name in Manner.model_fields if name != "gain_db"}
        return {name: value for name, value in values.items() if value is not None}

    @model_serializer(mode="wrap")
    def _chosen(self, handler: Any) -> dict[str, Any]:
        """What differs from the defaults: all that a person has written."""
        fields = type(self).model_fields
        return {n: v for n, v in handler(self).items() if getattr(self, n) != fields[n].default}


class Member(Manner):
    """A speaker: voice (a name or a recording; empty: the run's), other names, "he" or "she"."""

    voice: Text = ""
    language: Annotated[str, Field(max_length=16)] | None = None
    aliases: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = ()
    pronoun: Literal["he", "she"] | None = None


def _as_member(value: Any) -> Any:
    """A voice alone stands for a member with this voice."""
    return {"voice": value} if isinstance(value, str) else value


_read = BeforeValidator(as_pairs, json_schema_input_type=dict[str, Any] | str)
_Member = Annotated[Member, BeforeValidator(_as_member)]
Cast = Annotated[dict[Text, _Member], Field(max_length=500), _read]
Moods = Annotated[dict[Text, Manner], Field(max_length=100), _read]
Targets = Annotated[dict[Text, Text], _read]  # of a conversion: each speaker with a voice


def rules_of_cast(values: Mapping[str, Any]) -> Iterator[str]:
    """A message for each name that two have, and for what needs a cast."""
    cast = values["cast"]
    if not isinstance(cast, Mapping):  # it has an error of its own
        return
    owners: dict[str, str] = {}
    for name, member in cast.items():
        for each in (name, *getattr(member, "aliases", ())):
            key = " ".join(str(each).lower().split())
            if not key:
                yield f"cast: a name of {shown(name)} is empty: give it letters"
            elif owners.get(key, name) != name:
                one, other = owners[key].strip(), name.strip()
                both = f"a name of both {shown(one)} and {shown(other)}"
                where = "there twice" if one == other else both
                yield f"cast: {shown(each.strip())} is {where}: keep one"
            owners.setdefault(key, name)
    quotes = values["quotes"]
    if quotes == "one" and QUOTES not in owners:
        yield f"quotes: one needs a voice for quotes: add {QUOTES} to the cast, with its voice"
    if quotes == "attributed" and not cast:
        yield "quotes: attributed gives quotes to names of the cast: set cast, name: voice"
    if needing := [name for name in _OF_CAST if values[name] and not cast]:
        yield f"{' and '.join(needing)}: for the names of a cast: set cast, name: voice"
