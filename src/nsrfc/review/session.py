"""A library while it is reviewed: acts one after another, and lists of what was found last.

An act is on disk when the page hears of it. To find which clusters follow takes a second where faces are
many: a thread of its own does it, and until then the page shows what was found before.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nsrfc.errors import InputError, NsrfcError
from nsrfc.library.library import Group, Library
from nsrfc.library.questions import Question
from nsrfc.review.layout import positions
from nsrfc.review.words import FacesOf, Name, Word

__all__ = ["MOST_QUESTIONS", "SameNameError", "Session", "Snapshot", "mark"]

logger = logging.getLogger(__name__)

MOST_QUESTIONS = 60
"""Questions that are looked for at a time."""

PATIENCE = 0.04
"""Seconds that a list waits for the present clusters: small libraries are never behind."""

SLOW = 0.2
"""Seconds from which on it is slow to find clusters."""

QUIET, MOST_QUIET = 0.4, 5.0
"""Seconds without a word before clusters are found, where it is slow; and how long this may last."""


LOOKED_AT = 500
"""Groups that are looked at for whether faces have pictures, before the page is opened."""


class SameNameError(InputError):
    """A person has the name already.

    Attributes
    ----------
    other : Group
        That person.
    """

    def __init__(self, message: str, other: Group) -> None:
        super().__init__(message)
        self.other = other


@dataclass(frozen=True)
class Snapshot:
    """What was found last.

    Attributes
    ----------
    key : tuple of int
        What it was found for: it is of the present if this is the key of the store.
    groups : dict of str to Group
        By id, those with most faces first.
    questions : list of Question
    asked : tuple of int
        As ``key``, for the questions.
    """

    key: tuple[int, ...] = ()
    groups: dict[str, Group] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)
    asked: tuple[int, ...] = ()

    def named(self, name: str) -> Group | None:
        """Return the person of a name."""
        return next((group for group in self.groups.values() if group.name == name), None)


def mark(group: Group) -> str:
    """Return a mark of the faces of a group: the page says which ones it showed."""
    return f"{len(group.faces)}-{zlib.crc32(group.faces.tobytes()):08x}"


class Session:
    """A library that is reviewed.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    InputError
        If there is no library, it is damaged, or was not clustered yet.
    """

    def __init__(self, folder: Path) -> None:
        # Each keeps state of its own: one is for acts, one for the thread that finds clusters.
        self._library, self._reader = Library.open(folder), Library.open(folder)
        self._library.store.needed_run()
        self._saying, self._finding = threading.Lock(), threading.Lock()
        self._changed = threading.Condition()
        self._snapshot, self._trouble = Snapshot(), ""
        self._slow, self._said = False, -np.inf
        self._positions = np.empty((0, 2), np.float32)
        self._behind, self._drawing, self._closed = True, False, False
        self._find()
        covers = [group.cover for group in self._snapshot.groups.values()][:LOOKED_AT]
        self._drawing = len(self._library.store.pictured(covers)) < len(covers)
        self._draw()
        self._thread = threading.Thread(target=self._keep_up, name="nsrfc-review", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking for clusters."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    @property
    def folder(self) -> Path:
        """Where the library is."""
        return self._library.folder

    @property
    def library(self) -> Library:
        """The library, for what needs no clusters."""
        return self._library

    def latest(self, questions: bool = False) -> tuple[Snapshot, bool]:
        """Return what was found last, and whether it is of the present.

        Raises
        ------
        InputError
            If clusters could not be found.
        """
        key = self._library.store.key()

        def there() -> bool:
            return key == (self._snapshot.asked if questions else self._snapshot.key)

        with self._changed:
            # What went wrong is told once, and tried again when it is asked for again.
            if not there() and not self._trouble:
                self._wake()
                self._changed.wait_for(lambda: there() or self._trouble, 0 if self._slow else PATIENCE)
            trouble, self._trouble = self._trouble, ""
            if trouble and not there():
                raise InputError(trouble)
            return self._snapshot, there()

    def say(self, word: Word) -> tuple[list[int], str | None, list[str]]:
        """Let the library hear a word; it is on disk when this returns.

        Returns
        -------
        acts : list of int
        who : str or None
            The person whom they made or named.
        words : list of str
            The acts as the history shows them.

        Raises
        ------
        InputError
            If it contradicts what was said before, or clusters are no longer what the page showed.
        """
        try:
            with self._finding if word.needs_clusters else nullcontext(), self._saying:
                if word.needs_clusters:
                    self._find_now()
                acts, who = word.say(self._library, self._shown(word))
        except InputError as error:
            if isinstance(word, Name):
                self._find()
                other = self._snapshot.named(word.name.strip())
                if other is not None and other.id != word.who:
                    raise SameNameError(str(error), other) from None
            raise
        finally:
            with self._changed:
                self._said = time.monotonic()
                self._wake()
        said = {each.number: each.words for each in self._library.history()}
        return acts, who, [said[act] for act in acts]

    def described(self, faces: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return what the page shows of faces, by number."""
        every = sorted(set(faces))
        store = self._library.store
        pictured = store.pictured(every)
        found = {
            each["id"]: {**each, "picture": each["id"] in pictured} for each in store.described(every)
        }
        bare = [face for face, each in found.items() if not each["picture"]]
        if bare:
            where = self._where()
            for face in bare:
                # A face that was just added has no place yet.
                found[face]["at"] = where[face].tolist() if face < len(where) else None
        return found

    def suggested_split(self, who: str) -> list[int]:
        """Return which faces of a group may be somebody else.

        Raises
        ------
        InputError
            If no two of its faces differ, or there is no such group.
        """
        with self._finding:
            self._find_now()
            found: list[int] = self._reader.suggest_split(who).tolist()
        return found

    def cloud(self) -> list[list[float]]:
        """Return coordinates of some faces all over the map, as its background."""
        where = self._where()
        there = where[~np.isnan(where[:, 0])]
        some: list[list[float]] = there[:: max(1, len(there) // 150)].round(1).tolist()
        return some

    # What the thread does

    def _where(self) -> npt.NDArray[np.float32]:
        with self._changed:
            if not self._drawing:
                self._drawing = True
                self._wake()
                self._changed.wait_for(lambda: len(self._positions) > 0, PATIENCE)
            return self._positions

    def _wake(self) -> None:
        """Let the thread look; the caller holds the condition."""
        self._behind = True
        self._changed.notify_all()

    def _keep_up(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._behind or self._closed)
                # Where it takes long, it waits until a quick succession of words has ended: they come
                # first, and it would be found for each of them.
                until = time.monotonic() + MOST_QUIET
                while (
                    self._slow and not self._closed and time.monotonic() < min(self._said + QUIET, until)
                ):
                    self._changed.wait(QUIET)
                if self._closed:
                    return
                self._behind = False
            try:
                self._find()
                self._ask()
                self._draw()
            except NsrfcError as error:
                self._fail(str(error))
            except Exception:
                # The thread lives on: the next word may mend what this one broke.
                logger.exception("Clusters could not be found.")
                self._fail("Clusters could not be found, by a fault of nsrfc: the terminal shows it.")

    def _fail(self, why: str) -> None:
        with self._changed:
            self._trouble = why
            self._changed.notify_all()

    def _find(self) -> None:
        with self._finding:
            self._find_now()

    def _find_now(self) -> None:
        key = self._reader.store.key()
        if key == self._snapshot.key:
            return
        start = time.monotonic()
        groups = {group.id: group for group in self._reader.groups()}
        self._slow = time.monotonic() - start > SLOW
        self._publish(replace(self._snapshot, key=key, groups=groups))

    def _ask(self) -> None:
        with self._finding:
            key = self._snapshot.key
            # What was said meanwhile comes first: questions can wait.
            if key == self._snapshot.asked or key != self._reader.store.key():
                return
            questions = self._reader.questions(MOST_QUESTIONS)
            self._publish(replace(self._snapshot, asked=key, questions=questions))

    def _draw(self) -> None:
        if not self._drawing or len(self._positions) == self._reader.store.n:
            return
        found = positions(self._reader.store)
        with self._changed:
            self._positions = found
            self._changed.notify_all()

    def _publish(self, snapshot: Snapshot) -> None:
        with self._changed:
            self._snapshot = snapshot
            self._changed.notify_all()

    def _shown(self, word: Word) -> FacesOf:
        """Return the faces of clusters as the page showed them; refuse a word about others."""
        shown = {}
        for who in word.about:
            if who.startswith("c"):
                group = self._snapshot.groups.get(who)
                if group is None or word.seen.get(who) != mark(group):
                    raise InputError(
                        f"{who} has changed since it was shown, by what was said: look at it again."
                    )
                shown[who] = group.faces.tolist()
        return shown.__getitem__
