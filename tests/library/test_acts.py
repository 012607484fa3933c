"""What was said: every act can be undone, and the undo undone, in any history."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.library.acts import Act, ConflictError, State, replay
from nsrfc.library.consistency import Facts, check, constraints
from nsrfc.library.library import Library

from .faces import clustered

N = 12


def facts(
    n: int = N, photo: dict[int, str] | None = None, taken: dict[int, float] | None = None
) -> Facts:
    """Facts of n faces: nothing is known but what is given."""
    names = sorted(set((photo or {}).values()))
    photos, days = np.full(n, -1), np.full(n, np.inf)
    for face, name in (photo or {}).items():
        photos[face] = names.index(name)
    for face, day in (taken or {}).items():
        days[face] = day
    return Facts(photos, tuple(names), days)


def said(*acts: Act) -> dict[int, Act]:
    """Acts with their numbers."""
    return dict(enumerate(acts, 1))


def dumped(state: State) -> str:
    """A state as text, for comparison."""
    return json.dumps(state.as_json(), sort_keys=True)


def random_act(rng: np.random.Generator, state: State) -> Act:
    """Some act that might fit a state."""
    some = tuple(sorted(rng.choice(N, rng.integers(2, 4), replace=False).tolist()))
    persons = [*state.persons, "p1"]
    one, other = (persons[rng.integers(len(persons))] for _ in range(2))
    makers: list[Callable[[], Act]] = [
        lambda: Act("name", some, text=f"name {rng.integers(9)}"),
        lambda: Act("name", person=one, text="another name"),
        lambda: Act("confirm", some),
        lambda: Act("confirm", some, one),
        lambda: Act("reject", some[:2]),
        lambda: Act("reject", some[:1], one),
        lambda: Act("merge", person=one, other=other),
        lambda: Act("split", some[:1], one, rest=some[1:]),
        lambda: Act("hide", person=one, yes=bool(rng.integers(2))),
        lambda: Act("birth", person=one, text="2001-02-03"),
        lambda: Act("collage", text="photo"),
        lambda: Act("unsure", some[:2]),
    ]
    return makers[rng.integers(len(makers))]()


def contradicts(state: State, known: Facts) -> bool:
    """Whether a state cannot be true."""
    try:
        check(state, known)
    except ConflictError:
        return True
    return False


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_undo_takes_back_and_its_undo_restores(seed: int) -> None:
    """1,000 random histories: states are equal after undoing, and after undoing that."""
    rng, known = np.random.default_rng(seed), facts(photo={2: "a", 3: "a", 7: "b", 8: "b"})
    acts: dict[int, Act] = {}
    state = State()
    for _ in range(12):
        undoes = acts and rng.random() < 0.3
        act = Act("undo", act=int(rng.choice(list(acts)))) if undoes else random_act(rng, state)
        number = len(acts) + 1
        try:
            after = replay({**acts, number: act})
        except ConflictError:
            continue
        if contradicts(after, known):
            assert undoes or contradicts(after.around(act), known)
            continue
        assert not contradicts(after.around(act), known)
        undone = replay({**acts, number: act, number + 1: Act("undo", act=number)})
        assert dumped(undone) == dumped(state)
        again = {
            number: act,
            number + 1: Act("undo", act=number),
            number + 2: Act("undo", act=number + 1),
        }
        assert dumped(replay({**acts, **again})) == dumped(after)
        # What counts can be true: no constraint is broken by the groups themselves.
        groups = constraints(after, known)
        assert groups.violations(groups.group) == 0
        acts[number], state = act, after


@pytest.mark.parametrize(
    "act", [Act("name", (1, 2), text="Änne <b>"), Act("undo", act=3), Act("hide", yes=False)]
)
def test_acts_are_written_and_read_whole(act: Act) -> None:
    assert Act.of_json(act.as_json()) == act


def test_a_merge_keeps_name_and_cover_of_the_target() -> None:
    state = replay(
        said(
            Act("name", (1, 2), text="Anna"),
            Act("cover", (2,), "p1"),
            Act("name", (3, 4), text="Anna, old"),
            Act("cover", (4,), "p3"),
            Act("merge", person="p1", other="p3"),
        )
    )
    (person,) = state.persons.values()
    assert (person.id, person.name, person.cover, sorted(person.faces)) == (
        "p1",
        "Anna",
        2,
        [1, 2, 3, 4],
    )


_CONTRADICTIONS = [
    (Act("confirm", (1, 2)), Act("reject", (1, 2)), (1, 2)),
    (Act("reject", (1, 2)), Act("confirm", (1, 2)), (1, 2)),
    (Act("name", (1, 2), text="A"), Act("reject", (1, 2)), (1, 2)),
    (Act("confirm", (1, 2)), Act("split", (1,), rest=(2,)), (1, 2)),
]


@pytest.mark.parametrize(("first", "second", "acts"), _CONTRADICTIONS)
def test_a_contradiction_names_both_acts(first: Act, second: Act, acts: tuple[int, int]) -> None:
    with pytest.raises(ConflictError) as caught:
        check(replay(said(first, second)), facts())
    assert set(caught.value.acts) == set(acts)


def test_a_contradiction_by_way_of_other_faces_is_found() -> None:
    acts = said(Act("confirm", (1, 2)), Act("confirm", (2, 3)), Act("reject", (1, 3)))
    with pytest.raises(ConflictError) as caught:
        check(replay(acts), facts())
    assert set(caught.value.acts) == {2, 3}


def test_two_faces_of_one_photo_are_two_persons_unless_it_is_a_collage() -> None:
    known, acts = facts(photo={1: "party.jpg", 2: "party.jpg"}), said(Act("confirm", (1, 2)))
    with pytest.raises(ConflictError, match=r"party\.jpg"):
        check(replay(acts), known)
    acts[2] = Act("collage", text="party.jpg")
    check(replay(acts), known)


def test_nobody_is_older_than_the_date_of_birth() -> None:
    acts = said(Act("name", (1, 2), text="A"), Act("birth", person="p1", text="1970-01-11"))
    check(replay(acts), facts(taken={1: 10}))
    with pytest.raises(ConflictError, match="face 1 was taken before p1 was born"):
        check(replay(acts), facts(taken={1: 9}))


def test_a_face_named_with_its_cluster_may_be_taken_out() -> None:
    state = replay(said(Act("name", (1, 2, 3), text="A"), Act("reject", (3,), "p1")))
    assert sorted(state.persons["p1"].faces) == [1, 2]


def test_a_face_merged_with_its_cluster_may_be_taken_out(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    one, other, *_ = library.groups()
    library.name(one.id, "Anna")
    library.merge("Anna", other.id)
    library.reject(other.faces[:1], "Anna")
    assert other.faces[0] not in library.group("Anna").faces
    assert np.isin(other.faces[1:], library.group("Anna").confirmed).all()


def test_a_face_confirmed_by_itself_may_not() -> None:
    acts = said(Act("name", (1, 2), text="A"), Act("confirm", (3,), "p1"), Act("reject", (3,), "p1"))
    with pytest.raises(ConflictError) as caught:
        replay(acts)
    assert caught.value.acts == (2,)


def test_an_act_that_others_build_on_is_not_undone(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    one, other, *_ = library.groups()
    library.name(one.id, "Anna")
    library.merge("Anna", other.id)
    before = library.fingerprint()
    with pytest.raises(InputError, match="act 2"):
        library.undo(1)
    assert library.fingerprint() == before


def test_refused_acts_leave_no_trace(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    one, other, *_ = library.groups()
    library.name(one.id, "Anna")
    library.name(other.id, "Bob")
    before, history = library.fingerprint(), library.history()
    with pytest.raises(InputError, match=r"act [12] .*named"):
        library.confirm([int(one.faces[0]), int(other.faces[0])])
    assert library.fingerprint() == before
    assert library.history() == history


def test_the_state_is_the_replay_of_the_journal(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    one, other, third, *_ = library.groups()
    library.name(one.id, "Anna")
    library.merge("Anna", other.id)
    library.split("Anna", other.faces[:2])
    library.undo()
    library.reject(third.faces[:2])
    assert Library.open(tmp_path / "family").fingerprint() == library.fingerprint()
