"""The journal of a library: acts are checked, appended and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nsrfc.errors import InputError, enumerate_names
from nsrfc.library.acts import Act, ConflictError, State, replay, undone
from nsrfc.library.consistency import check
from nsrfc.library.store import Store, acts_in, append, next_act

__all__ = ["Entry", "Journal"]


@dataclass(frozen=True)
class Entry:
    """An act as the history shows it.

    Attributes
    ----------
    number : int
    at : str
        When it was said, ISO 8601 in UTC.
    words : str
    counts : bool
        Whether it is not undone.
    act : Act
    """

    number: int
    at: str
    words: str
    counts: bool
    act: Act


class Journal:
    """Everything that was said about the faces of a library.

    Parameters
    ----------
    store : Store
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._replayed = -1, State()

    @property
    def state(self) -> State:
        """What counts now, also of what other processes wrote."""
        last = self._store.last_act()
        if self._replayed[0] != last:
            self._replayed = last, replay(self._store.acts())
        return self._replayed[1]

    def say(self, act: Act) -> int:
        """Append an act; it is on disk when this returns.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        InputError
            If it contradicts what was said before, naming those acts; nothing is appended then.
        """
        facts = self._store.facts()
        with self._store.database(write=True) as database:
            number, acts = next_act(database), None
            before, state = self._replayed
            if before != number - 1 or act.kind == "undo":
                acts = {**acts_in(database), number: act}
            # A state that an act has changed in vain is no state of the library.
            self._replayed = -1, State()
            try:
                if acts is None:
                    state.apply(number, act)
                    check(state.around(act), facts)
                else:
                    state = replay(acts)
                    check(state, facts)
            except ConflictError as conflict:
                raise _refused(conflict, number, act, acts or acts_in(database)) from None
            append(database, act)
        self._replayed = number, state
        return number

    def forgotten(self) -> None:
        """Replay all acts when they are next needed, as faces were removed from them."""
        self._replayed = -1, State()

    def undo(self, number: int | None = None) -> int:
        """Take back an act, by default the last one that counts and undoes no other.

        Raises
        ------
        InputError
            If there is no such act, it does not count, or later acts build on it.
        """
        entries = {entry.number: entry for entry in self.history()}
        if number is None:
            plain = [each.number for each in entries.values() if each.counts and each.act.kind != "undo"]
            if not plain:
                raise InputError("There is nothing to undo.")
            number = plain[-1]
        if number not in entries or not entries[number].counts:
            wrong = "is undone already" if number in entries else "does not exist"
            raise InputError(f"Act {number} {wrong}: see the history for what can be undone.")
        return self.say(Act("undo", act=number))

    def history(self) -> list[Entry]:
        """Return everything that was said, in its order."""
        rows = self._store.history()
        acts = {number: act for number, _, act in rows}
        gone = undone(acts)
        return [Entry(number, at, act.in_words(), number not in gone, act) for number, at, act in rows]


def _refused(conflict: ConflictError, new: int, act: Act, acts: Mapping[int, Act]) -> InputError:
    """Say why an act was refused, and which acts it contradicts."""
    words = act.in_words()
    against = [each for each in (conflict.number, *conflict.acts) if each is not None and each != new]
    others = [f"act {each} ({acts[each].in_words()})" for each in dict.fromkeys(against)]
    which = f"; it contradicts {enumerate_names(others)}, which can be undone" if others else ""
    return InputError(f"{words[0].upper()}{words[1:]} cannot be: {conflict.why}{which}.")
