"""What a person said, act by act, and the state that follows from it.

An act is never changed. Undoing one is another act, which can be undone as well. The state is the replay
of all acts that are not undone; a run of the machine adds none.

A *person* is who a human recognised: faces that were confirmed, perhaps a name. Its id, such as ``p7``,
is the number of the act that made it, and never changes. Faces of different persons are kept apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, Self

from nsrfc.errors import shown

__all__ = ["Act", "ActKind", "ConflictError", "Person", "State", "replay", "undone"]

ActKind = Literal[
    "name",
    "confirm",
    "reject",
    "merge",
    "split",
    "hide",
    "cover",
    "birth",
    "collage",
    "unsure",
    "undo",
]


@dataclass(frozen=True)
class Act:
    """One thing that was said.

    Attributes
    ----------
    kind : str
        name     ``faces`` are a new person called ``text``; or ``person`` is called ``text`` from now on
        confirm  ``faces`` are one person, and that is ``person``, if given
        reject   none of ``faces`` is ``person``; without it, the two ``faces`` are different persons
        merge    ``other``, or a cluster of ``faces``, is ``person``, which keeps its id, name and cover
        split    ``faces``, of ``person`` or of nobody yet, are a new person, and ``rest`` is not
        hide     ``person`` is not shown, or shown again if not ``yes``
        cover    ``person`` is shown by its first face of ``faces``
        birth    ``person`` was born on the date ``text``
        collage  the photo ``text`` may show a person twice; it may not if not ``yes``
        unsure   nobody can tell whether the two ``faces`` are one person
        undo     ``act`` does not count
    """

    kind: ActKind
    faces: tuple[int, ...] = ()
    person: str | None = None
    other: str | None = None
    rest: tuple[int, ...] = ()
    text: str | None = None
    yes: bool = True
    act: int | None = None

    def as_json(self) -> str:
        """Return the act as JSON, without what is at its default."""
        default = asdict(Act(self.kind))
        given = {key: value for key, value in asdict(self).items() if value != default[key]}
        return json.dumps({"kind": self.kind, **given}, ensure_ascii=False)

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Make an act of what :meth:`as_json` returned."""
        values: Mapping[str, Any] = json.loads(text)
        lists = {key: tuple(values[key]) for key in ("faces", "rest") if key in values}
        return cls(**{**values, **lists})

    def without(self, faces: Iterable[int], *, nameless: bool) -> Act:
        """Return the act without some faces; and without a name or date of birth."""
        gone = set(faces)
        return replace(
            self,
            faces=tuple(face for face in self.faces if face not in gone),
            rest=tuple(face for face in self.rest if face not in gone),
            text=None if nameless and self.kind in ("name", "split", "birth") else self.text,
        )

    def in_words(self) -> str:
        """Describe the act in a few words, for messages and the history."""
        many = len(self.faces)
        faces = f"face {self.faces[0]}" if many == 1 else f"{many} faces"
        if many in (2, 3):
            faces = "faces " + ", ".join(map(str, self.faces[:-1])) + f" and {self.faces[-1]}"
        named = "" if self.text is None else f" {shown(self.text)}"
        words = {
            "name": f"{faces} named{named}" if self.person is None else f"{self.person} named{named}",
            "confirm": f"{faces} confirmed as {self.person or 'one person'}",
            "reject": f"{faces} not {self.person}" if self.person else f"{faces} different persons",
            "merge": f"{self.other or faces} merged into {self.person}",
            "split": f"{faces} split from {self.person or 'the others'}",
            "hide": f"{self.person} {'hidden' if self.yes else 'shown again'}",
            "cover": f"cover of {self.person} chosen",
            "birth": f"{self.person} born{' on ' + self.text if self.text else ''}",
            "collage": f"photo{named} {'is' if self.yes else 'is not'} a collage",
            "unsure": f"{faces} left open",
            "undo": f"act {self.act} undone",
        }
        return words[self.kind]


class ConflictError(Exception):
    """An act contradicts what was said before.

    Attributes
    ----------
    acts : tuple of int
        The numbers of the acts it contradicts; empty if it does not fit for another reason.
    why : str
    number : int or None
        The number of the act itself, where acts are replayed.
    """

    def __init__(self, why: str, *acts: int, number: int | None = None) -> None:
        super().__init__(why)
        self.why, self.acts, self.number = why, acts, number


@dataclass
class Person:
    """Who a human recognised.

    Attributes
    ----------
    id : str
    name : str or None
    faces : dict of int to int
        Confirmed faces, and the act that confirmed each.
    cover : int or None
        The face that the person is shown by.
    hidden : bool
    birth : str or None
        Date of birth, ISO 8601.
    """

    id: str
    name: str | None = None
    faces: dict[int, int] = field(default_factory=dict)
    cover: int | None = None
    hidden: bool = False
    birth: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything but the acts, as JSON values."""
        return {**vars(self), "faces": sorted(self.faces)}


@dataclass
class State:
    """Everything that was said and counts.

    Attributes
    ----------
    persons : dict of str to Person
    person_of : dict of int to str
        The person of each confirmed face.
    rejected : dict of (int, str) to int
        Faces that are not a person, and the act that said so.
    together : dict of int to tuple of int
        By act, faces that are one person, whoever that is.
    apart : dict of (int, int) to int
        Pairs of faces, the lower first, that are different persons, and the act that said so.
    collages : set of str
        Photos that may show a person twice.
    unsure : set of (int, int)
        Pairs of faces, the lower first, of which nobody can tell.
    explicit : set of int
        Acts that confirmed faces one by one, and not a whole cluster.
    acts_of : dict of int to list of int
        The acts in `together` that mention a face.
    """

    persons: dict[str, Person] = field(default_factory=dict)
    person_of: dict[int, str] = field(default_factory=dict)
    rejected: dict[tuple[int, str], int] = field(default_factory=dict)
    together: dict[int, tuple[int, ...]] = field(default_factory=dict)
    apart: dict[tuple[int, int], int] = field(default_factory=dict)
    collages: set[str] = field(default_factory=set)
    unsure: set[tuple[int, int]] = field(default_factory=set)
    explicit: set[int] = field(default_factory=set)
    acts_of: dict[int, list[int]] = field(default_factory=dict)

    def apply(self, number: int, act: Act) -> None:
        """Let an act count, as number ``number``.

        Raises
        ------
        ConflictError
            If it contradicts the acts before it.
        """
        getattr(self, f"_{act.kind}")(number, act)

    def as_json(self) -> dict[str, Any]:
        """Return the state as JSON values; equal states are equal in it, whatever acts led to them."""
        return {
            "persons": [self.persons[key].as_json() for key in sorted(self.persons)],
            "rejected": sorted([face, person] for face, person in self.rejected),
            "together": sorted(sorted(faces) for faces in self.together.values()),
            "apart": sorted(map(list, self.apart)),
            "collages": sorted(self.collages),
            "unsure": sorted(map(list, self.unsure)),
        }

    def around(self, act: Act) -> State:
        """Return the part of the state that an act can contradict.

        These are the persons and faces that are one with those of the act, directly or by way of
        others, and what is known of them.
        """
        faces, persons, acts = set(act.faces) | set(act.rest), {act.person, act.other}, set()
        new = list(faces)
        new += [face for key in persons if key in self.persons for face in self.persons[key].faces]
        while new:
            face = new.pop()
            faces.add(face)
            key = self.person_of.get(face)
            if key is not None and key not in persons:
                persons.add(key)
                new += [other for other in self.persons[key].faces if other not in faces]
            for number in self.acts_of.get(face, ()):
                if number not in acts:
                    acts.add(number)
                    new += [other for other in self.together[number] if other not in faces]
        return State(
            persons={key: self.persons[key] for key in persons if key in self.persons},
            person_of={face: self.person_of[face] for face in faces if face in self.person_of},
            rejected={
                (face, key): number
                for (face, key), number in self.rejected.items()
                if key in persons and face in faces
            },
            together={number: self.together[number] for number in acts},
            apart={pair: number for pair, number in self.apart.items() if faces.issuperset(pair)},
            collages=self.collages,
        )

    def person(self, key: str | None) -> Person:
        """Return a person by its id.

        Raises
        ------
        ConflictError
            If there is none.
        """
        if key is None or key not in self.persons:
            raise ConflictError(f"there is no person {key}")
        return self.persons[key]

    def _name(self, number: int, act: Act) -> None:
        if act.person is not None:
            self.person(act.person).name = act.text
            return
        self._confirmed(number, self._new(number, act.text), act.faces)

    def _confirm(self, number: int, act: Act) -> None:
        if act.person is None:
            self.together[number] = act.faces
            for face in act.faces:
                self.acts_of.setdefault(face, []).append(number)
            return
        self.explicit.add(number)
        self._confirmed(number, self.person(act.person), act.faces)

    def _reject(self, number: int, act: Act) -> None:
        if act.person is None:
            # A face of the two may have been forgotten.
            for pair in combinations(sorted(act.faces), 2):
                self.apart.setdefault(pair, number)
            return
        person = self.person(act.person)
        for face in act.faces:
            before = person.faces.get(face)
            if before is not None and before in self.explicit:
                raise ConflictError(f"face {face} was confirmed as {person.id}", before)
            if before is not None:
                self._unconfirmed(person, face)
            self.rejected.setdefault((face, person.id), number)

    def _merge(self, number: int, act: Act) -> None:
        person = self.person(act.person)
        if act.other is None:
            self._confirmed(number, person, act.faces)
            return
        other = self.person(act.other)
        if person is other:
            raise ConflictError(f"{person.id} is one person already")
        for face, before in other.faces.items():
            refused = self.rejected.get((face, person.id))
            if refused is not None:
                raise ConflictError(f"face {face} is not {person.id}", refused)
            person.faces[face] = before
            self.person_of[face] = person.id
        for (face, key), before in list(self.rejected.items()):
            if key == other.id:
                if self.person_of.get(face) == person.id:
                    raise ConflictError(f"face {face} is not {other.id}", before)
                del self.rejected[face, key]
                self.rejected.setdefault((face, person.id), before)
        person.cover = other.cover if person.cover is None else person.cover
        person.name = other.name if person.name is None else person.name
        person.birth = other.birth if person.birth is None else person.birth
        del self.persons[other.id]

    def _split(self, number: int, act: Act) -> None:
        new = self._new(number, act.text)
        for face in act.faces:
            before = self.person_of.get(face)
            if before is not None and before == act.person:
                self._unconfirmed(self.persons[before], face)
        self._confirmed(number, new, act.faces)
        for face in act.rest:
            self.rejected.setdefault((face, new.id), number)

    def _hide(self, number: int, act: Act) -> None:
        del number
        self.person(act.person).hidden = act.yes

    def _cover(self, number: int, act: Act) -> None:
        del number
        self.person(act.person).cover = act.faces[0] if act.faces else None

    def _birth(self, number: int, act: Act) -> None:
        del number
        self.person(act.person).birth = act.text

    def _collage(self, number: int, act: Act) -> None:
        del number
        assert act.text is not None
        if act.yes:
            self.collages.add(act.text)
        else:
            self.collages.discard(act.text)

    def _unsure(self, number: int, act: Act) -> None:
        del number
        self.unsure.update(combinations(sorted(act.faces), 2))

    def _new(self, number: int, name: str | None) -> Person:
        person = Person(f"p{number}", name)
        self.persons[person.id] = person
        return person

    def _confirmed(self, number: int, person: Person, faces: Iterable[int]) -> None:
        for face in faces:
            before = self.person_of.get(face)
            if before is not None and before != person.id:
                raise ConflictError(f"face {face} is {before}", self.persons[before].faces[face])
            refused = self.rejected.get((face, person.id))
            if refused is not None:
                raise ConflictError(f"face {face} is not {person.id}", refused)
            person.faces.setdefault(face, number)
            self.person_of[face] = person.id
        # It stays the cover, whatever is confirmed or merged later.
        if person.cover is None and person.faces:
            person.cover = min(person.faces)

    def _unconfirmed(self, person: Person, face: int) -> None:
        del person.faces[face], self.person_of[face]
        if person.cover == face:
            person.cover = min(person.faces, default=None)


def undone(acts: Mapping[int, Act]) -> set[int]:
    """Return the numbers of the acts that do not count, as another act that counts undoes them."""
    found: set[int] = set()
    for number in sorted(acts, reverse=True):
        act = acts[number]
        if act.kind == "undo" and number not in found:
            assert act.act is not None
            found.add(act.act)
    return found


def replay(acts: Mapping[int, Act]) -> State:
    """Return the state that follows from acts, by their numbers.

    Raises
    ------
    ConflictError
        If one of them contradicts those before it, for example as an act that it builds on was undone.
    """
    state, gone = State(), undone(acts)
    for number, act in sorted(acts.items()):
        if number in gone or act.kind == "undo":
            continue
        try:
            state.apply(number, act)
        except ConflictError as conflict:
            raise ConflictError(conflict.why, *conflict.acts, number=number) from None
    return state
