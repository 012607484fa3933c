"""Faces and names of another program, into a library.

A face is known by its program and the program's own id, so that a second import adds what is new. Names
come as acts, as if the human had said them here, of faces of which nothing was said here before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from nsrfc.bridges.record import FaceRecord
from nsrfc.errors import InputError, enumerate_names
from nsrfc.library.library import Library
from nsrfc.methods.base import Run
from nsrfc.progress import Progress

__all__ = ["Arrival", "Said", "arrive", "say_names"]


@dataclass
class Arrival:
    """What an import has done.

    Attributes
    ----------
    added : int
        Faces that are new.
    known : int
        Faces that were there before.
    persons : int
        Persons that are new.
    confirmed : int
        Faces that were confirmed as somebody.
    skipped : Counter
        Rows, or names of faces, that were left out, by reason.
    """

    added: int = 0
    known: int = 0
    persons: int = 0
    confirmed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Said:
    """Who a face is, as a program has it: face of the library, the program's person, and a name."""

    face: int
    person: str
    name: str
    photo: str | None = None


def arrive(
    library: Library,
    program: str,
    records: Iterable[FaceRecord],
    *,
    skipped: Counter[str] | None = None,
    embedder: str | None = None,
    space: str | None = None,
    run: Run | None = None,
) -> Arrival:
    """Add the faces of a program that are new, and say the names that it knows.

    Parameters
    ----------
    library : Library
    program : str
        Name of the program, a part of the keys of faces.
    records : iterable of FaceRecord
    skipped : Counter, optional
        What the reader counts while it is read.
    embedder : str, optional
        As for :meth:`nsrfc.Library.add`.
    space : str, optional
        Name of the model, or dimension, of which faces are taken, where a program has several.
    run : Run, optional

    Raises
    ------
    InputError
        If the embeddings are of several models or dimensions, or of others than those of the library.
        Nothing is added then.
    """
    done = Arrival(skipped=Counter() if skipped is None else skipped)
    found = list({record.own: record for record in records}.values())
    found = _of_one_space(found, program, space, done)
    keys = [f"{program}:{record.own}" for record in found]
    known = _faces_by_key(library)
    done.known = sum(key in known for key in keys)
    new = [(key, record) for key, record in zip(keys, found, strict=True) if key not in known]
    if new:
        boxes = [(np.nan,) * 4 if record.box is None else record.box for _, record in new]
        ids = library.add(
            np.stack([record.embedding for _, record in new]),
            keys=[key for key, _ in new],
            photos=[record.photo for _, record in new],
            taken=[record.taken for _, record in new],
            boxes=boxes,
            embedder=embedder,
            run=run,
        )
        known |= {key: face for (key, _), face in zip(new, ids.tolist(), strict=True)}
        done.added = len(new)
    words = [
        Said(known[key], record.person or record.name, record.name, record.photo)
        for key, record in zip(keys, found, strict=True)
        if record.name is not None
    ]
    say_names(library, words, done, None if run is None else run.progress)
    return done


def say_names(
    library: Library, words: Sequence[Said], done: Arrival, progress: Progress | None = None
) -> None:
    """Confirm faces as the persons that a program has, where nothing was said about them here.

    A person of the program is the one here who has most of their faces already, or else who has the
    name. Two faces of one photo that the program calls one person are left open: one is wrong.

    Parameters
    ----------
    library : Library
    words : sequence of Said
    done : Arrival
        Counts what happens.
    progress : Progress, optional
        Every act is on disk before the next; an import that was cut off goes on when it is given again.
    """
    mentioned = {face for entry in library.history() for face in (*entry.act.faces, *entry.act.rest)}
    people = library.people()
    person_of = {face: group.id for group in people for face in group.confirmed.tolist()}
    named = {group.name: group.id for group in people if group.name is not None}
    of_person: dict[str, list[Said]] = defaultdict(list)
    for word in words:
        of_person[word.person].append(word)
    here: dict[str, str] = {}
    for person, own in of_person.items():
        votes = Counter(person_of[word.face] for word in own if word.face in person_of)
        if votes:
            here[person] = min(votes, key=lambda one: (-votes[one], one))
    with (progress or Progress()).stage("people", len(of_person)) as advance:
        for person, own in of_person.items():
            advance(1)
            faces = _sure(own, mentioned, done)
            if not faces:
                continue
            try:
                if person in here:
                    library.confirm(faces, here[person])
                else:
                    here[person] = _said_by_name(library, faces, own[0].name, named, here)
            except InputError:
                done.skipped["name refused here"] += len(faces)
                continue
            done.confirmed += len(faces)
    done.persons = len(library.people()) - len(people)


def _sure(words: Sequence[Said], mentioned: set[int], done: Arrival) -> list[int]:
    """Return the faces of a person that may be confirmed, ascending."""
    on_photo = Counter(word.photo for word in words)
    on_photo[None] = 1
    new = [word for word in words if word.face not in mentioned]
    twice = [word for word in new if on_photo[word.photo] > 1]
    done.skipped["named twice on one photo"] += len(twice)
    return sorted({word.face for word in new} - {word.face for word in twice})


def _said_by_name(
    library: Library,
    faces: list[int],
    name: str,
    named: dict[str, str],
    here: Mapping[str, str],
) -> str:
    """Confirm faces as the person of a name, or as a new one, and return the id.

    Two people of a program stay two, whatever they are called; and so do two who cannot be one, as they
    are on one photo.
    """
    others, number, tried = set(here.values()), 1, name.strip()
    while True:
        who = named.get(tried)
        if who is None:
            named[tried] = library.name(faces, tried)
            return named[tried]
        if who not in others:
            with suppress(InputError):
                library.confirm(faces, who)
                return who
        number += 1
        tried = f"{name.strip()} ({number})"


def _faces_by_key(library: Library) -> dict[str, int]:
    described = library.store.described(library.faces.tolist())
    return {row["key"]: row["id"] for row in described if row["key"] is not None}


def _of_one_space(
    records: list[FaceRecord], program: str, wanted: str | None, done: Arrival
) -> list[FaceRecord]:
    """Return the records whose embeddings can be compared with each other."""
    if wanted is not None:
        chosen = [each for each in records if wanted in (each.space, str(len(each.embedding)))]
        done.skipped["embedded by another model"] += len(records) - len(chosen)
        records = chosen
    spaces = Counter((record.space, len(record.embedding)) for record in records)
    if len(spaces) > 1:
        words = [f"{count} by {space or 'one'} ({size})" for (space, size), count in spaces.items()]
        raise InputError(
            f"The faces of {program} were embedded by several models ({enumerate_names(words)}), which "
            f"cannot be compared: choose one by its name or dimension with --space."
        )
    return records
