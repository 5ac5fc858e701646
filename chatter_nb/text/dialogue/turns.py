"""Gives turns of a conversation to its speakers: by name, by pronoun, and where two take turns.

A rule speaks only if one person is left. The limits were tuned by `tests/text/dialogue`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from chatter_nb.base.speakers import NARRATOR
from chatter_nb.text.dialogue.marks import Cast
from chatter_nb.text.dialogue.quotes import Quote
from chatter_nb.text.dialogue.saying import OTHER, Clue

_NEAR = 4  # turns before a pronoun whose people it may mean,
_FAR = 12  # and if none of them fits; an address of who is told of, but not as near, means another


@dataclass
class Turn:
    """A paragraph, or several through which one quote goes on; and who speaks, if that is known.

    `parts`: each quote, with where the narrator's words before it begin and those after it end.
    `tail` and `end`: the narrator's last words. `named`: by the narrator, `subjects` as subjects
    of sentences. `called`: by name, by the speaker; of these `present`
    are who are told of near.
    """

    parts: list[tuple[int, Quote, int]]
    tail: int
    end: int
    clues: dict[int, Clue] = field(default_factory=dict)  # by the start of a quote
    named: set[str] = field(default_factory=set)
    subjects: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)
    speaker: str = NARRATOR
    reason: str = "no verb of saying with a name beside it"

    @property
    def is_open(self) -> bool:
        """Whether its last quote goes on in the next paragraph."""
        return bool(self.parts) and self.parts[-1][1].is_open

    def fits(self, speaker: str, cast: Cast) -> bool:
        """Whether its pronouns may mean this speaker, whom it does not address."""
        pronouns = {clue.pronoun for clue in self.clues.values() if clue.pronoun}
        own = cast.pronouns.get(speaker)
        return speaker not in self.called and (own is None or pronouns <= {own})


def give_speakers(turns: list[Turn], cast: Cast) -> list[Turn]:
    """The turns of a chapter, with `speaker` and `reason` set where rules find who speaks."""
    told = [{*turn.named, *(clue.speaker for clue in turn.clues.values())} for turn in turns]
    absent = set().union(*told)
    for number, turn in enumerate(turns):
        near = set().union(*told[max(0, number - _FAR) : number + _FAR])
        turn.present = turn.called & near
        turn.called -= absent - near
    for _ in range(2):  # what turns tell helps pronouns
        for number, turn in enumerate(turns):
            if turn.clues and not turn.speaker:
                _give_by_clues(turns, number, cast)
        for is_spoken, run in groupby(turns, key=lambda turn: bool(turn.parts)):
            if is_spoken:
                _give_by_turns(list(run), cast)
    return turns


def _give_by_clues(turns: Sequence[Turn], number: int, cast: Cast) -> None:
    turn = turns[number]
    clues = sorted(turn.clues.values(), key=lambda clue: not clue.speaker)  # names first
    named = {clue.speaker for clue in clues if clue.speaker}
    people = named or _meant(turns, number, cast)
    speaker = people.pop() if len(people) == 1 else ""
    if speaker and turn.fits(speaker, cast):
        turn.speaker, turn.reason = speaker, clues[0].words
        turn.reason += ": not in the cast" if speaker == OTHER else ""
    elif named:
        turn.speaker, turn.reason = OTHER, "several speak in this paragraph"
    else:
        turn.reason = f"{clues[0].words}: {' or '.join(sorted(people)) or 'nobody fits'}"


def _meant(turns: Sequence[Turn], number: int, cast: Cast) -> set[str]:
    """Who may be meant by the pronoun of a turn: people who were named or spoke just before."""
    turn, before = turns[number], turns[max(0, number - _FAR) : number][::-1]
    following = [clue for near in turns[number + 1 : number + 2] for clue in near.clues.values()]
    last = before[0] if before else turn
    answers = bool(last.parts)
    others = {OTHER, NARRATOR, *(clue.speaker for clue in following[:1])}

    def fitting(people: Iterable[str]) -> set[str]:
        return {who for who in people if who not in others and turn.fits(who, cast)}

    if any(near.speaker == OTHER for near in before[:2]):
        return {OTHER}
    close = fitting(last.called if answers else last.subjects)
    if len(close) == 1 and close == fitting(last.called if answers else last.named):
        return close
    people = fitting(turn.named)
    for distance, near in enumerate(before):
        is_dim = near.parts and not near.speaker and distance > 1
        if is_dim or (distance >= _NEAR and people):
            break
        people |= fitting({near.speaker, *near.named})
    return people - ({last.speaker} if answers else set())


def _give_by_turns(run: Sequence[Turn], cast: Cast) -> None:
    """Fill the gaps of a run of turns; the first gap last, as it has names after it only."""
    known = [-1, *(n for n, turn in enumerate(run) if turn.speaker), len(run)]
    gaps = [gap for gap in pairwise(known) if gap[1] - gap[0] > 1 and len(known) > 2]
    everyone = {turn.speaker for turn in run} - {NARRATOR}
    for first, last in sorted(gaps, key=lambda gap: gap[0] < 0):
        everyone |= _alternate(run, first, last, cast, everyone)


def _alternate(
    run: Sequence[Turn], first: int, last: int, cast: Cast, everyone: set[str]
) -> set[str]:
    """Give the turns between `first` and `last` to two in turns, if there is evidence for these.

    Evidence is: one calls the other, they took turns before, nobody else speaks in the run.
    """
    leads = first < 0
    anchor, step = (last, 1) if leads else (first, -1)
    inner = range(first + 1, last + 1) if leads else range(first, last)
    near = range(max(0, first - 2), min(len(run), last + 3))
    people = {run[n].speaker for n in near if n <= anchor or leads} - {NARRATOR}
    people = people.union(*(run[n].present for n in inner))
    if len(people) == 1 and last < len(run):
        people.add(run[last].speaker)
    if len(people) != 2 or OTHER in people:
        return set()
    (other,) = people - {run[anchor].speaker}
    speakers = {n: other if (n - anchor) % 2 else run[anchor].speaker for n in near}
    checked = range(max(0, first - 1), min(len(run), last + 2))
    is_other = any(run[n].speaker not in (NARRATOR, speakers[n]) for n in checked)
    if is_other or any(run[n].named - people or not run[n].fits(speakers[n], cast) for n in inner):
        return set()
    side, evidence = anchor + step, int(everyone == people and not leads)
    while side in near and run[side].speaker == speakers[side]:
        side, evidence = side + step, evidence + 1
    evidence += sum(bool(run[n].present) for n in inner if n < last)
    if evidence <= leads:
        return set()
    for n in range(first + 1, last):
        run[n].speaker, run[n].reason = speakers[n], "two speak in turns"
    return people
