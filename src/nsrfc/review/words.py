"""What the page may say, checked as it comes in: one class for each path below ``/api/say/``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nsrfc.errors import InputError
from nsrfc.library.library import Library

__all__ = ["WORDS", "Said", "Word"]

_Id = Annotated[str, Field(pattern="^[pc][0-9]{1,18}$")]
_Face = Annotated[int, Field(ge=0, lt=2**31)]
_Faces = Annotated[list[_Face], Field(min_length=1, max_length=1_000_000)]
_Number = Annotated[int, Field(ge=1, lt=2**53)]

Said = tuple[list[int], str | None]
"""Numbers of the acts, and the id of the person whom they made or named."""

FacesOf = Callable[[str], list[int]]
"""The faces of a cluster as the page showed it."""


class Word(BaseModel):
    """Something that a human says on the page.

    Attributes
    ----------
    seen : dict of str to str
        Marks of the clusters that the page showed, by id: what is said of a whole cluster is said of the
        faces that were seen, and of no others.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    seen: dict[_Id, Annotated[str, Field(max_length=40)]] = {}

    @property
    def about(self) -> list[str]:
        """Ids of those about whom something is said."""
        return []

    @property
    def needs_clusters(self) -> bool:
        """Whether the clusters of the present must be known to say it."""
        return False

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        raise NotImplementedError


class Answer(Word):
    """Whether two faces are one person."""

    a: _Face
    b: _Face
    word: Literal["yes", "no", "unsure"]

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        return [library.answer(self.a, self.b, self.word)], None


class _About(Word):
    who: _Id

    @property
    def about(self) -> list[str]:
        return [self.who]

    @property
    def _nobody(self) -> bool:
        return self.who.startswith("c")


class Name(_About):
    """Name a person or cluster."""

    name: Annotated[str, Field(max_length=1000)]

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        own = library.name(faces_of(self.who) if self._nobody else self.who, self.name)
        name = self.name.strip()
        acts = [
            each.number
            for each in library.history()
            if each.act.kind == "name" and each.act.text == name
        ]
        return acts[-1:], own


class Confirm(_About):
    """Faces are a person; of a cluster, they and all others of it are one person."""

    faces: _Faces

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        if self._nobody:
            return [library.confirm([*faces_of(self.who), *self.faces])], None
        return [library.confirm(self.faces, self.who)], None


class Reject(_About):
    """Faces are not a person."""

    faces: _Faces

    @property
    def needs_clusters(self) -> bool:
        """Of a cluster: its other faces are another person."""
        return self._nobody

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        return [library.reject(self.faces, self.who)], None


class Split(_About):
    """Faces are another person."""

    faces: _Faces

    @property
    def needs_clusters(self) -> bool:
        """Always: the other faces of the cluster are not that person."""
        return True

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        own = library.split(self.who, self.faces)
        return [int(own[1:])], own


class Merge(_About):
    """Others are the same person as ``who``, whose name and cover stay."""

    others: Annotated[list[_Id], Field(min_length=1, max_length=200)]

    @property
    def about(self) -> list[str]:
        """Ids of those about whom something is said."""
        return [self.who, *self.others]

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it, all or nothing."""
        persons = [each for each in self.about if each.startswith("p")]
        faces = [face for each in self.about if each.startswith("c") for face in faces_of(each)]
        if not persons:
            return [library.confirm(faces)], None
        target, acts = persons[0], list[int]()
        try:
            for other in persons[1:]:
                acts.append(library.merge(target, other))
            if faces:
                acts.append(library.merge(target, faces))
        except InputError:
            for act in reversed(acts):
                library.undo(act)
            raise
        return acts, target


class Hide(_About):
    """Do not show a person, or show it again."""

    hidden: bool

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        return [library.hide(self.who, hidden=self.hidden)], None


class Cover(_About):
    """Show a person by a face."""

    face: _Face

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        return [library.cover(self.who, self.face)], None


class Born(_About):
    """Say when a person was born."""

    date: str | None

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        return [library.born(self.who, self.date)], None


class Undo(Word):
    """Take back acts, the last one first."""

    acts: Annotated[list[_Number], Field(min_length=1, max_length=200)]

    def say(self, library: Library, faces_of: FacesOf) -> Said:
        """Say it."""
        return [library.undo(act) for act in sorted(self.acts, reverse=True)], None


WORDS: dict[str, type[Word]] = {
    each.__name__.lower(): each
    for each in (Answer, Name, Confirm, Reject, Split, Merge, Hide, Cover, Born, Undo)
}
"""By the last part of the path."""
