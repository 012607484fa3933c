"""Whether everything that was said can be true at once, and the constraints that follow from it.

Faces that are confirmed as one person, directly or by way of other faces, must not be known as different
persons at the same time: by a word that keeps them apart, by one photo that shows both, or by a date
before the person was born.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from nsrfc.errors import shown
from nsrfc.graph.constraints import Constraints
from nsrfc.library.acts import ConflictError, State

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["Facts", "acts_between", "check", "constraints", "days", "reasons_apart"]


@dataclass(frozen=True)
class Facts:
    """What is known of faces beside their embeddings.

    Attributes
    ----------
    photo : ndarray of int64, shape (n,)
        Number of the photo that each face is on; -1 = unknown.
    photos : tuple of str
        Names of the photos.
    taken : ndarray of float64, shape (n,)
        Day on which it was taken, counted from 1970-01-01; inf = unknown.
    """

    photo: npt.NDArray[np.int64]
    photos: tuple[str, ...]
    taken: npt.NDArray[np.float64]


def days(date: str | None) -> float:
    """Return an ISO date as days from 1970-01-01; -inf of None."""
    return -np.inf if date is None else float(np.datetime64(date, "D").astype(np.int64))


class _Known:
    """The graph of what is one person: faces, then persons; each edge has the act that says so."""

    def __init__(self, state: State, n: int) -> None:
        self.n, self.persons = n, list(state.persons)
        self.number = {person: n + position for position, person in enumerate(self.persons)}
        self.size = n + len(self.persons)
        one, other, self._acts = [], [], []
        for key, person in state.persons.items():
            for face, act in person.faces.items():
                one.append(face)
                other.append(self.number[key])
                self._acts.append(act)
        for act, faces in state.together.items():
            for face in faces[1:]:
                one.append(faces[0])
                other.append(face)
                self._acts.append(act)
        self._ends = np.array(one, np.int64), np.array(other, np.int64)

    def groups(self) -> npt.NDArray[np.int64]:
        """Group of each face and person (n + p,)."""
        from scipy.sparse import csgraph

        _, labels = csgraph.connected_components(self._graph(), directed=False)
        return labels.astype(np.int64)

    def acts_between(self, a: int, b: int) -> list[int]:
        """Return the acts on a shortest way from one face or person to another, in their order."""
        from scipy.sparse import csgraph

        before = csgraph.breadth_first_order(self._graph(), a, directed=False)[1]
        way = {b}
        while b != a:
            b = int(before[b])
            way.add(b)
        on = [
            act
            for one, other, act in zip(*self._ends, self._acts, strict=True)
            if one in way and other in way
        ]
        return sorted(set(on))

    def _graph(self) -> csr_array[np.int8]:
        from scipy.sparse import csr_array

        ones = np.ones(len(self._acts), np.int8)
        return csr_array((ones, self._ends), shape=(self.size, self.size))


def check(state: State, facts: Facts) -> None:
    """Check that a state can be true.

    Parameters
    ----------
    state : State
    facts : Facts
        Of all n faces of the library.

    Raises
    ------
    ConflictError
        Naming two acts, or the last act of those that lead to the contradiction.
    """
    known = _Known(state, len(facts.photo))
    group = known.groups()
    for a, b, why, act in _kept_apart(known, state, facts, group):
        if group[a] == group[b]:
            acts = known.acts_between(a, b)
            if act is None:
                raise ConflictError(why, *acts[-2:])
            # A split says that faces are a person and that others are not: another act contradicts it.
            others = [other for other in acts if other != act]
            raise ConflictError(why, *sorted({act, *others[-1:]}))


def _kept_apart(
    known: _Known, state: State, facts: Facts, group: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int, str, int | None]]:
    """Pairs of faces or persons that are not one person: why, and the act that says so."""
    n = known.n
    for (a, b), act in state.apart.items():
        yield a, b, f"faces {a} and {b} are different persons", act
    for (face, key), act in state.rejected.items():
        if key in known.number:
            yield face, known.number[key], f"face {face} is not {key}", act
    of_person = group[n:]
    order = np.argsort(of_person, kind="stable")
    for place in np.flatnonzero(of_person[order[1:]] == of_person[order[:-1]]):
        a, b = int(order[place]), int(order[place + 1])
        yield n + a, n + b, f"{known.persons[a]} and {known.persons[b]} are different persons", None
    yield from _of_one_photo(state, facts, group)
    for key, person in state.persons.items():
        if person.birth is not None:
            node = known.number[key]
            early = (facts.taken < days(person.birth)) & (group[:n] == group[node])
            for face in np.flatnonzero(early)[:1]:
                why = f"face {face} was taken before {key} was born"
                yield int(face), node, why, None


def _of_one_photo(
    state: State, facts: Facts, group: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int, str, int | None]]:
    photo = _photos(state, facts)
    several = np.bincount(group)[group[: len(photo)]] > 1
    faces = np.flatnonzero((photo >= 0) & several)
    order = faces[np.lexsort((faces, group[faces], photo[faces]))]
    again = (photo[order[1:]] == photo[order[:-1]]) & (group[order[1:]] == group[order[:-1]])
    for place in np.flatnonzero(again)[:1]:
        one, other = int(order[place]), int(order[place + 1])
        name = facts.photos[photo[one]]
        why = f"faces {one} and {other} are of one photo, {name}, which is not marked as a collage"
        yield one, other, why, None


def acts_between(state: State, facts: Facts, a: int, b: int) -> list[int]:
    """Return the acts that say that two faces are one person, in their order; none if none does."""
    known = _Known(state, len(facts.photo))
    group = known.groups()
    return known.acts_between(a, b) if group[a] == group[b] else []


def reasons_apart(
    state: State, facts: Facts, one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]
) -> Iterator[tuple[Literal["word", "photo", "birth"], str, int | None]]:
    """Say why two clusters are known to be different persons.

    Parameters
    ----------
    state : State
    facts : Facts
        Of all n faces of the library.
    one, other : ndarray of bool, shape (n,)
        Whether each face is in the first cluster, and in the second.

    Yields
    ------
    kind : {"word", "photo", "birth"}
    why : str
    act : int or None
        What was said.
    """
    sides = (one, other), (other, one)
    person = _person_in(state, one), _person_in(state, other)
    if person[0] is not None and person[1] is not None:
        yield "word", f"{person[0]} and {person[1]} are different persons", None
    for (a, b), act in state.apart.items():
        if any(x[a] and y[b] for x, y in sides):
            yield "word", f"faces {a} and {b} are different persons, by act {act}", act
    for (face, key), act in state.rejected.items():
        if any(side[face] and own == key for side, own in zip((other, one), person, strict=True)):
            yield "word", f"face {face} is not {key}, by act {act}", act
    photo = _photos(state, facts)
    for number in np.intersect1d(photo[one & (photo >= 0)], photo[other & (photo >= 0)])[:1].tolist():
        a, b = (int(np.flatnonzero(side & (photo == number))[0]) for side in (one, other))
        yield "photo", f"faces {a} and {b} are both on the photo {shown(facts.photos[number])}", None
    for side, own in zip((other, one), person, strict=True):
        birth = None if own is None else state.persons[own].birth
        for face in np.flatnonzero(side & (facts.taken < days(birth)))[:1].tolist():
            yield "birth", f"face {face} was taken before {own} was born, on {birth}", None


def _person_in(state: State, side: npt.NDArray[np.bool_]) -> str | None:
    """Return the person of whom a cluster (n,) has confirmed faces."""
    for key, person in state.persons.items():
        if side[next(iter(person.faces), -1)] and person.faces:
            return key
    return None


def _photos(state: State, facts: Facts) -> npt.NDArray[np.int64]:
    """Photo (n,) of each face; -1 also for a collage."""
    whole = np.array([name not in state.collages for name in facts.photos] + [False])
    return np.where(whole[facts.photo], facts.photo, -1)


def constraints(state: State, facts: Facts) -> Constraints:
    """Turn everything that is known into constraints of all n faces.

    Parameters
    ----------
    state : State
        That can be true, see :func:`check`.
    facts : Facts
    """
    n = len(facts.photo)
    known = _Known(state, n)
    group = np.unique(known.groups(), return_inverse=True)[1].astype(np.int64)
    person = np.concatenate((np.full(n, -1), np.arange(len(known.persons))))
    births = [days(state.persons[key].birth) for key in known.persons]
    born = np.concatenate((np.full(n, -np.inf), births))
    first = np.concatenate((facts.taken, np.full(len(births), np.inf)))
    said = [(face, known.number[key]) for face, key in state.rejected if key in known.number]
    photos = _pairs_of_photos(_photos(state, facts))
    apart = np.array([*state.apart, *said], np.int64).reshape(-1, 2)
    every = Constraints.of(group, person, first, born, np.concatenate((apart, photos)))
    return every.among(np.arange(n))


def _pairs_of_photos(photo: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All pairs (m, 2) of faces that share a photo."""
    faces = np.flatnonzero(photo >= 0)
    order = faces[np.argsort(photo[faces], kind="stable")]
    # The faces of a photo stand together: pair each with the one so many places further on.
    found, step = [np.empty((0, 2), np.int64)], 1
    while True:
        ahead = photo[order[step:]] == photo[order[: len(order) - step]]
        if not ahead.any():
            return np.concatenate(found)
        found.append(np.stack((order[: len(order) - step][ahead], order[step:][ahead]), axis=1))
        step += 1
