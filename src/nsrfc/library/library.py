"""A library: faces that come over time, clusters that are found again, persons that stay."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt

from nsrfc.config import ClusterConfig
from nsrfc.errors import InputError, enumerate_names, shown
from nsrfc.library.acts import Act, Person
from nsrfc.library.clusters import Clusters
from nsrfc.library.explain import Explanation, Material, explain
from nsrfc.library.identity import group_ids
from nsrfc.library.journal import Entry, Journal
from nsrfc.library.overview import Overview, doubtful, write_overview
from nsrfc.library.questions import Question, questions
from nsrfc.library.splits import suggested_split
from nsrfc.library.store import Store, Table
from nsrfc.methods.base import Run
from nsrfc.model.settings import UNIVERSAL
from nsrfc.records import UNCLUSTERED
from nsrfc.storage.files import PathLike, kind_of
from nsrfc.vectors import as_array, normalize, normalize_good, refuse_none

if TYPE_CHECKING:
    from nsrfc.library.upkeep import Problem
    from nsrfc.model.bundle import NSRFC

__all__ = ["Group", "Library"]

_Faces = npt.NDArray[np.int64]

_ID = re.compile(r"[pc]\d+")


@dataclass(frozen=True)
class Group:
    """Faces that are shown together: a person, or a cluster of nobody known.

    Attributes
    ----------
    id : str
        ``p7`` of a person, ``c12`` of a cluster.
    name : str or None
    faces : ndarray of int64, shape (m,)
        Confirmed faces, and those of the same cluster, ascending.
    confirmed : ndarray of int64, shape (c,)
        Those that a human confirmed.
    cover : int
        The face that the group is shown by.
    hidden : bool
    birth : str or None
        Date of birth, ISO 8601.
    cluster : int
        Id of the cluster.
    """

    id: str
    name: str | None
    faces: _Faces
    confirmed: _Faces
    cover: int
    hidden: bool
    birth: str | None
    cluster: int


class Library:
    """Faces, clusters and persons in a folder.

    A *face* is a row of embeddings, a *cluster* is what the machine found, a *person* is who a human
    recognised. Runs change clusters and never persons. Persons are referred to by id, such as ``p7``, or
    by name; clusters by id, such as ``c12``; faces by number.

    Every word of a human (:meth:`name`, :meth:`confirm`, :meth:`reject`, :meth:`merge`, :meth:`split`,
    ...) is an act with a number, on disk when the method returns; :meth:`undo` takes it back.

    Parameters
    ----------
    store : Store

    Examples
    --------
    >>> library = Library.create("family")  # doctest: +SKIP
    >>> library.add(X, keys=files)  # doctest: +SKIP
    >>> library.cluster()  # doctest: +SKIP
    >>> library.name("c0", "Anna")  # doctest: +SKIP
    """

    def __init__(self, store: Store) -> None:
        self._store, self._journal = store, Journal(store)
        self._found = Clusters(store, self._journal)
        self._groups: tuple[object, list[Group]] | None = None

    @classmethod
    def create(cls, folder: PathLike, *, embedder: str = "unknown", weights: str = "") -> Self:
        """Make an empty library.

        Parameters
        ----------
        folder : path-like
            New or empty.
        embedder : str
            Name of what makes the embeddings.
        weights : str
            SHA-256 of its weights, if known.

        Raises
        ------
        InputError
            If the folder holds files, or cannot be written.
        """
        return cls(Store.create(Path(folder), {"embedder": embedder, "weights": weights}))

    @classmethod
    def open(cls, folder: PathLike) -> Self:
        """Open a library.

        Raises
        ------
        InputError
            If there is none, it is damaged, or of another version.
        """
        return cls(Store(Path(folder)))

    @property
    def folder(self) -> Path:
        """Where the library is."""
        return self._store.folder

    @property
    def store(self) -> Store:
        """What is kept on disk."""
        return self._store

    @property
    def found(self) -> Clusters:
        """What the machine found."""
        return self._found

    # Faces

    def add(
        self,
        X: npt.ArrayLike,
        *,
        keys: Sequence[object] | None = None,
        photos: Sequence[str | None] | None = None,
        taken: Sequence[str | None] | None = None,
        thumbnails: Sequence[bytes | None] | None = None,
        embedder: str | None = None,
        skip_bad: bool = False,
        join: bool = True,
        run: Run | None = None,
    ) -> _Faces:
        """Add faces; if the library was clustered before, they join its clusters.

        Parameters
        ----------
        X : array-like of float, shape (m, d)
            Embeddings, need not be normalised.
        keys : sequence, optional
            Your ids (m,), each once in the library.
        photos : sequence of str or None, optional
            The photo (m,) that each face is on: two faces of one photo are different persons, unless it
            is marked as a collage.
        taken : sequence of str or None, optional
            When it was taken (m,), ISO 8601: no person is older than its date of birth.
        thumbnails : sequence of bytes or None, optional
            A small picture (m,) of each face, WebP or JPEG.
        embedder : str, optional
            What made the embeddings, to be compared with that of the library.
        skip_bad : bool
            Whether rows that are missing, zero, NaN or infinite are left out.
        join : bool
            Whether they join the clusters now, or with :meth:`refresh`, where many batches are added.
        run : Run, optional

        Returns
        -------
        ndarray of int64, shape (m,)
            Ids of the faces; -1 for bad rows.

        Raises
        ------
        InputError
            If the embeddings are of another embedder or dimension, rows are bad, keys are there
            already, or a sequence has another length or is no date. Nothing is added then.
        """
        vectors = as_array(X, missing=skip_bad)
        _, good = normalize_good(vectors, skip=skip_bad)
        refuse_none(good, "X")
        given = {"keys": keys, "photos": photos, "taken": taken, "thumbnails": thumbnails}
        for name, values in given.items():
            if values is not None and len(values) != len(good):
                raise InputError(f"{name} has {len(values)} entries, but there are {len(good)} faces.")
        rows = np.flatnonzero(good).tolist()
        table = Table(
            None if keys is None else [str(keys[row]) for row in rows],
            None if photos is None else [photos[row] for row in rows],
            None if taken is None else [_date(taken[row]) for row in rows],
        )
        if table.keys is not None and len(set(table.keys)) < len(table.keys):
            raise InputError("keys are not unique: give each face a key of its own.")
        ids = np.full(len(good), -1, np.int64)
        with self._store.alone():
            self._found.erase()
            self._store.check_space(vectors.shape[1], embedder)
            ids[good] = self._store.add(np.asarray(vectors[good], np.float32), table)
            if thumbnails is not None:
                images = zip(ids.tolist(), thumbnails, strict=True)
                self._store.keep_thumbnails({face: image for face, image in images if image is not None})
            if join:
                self._found.refresh(run)
        return ids

    def refresh(self, run: Run | None = None) -> None:
        """Let faces that were added with ``join=False`` join the clusters, if there are any."""
        with self._store.alone():
            self._found.refresh(run)

    def cluster(
        self,
        model: NSRFC | str | Path | None = "universal",
        config: ClusterConfig | None = None,
        run: Run | None = None,
    ) -> None:
        """Cluster all faces anew, as :func:`nsrfc.cluster` does; what was said is obeyed.

        Persons stay as they are. A cluster lives on, by its id, in the one that shares most of its
        faces.

        Parameters
        ----------
        model : path-like, str or None
            As in :func:`nsrfc.cluster`; a model is given by its folder or id.
        config : ClusterConfig, optional
        run : Run, optional

        Raises
        ------
        InputError
            If there are no faces, or as :func:`nsrfc.cluster`.
        """
        if model is not None and not isinstance(model, str | Path):
            raise InputError("Give the model of a library by its folder or id, where it stays.")
        # A folder is found again from wherever the library is opened next.
        place = None if model is None else str(model)
        if place is not None and place != UNIVERSAL and kind_of(place) == "folder":
            place = str(Path(place).resolve())
        with self._store.alone():
            self._found.find(place, ClusterConfig.given(config), run)

    def predict(
        self, X: npt.ArrayLike, run: Run | None = None
    ) -> tuple[_Faces, npt.NDArray[np.float32]]:
        """Say to which clusters new faces belong; nothing changes.

        Parameters
        ----------
        X : array-like of float, shape (m, d)
        run : Run, optional

        Returns
        -------
        clusters : ndarray of int64, shape (m,)
            -1 for a face that fits none.
        probability : ndarray of float32, shape (m,)
            That the face and the known one which it resembles most are one person.
        """
        unit = normalize(as_array(X))
        self._store.check_space(unit.shape[1], None)
        return self._found.placed(unit, run)

    # What is there

    @property
    def faces(self) -> _Faces:
        """Ids (n,) of all faces, ascending."""
        return self._store.faces()

    @property
    def clusters(self) -> _Faces:
        """Id (n,) of the cluster of each of `faces`; -1 before the first run."""
        return self._found.current()[1]

    def people(self) -> list[Group]:
        """Return all persons, those with most faces first."""
        return [group for group in self.groups() if group.id.startswith("p")]

    def groups(self) -> list[Group]:
        """Return all persons, and all clusters of nobody known, those with most faces first."""
        key = self._store.key()
        if self._groups is None or self._groups[0] != key:
            self._groups = key, self._grouped()
        return list(self._groups[1])

    def _grouped(self) -> list[Group]:
        faces, clusters = self._found.current()
        state = self._journal.state
        order = np.argsort(clusters, kind="stable")
        ids, starts = np.unique(clusters[order], return_index=True)
        members = dict(zip(ids.tolist(), np.split(faces[order], starts[1:]), strict=True))
        members.pop(UNCLUSTERED, None)
        place = dict(zip(faces.tolist(), clusters.tolist(), strict=True)) if state.persons else {}
        found = []
        for person in state.persons.values():
            if not person.faces and person.name is None:
                continue  # all that was known of them is forgotten
            confirmed = np.array(sorted(person.faces), np.int64)
            cluster = place.get(int(confirmed[0]), UNCLUSTERED) if len(confirmed) else UNCLUSTERED
            own = np.union1d(members.pop(cluster, np.empty(0, np.int64)), confirmed)
            cover = person.cover if person.cover is not None else _first(confirmed)
            found.append(
                Group(
                    person.id,
                    person.name,
                    own,
                    confirmed,
                    cover,
                    person.hidden,
                    person.birth,
                    cluster,
                )
            )
        nobody = np.empty(0, np.int64)
        for cluster, own in members.items():
            group = Group(f"c{cluster}", None, own, nobody, _first(own), False, None, cluster)
            found.append(group)
        return sorted(found, key=lambda group: (-len(group.faces), group.id))

    def group(self, who: str) -> Group:
        """Return a person or cluster by id or name.

        Raises
        ------
        InputError
            If there is none.
        """
        for group in self.groups():
            if who in (group.id, f"c{group.cluster}") or (group.name is not None and who == group.name):
                return group
        raise InputError(
            f"There is no person or cluster {shown(who)} in {self.folder}: see nsrfc people."
        )

    def history(self) -> list[Entry]:
        """Return everything that was said, in its order."""
        return self._journal.history()

    def fingerprint(self) -> str:
        """Return the SHA-256 of the state: faces, clusters, persons and everything that was said."""
        faces, clusters = self._found.current()
        digest = hashlib.sha256(json.dumps(self._journal.state.as_json(), sort_keys=True).encode())
        digest.update(faces.tobytes())
        digest.update(clusters.tobytes())
        return digest.hexdigest()

    def export(self, path: PathLike, *, confirmed: bool = False) -> int:
        """Write who is on which face into a table, see :func:`nsrfc.library.export.export`."""
        from nsrfc.library.export import export

        return export(self, path, confirmed=confirmed)

    # Upkeep

    def forget(self, faces: Sequence[int] | _Faces = (), who: str | None = None) -> int:
        """Remove faces, or all of a person with the name, from the disk for good; not to be undone.

        Embeddings, keys, photos, dates and thumbnails are removed, and acts no longer mention them.
        Neighbours found before keep what they had from it.

        Returns
        -------
        int
            Number of faces that were removed.

        Raises
        ------
        InputError
            If there are no such faces, no such person, or another process adds or clusters.
        """
        persons: tuple[str, ...] = ()
        chosen = np.array(self._checked(faces) if len(faces) else (), np.int64)
        if who is not None:
            group = self.group(who)
            chosen, persons = np.union1d(chosen, group.faces), (group.id,)
        with self._store.alone():
            self._store.mark_gone(chosen, persons)
            self._journal.forgotten()
            self._found.erase()
        return len(chosen)

    def check(self, *, mend: bool = False) -> list[Problem]:
        """Look for damage; with ``mend``, put right what can be.

        Returns
        -------
        list of Problem
            Empty if the library is sound.
        """
        from nsrfc.library.upkeep import check

        with self._store.alone():
            return list(check(self._store, mend=mend))

    # What a human says

    def name(self, who: str | Sequence[int] | _Faces, name: str) -> str:
        """Name a person, or say that a cluster is a person of this name: all its faces are confirmed.

        Parameters
        ----------
        who : str or sequence of int
            Faces in place of a cluster are those that it had when it was looked at.
        name : str

        Returns
        -------
        str
            Id of the person.

        Raises
        ------
        InputError
            If another person has the name; merge the two if they are one.
        """
        name = name.strip()
        if not name or _ID.fullmatch(name) or not name.isprintable() or len(name) > 200:
            raise InputError(
                f"{shown(name)} is no name: give up to 200 printable letters, unlike p7 or c12."
            )
        own = self._id(who) if isinstance(who, str) else "these faces"
        for other in self._journal.state.persons.values():
            if other.name == name and other.id != own:
                raise InputError(
                    f"{other.id} is called {shown(name)} already: merge the two with nsrfc merge "
                    f"{other.id} {own}, or give another name."
                )
        if isinstance(who, str) and own.startswith("p"):
            self._journal.say(Act("name", person=own, text=name))
            return own
        faces = self.group(own).faces if isinstance(who, str) else who
        number = self._journal.say(Act("name", self._checked(faces), text=name))
        return f"p{number}"

    def confirm(self, faces: Sequence[int] | _Faces, who: str | None = None) -> int:
        """Say that faces are a person, or with ``who=None`` that they are one person, whoever it is."""
        chosen = self._checked(faces, least=1 if who else 2)
        if who is None:
            return self._journal.say(Act("confirm", chosen))
        own = self._id(who)
        if own.startswith("p"):
            return self._journal.say(Act("confirm", chosen, own))
        every = sorted({*chosen, *self.group(own).faces.tolist()})
        return self._journal.say(Act("confirm", tuple(every)))

    def reject(self, faces: Sequence[int] | _Faces, who: str | None = None) -> int:
        """Say that faces are not a person, or with ``who=None`` that two faces are different persons.

        A face that was confirmed with its whole cluster no longer is.
        """
        chosen = self._checked(faces)
        if who is None:
            if len(set(chosen)) != 2:
                raise InputError("Give the two faces that are different persons, or a person.")
            return self._journal.say(Act("reject", chosen))
        own = self._id(who)
        if own.startswith("p"):
            return self._journal.say(Act("reject", chosen, own))
        rest = tuple(face for face in self.group(own).faces.tolist() if face not in set(chosen))
        if len(chosen) == 1 and rest:
            return self._journal.say(Act("split", chosen, rest=rest))
        raise InputError(f"{own} is nobody's yet: name it first, or split faces from it.")

    def merge(self, who: str, other: str | Sequence[int] | _Faces) -> int:
        """Say that ``other`` is ``who``, which keeps its id, name and cover.

        Parameters
        ----------
        who : str
            A person or cluster.
        other : str or sequence of int
            Another; of a cluster also the faces, as they were seen. They can be rejected one by one
            afterwards, unlike faces that were confirmed.
        """
        target = self._id(who)
        source = self._id(other) if isinstance(other, str) else None
        if target == source:
            raise InputError(f"{target} and {shown(other)} are one already: name two.")
        if source is not None and target.startswith("p") and source.startswith("p"):
            return self._journal.say(Act("merge", person=target, other=source))
        faces = self._checked(self.group(other).faces if isinstance(other, str) else other)
        if target.startswith("p"):
            return self._journal.say(Act("merge", faces, target))
        if source is not None and source.startswith("p"):
            return self._journal.say(Act("merge", tuple(self.group(target).faces.tolist()), source))
        every = np.union1d(self.group(target).faces, faces)
        return self._journal.say(Act("confirm", tuple(every.tolist())))

    def split(self, who: str, faces: Sequence[int] | _Faces) -> str:
        """Say that some faces of a person or cluster are another person, still without a name.

        Returns
        -------
        str
            Id of the new person.
        """
        group, chosen = self.group(who), self._checked(faces)
        rest = tuple(np.setdiff1d(group.faces, chosen).tolist())
        outside = sorted(set(chosen) - set(group.faces.tolist()))
        if outside or not rest:
            raise InputError(
                f"Split some, not all, of the {len(group.faces)} faces of {group.id}"
                + (f": {enumerate_names(map(str, outside))} are not among them." if outside else ".")
            )
        person = group.id if group.id.startswith("p") else None
        return f"p{self._journal.say(Act('split', chosen, person, rest=rest))}"

    def hide(self, who: str, *, hidden: bool = True) -> int:
        """Do not show a person, or show it again."""
        return self._journal.say(Act("hide", person=self._person(who).id, yes=hidden))

    def cover(self, who: str, face: int) -> int:
        """Choose the face that a person is shown by."""
        person = self._person(who)
        if face not in person.faces:
            raise InputError(f"Face {face} is not a confirmed face of {person.id}: confirm it first.")
        return self._journal.say(Act("cover", (face,), person.id))

    def born(self, who: str, date: str | None) -> int:
        """Say when a person was born, ISO 8601; None: unknown."""
        return self._journal.say(Act("birth", person=self._person(who).id, text=_date(date)))

    def collage(self, photo: str, *, collage: bool = True) -> int:
        """Say that a photo may show a person more than once."""
        return self._journal.say(Act("collage", text=photo, yes=collage))

    def unsure(self, a: int, b: int) -> int:
        """Say that nobody can tell whether two faces are one person: it is not asked again."""
        return self._journal.say(Act("unsure", self._checked((a, b), least=2)))

    def answer(self, a: int, b: int, word: Literal["yes", "no", "unsure"]) -> int:
        """Say whether two faces are one person.

        If one of them is a confirmed face of a person, the word is about the other and that person.
        """
        if word == "unsure":
            return self.unsure(a, b)
        state = self._journal.state
        for face, other in ((a, b), (b, a)):
            person = state.person_of.get(face)
            if person is not None and other not in state.person_of:
                act = self.confirm if word == "yes" else self.reject
                return act([other], person)
        return self.confirm([a, b]) if word == "yes" else self.reject([a, b])

    def undo(self, act: int | None = None) -> int:
        """Take back an act, by default the last one that counts and undoes no other.

        An undo is an act as well, and can be undone by its number.

        Raises
        ------
        InputError
            If there is no such act, it does not count, or later acts build on it.
        """
        return self._journal.undo(act)

    # How it is done

    def _person(self, who: str) -> Person:
        own = self._id(who)
        if not own.startswith("p"):
            raise InputError(f"{own} is nobody yet: name it first.")
        return self._journal.state.persons[own]

    def _id(self, who: str) -> str:
        """Id of a person or cluster; of a person without finding clusters, which takes a while."""
        for person in self._journal.state.persons.values():
            if who == person.id or (person.name is not None and who == person.name):
                return person.id
        return self.group(who).id

    def _checked(self, faces: Sequence[int] | _Faces, least: int = 1) -> tuple[int, ...]:
        chosen = np.unique(np.asarray(faces, np.int64))
        there = self.faces
        absent = chosen[~np.isin(chosen, there)]
        if len(absent) or len(chosen) < least:
            raise InputError(
                f"There is no face {absent[0]} in {self.folder}: faces are numbered from 0."
                if len(absent)
                else f"Give at least {least} different faces."
            )
        return tuple(chosen.tolist())

    # What to ask, and why

    def questions(self, limit: int = 12) -> list[Question]:
        """Return pairs of faces of which a human should say whether they are one person.

        Those come first whose answer is expected to change most; nothing is asked that is known, or
        about hidden persons. Give the answer with :meth:`answer`.
        """
        decision, ids = self._found.decision()
        return questions(decision, self._journal.state, ids, limit)

    def explain(self, a: int, b: int) -> Explanation:
        """Say why two faces are together or apart; :meth:`Explanation.in_words` words it.

        Raises
        ------
        InputError
            If they are one face, or there is no such face.
        """
        self._checked((a, b), least=2)
        kept, state = self._found.kept(), self._journal.state
        decision, ids = self._found.decision()
        groups = group_ids(ids, decision.labels, decision.faces, state)
        added = self._found.added()
        facts = self._store.facts()
        material = Material(kept, added, decision, state, facts, groups, self._given)
        return explain(material, int(a), int(b))

    def suggest_split(self, who: str) -> _Faces:
        """Propose which faces of a person or cluster are somebody else, for :meth:`split`.

        Returns
        -------
        ndarray of int64, shape (m,)
            The smaller of the two sides.

        Raises
        ------
        InputError
            If there are no two different faces to tell apart.
        """
        group = self.group(who)
        decision, _ = self._found.decision()
        found = suggested_split(decision, group.faces)
        if not len(found):
            raise InputError(
                f"{group.id} has no two faces that differ, so that no split is proposed: name the faces "
                f"that are another person."
            )
        return found

    def report(self, path: PathLike, *, places: int = 200, pairs: int = 20) -> None:
        """Write what is there and what is in doubt into one HTML file; hidden persons are left out.

        Parameters
        ----------
        path : path-like
            The file; it needs nothing else to be read.
        places : int
            Maximum number of groups that are shown, the least sure first.
        pairs : int
            Maximum number of questions that are shown.

        Raises
        ------
        InputError
            If the library was not clustered yet, or the file cannot be written.
        """
        decision, ids = self._found.decision()
        groups, state = self.groups(), self._journal.state
        counts = {
            "faces": len(decision.faces),
            "clusters": int(decision.labels.max(initial=-1)) + 1,
            "faces alone": sum(len(group.faces) == 1 for group in groups),
            "persons": len(state.persons),
            "confirmed faces": len(state.person_of),
        }
        worst = doubtful(decision, ids, groups, places)
        doubts = [(each, self.explain(each.a, each.b)) for each in self.questions(pairs)]
        names = {group.id: group.name for group in groups if group.name is not None}
        title = f"People in {self.folder.resolve().name}"
        write_overview(path, Overview(title, counts, worst, doubts, names, self._store.thumbnail))

    def _given(self, faces: _Faces) -> npt.NDArray[np.float32]:
        """Return unit vectors (m, d) of faces, in any order."""
        ordered, place = np.unique(faces, return_inverse=True)
        return normalize(self._store.vectors(ordered))[place]


def _first(faces: _Faces) -> int:
    return int(faces[0]) if len(faces) else -1


def _date(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        raise InputError(f"{shown(text)} is no date: give one as 2012-05-31.") from None
