"""What comes in, whatever program it is from: said once, and never against what a human said."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.bridges.arrival import arrive
from nsrfc.bridges.record import FaceRecord
from nsrfc.library.library import Library
from nsrfc.methods.base import Run
from nsrfc.progress import Progress

from .drawn import people, vectors

X = vectors(12)


def record(number: int, name: str | None = None, photo: str | None = None, **more: str) -> FaceRecord:
    return FaceRecord(str(number), X[number], photo, name=name, person=more.get("person", name))


records = st.lists(
    st.builds(
        record,
        st.integers(0, 11),
        st.sampled_from([None, "Anna", "Ben", "Ben ", "p7", "\n"]),
        st.sampled_from([None, "a.jpg", "b.jpg"]),
        person=st.sampled_from(["1", "2", "3"]),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=15)
@given(records, records)
def test_the_same_import_changes_nothing_the_second_time(
    first: list[FaceRecord], second: list[FaceRecord]
) -> None:
    """Whatever was there before, and however programs name people."""
    with tempfile.TemporaryDirectory() as folder:
        library = Library.create(Path(folder) / "family")
        arrive(library, "other", first)
        confirmed = {name: set(keys) for name, keys in people(library.folder).items()}
        arrive(library, "other", second)
        after = {name: set(keys) for name, keys in people(library.folder).items()}
        assert all(keys <= after[name] for name, keys in confirmed.items())
        state = library.fingerprint()
        done = arrive(library, "other", second)
        assert (done.added, done.confirmed, done.persons) == (0, 0, 0)
        assert library.fingerprint() == state
        assert library.check() == []


class Interrupted(Progress):
    """Interrupts when the second person is to be named."""

    @contextmanager
    def show(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        def advance(_: int) -> None:
            self.done += 1
            if name == "people" and self.done == 2:
                raise KeyboardInterrupt

        self.done = 0
        yield advance


def test_an_import_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    found = [record(number, "ABC"[number % 3]) for number in range(12)]
    with pytest.raises(KeyboardInterrupt):
        arrive(library, "other", found, run=Run("cpu", progress=Interrupted()))
    assert list(people(library.folder)) == ["A"]
    done = arrive(library, "other", found)
    assert (done.known, done.confirmed) == (12, 8)
    assert people(library.folder).keys() == {"A", "B", "C"}


def test_faces_of_a_second_program_join_people_of_the_same_name(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    arrive(library, "one", [record(0, "Anna"), record(1, "Ben")])
    done = arrive(library, "two", [record(2, "Anna", person="9"), record(3, "Carl")])
    assert (done.persons, done.confirmed) == (1, 2)
    assert people(library.folder)["Anna"] == ["one:0", "two:2"]


def test_people_who_were_merged_here_stay_one(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    arrive(library, "one", [record(0, "Anna", person="1"), record(1, "Anna", person="2")])
    library.merge("Anna", "Anna (2)")
    arrive(library, "one", [record(n, "Anna", person=str(n % 2 + 1)) for n in range(6)])
    assert people(library.folder) == {"Anna": [f"one:{n}" for n in range(6)]}


def test_people_of_one_name_on_one_photo_are_two(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    arrive(library, "one", [record(0, "Anna", "a.jpg")])
    arrive(library, "two", [record(1, "Anna", "a.jpg"), record(2, "Anna", "b.jpg")])
    assert people(library.folder) == {"Anna": ["one:0"], "Anna (2)": ["two:1", "two:2"]}
