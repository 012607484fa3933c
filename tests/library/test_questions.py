"""What a human is asked: the uncertain pairs, those whose answer changes most first, each once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.graph.constraints import Constraints
from nsrfc.library.acts import Act, State
from nsrfc.library.decision import Decision
from nsrfc.library.library import Library
from nsrfc.library.questions import Question, chance, questions
from nsrfc.records import EdgeList
from nsrfc.synthetic import generate

Labels = npt.NDArray[np.int64]


def nothing_known(n: int) -> Constraints:
    unknown = np.full(n, -1), np.full(n, np.inf), np.full(n, -np.inf)
    return Constraints.of(np.arange(n), *unknown, np.empty((0, 2), np.int64))


def decision_of(labels: list[int], *edges: tuple[int, int, float]) -> Decision:
    """Return clusters of unit vectors of which each has cosine 0.75 to every other."""
    n = len(labels)
    source, target, score = zip(*edges, strict=True)
    ends = np.array(source, np.int32), np.array(target, np.int32)
    every = EdgeList(ends[0], ends[1], np.array(score, np.float32))
    own = np.eye(n, n + 1) / 2
    own[:, n] = np.sqrt(0.75)
    return Decision(
        faces=np.arange(n),
        unit=np.arange(n),
        labels=np.array(labels, np.int64),
        edges=every,
        kind=np.zeros(len(edges), np.int8),
        vectors=own.astype(np.float32),
        scenes=n,
        threshold=0.5,
        known=nothing_known(n),
        impostor_mean=0.0,
    )


def asked(decision: Decision, *acts: Act) -> list[Question]:
    state = State()
    for number, act in enumerate(acts, start=1):
        state.apply(number, act)
    return questions(decision, state, decision.labels + 10, 12)


PATH = decision_of(
    [0, 0, 0, 0, 1, 1], (0, 1, 0.99), (1, 2, 0.6), (2, 3, 0.9), (3, 4, 0.3), (2, 5, 0.2), (4, 5, 1.0)
)
"""0-1 and 2-3 hold together by 0.6; to 4-5 lead 0.3 and 0.2."""


@pytest.fixture(autouse=True)
def all_gains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out no question, as all faces here are as similar as those of one person."""
    monkeypatch.setattr("nsrfc.library.questions.LEAST", 0)


def test_gain_is_the_expected_number_of_pairs_that_an_answer_changes() -> None:
    between, within = asked(PATH)[:2]

    assert between.groups == ("c10", "c11")
    assert between.gain == pytest.approx(between.probability * 4 * 2)
    assert len({between.a, between.b} & {4, 5}) == 1
    assert within.groups == ("c10", "c10")
    assert within.gain == pytest.approx((1 - within.probability) * 2 * 2)
    assert (within.a in {0, 1}) != (within.b in {0, 1})


def test_chance_adds_up_what_edge_and_similarity_say() -> None:
    odds = np.array([-2.0, 0.0, 3.0])
    half = np.full(3, 0.5)

    assert chance(odds, half) == pytest.approx(1 / (1 + np.exp(-odds)))
    assert chance(np.zeros(3), np.array([0.3, 0.5, 0.7])) == pytest.approx(
        [0.033, 0.5, 0.967], abs=0.001
    )
    assert np.isfinite(chance(odds, np.array([-1.0, 0.0, 2.0]))).all()


def test_overconfident_edges_are_tempered() -> None:
    sure = replace(PATH, edges=PATH.edges.scored(np.array([1, 1, 1, 1e-30, 1e-25, 1], np.float32)))

    between = next(each for each in asked(sure) if each.groups[0] != each.groups[1])
    assert between.probability > 1e-3


def test_parts_without_an_edge_are_asked_about() -> None:
    forced = decision_of([0, 0, 0, 0], (0, 1, 1.0), (2, 3, 1.0))

    (question,) = asked(forced)
    assert (question.a in {0, 1}) != (question.b in {0, 1})
    assert question.gain == pytest.approx((1 - question.probability) * 2 * 2)


def test_what_nobody_can_tell_is_not_asked_again() -> None:
    between, within = asked(PATH)[:2]

    left = asked(PATH, Act("unsure", (between.a, between.b)))
    assert all(each.groups[0] == each.groups[1] for each in left)
    left = asked(PATH, Act("unsure", (within.a, within.b)))
    assert left[0] == between
    # Another edge of the cluster may come up, but none between the same two faces.
    assert all({each.a, each.b} != {within.a, within.b} for each in left)
    assert all(each.probability > within.probability for each in left[1:])


def test_faces_that_are_known_apart_or_together_are_not_asked() -> None:
    apart = replace(PATH.known, apart=np.array([[0, 5]], np.int32))
    persons = replace(PATH.known, person=np.array([3, -1, -1, -1, 4, -1]))
    early = replace(
        PATH.known, first=np.array([1.0, *[np.inf] * 5]), born=np.array([-np.inf] * 5 + [2.0])
    )
    for known in (apart, persons, early):
        assert all(each.groups[0] == each.groups[1] for each in asked(replace(PATH, known=known)))
    group = np.array([0, 1, 1, 2, 3, 4])
    within = asked(PATH)[1]
    together = asked(replace(PATH, known=replace(nothing_known(5), group=group)))
    assert all(each.probability != within.probability for each in together)


def test_persons_are_named_by_id_shown_by_a_confirmed_face_and_left_alone_while_hidden() -> None:
    named = Act("name", (0,), text="Anna")
    between = asked(PATH, named)[0]

    assert between.groups == ("p1", "c11")
    assert between.a == 0
    hidden = asked(PATH, named, Act("hide", person="p1"))
    assert all(each.groups == ("c11", "c11") for each in hidden)


def test_answers_settle_questions(tmp_path: Path) -> None:
    faces = generate(400, "wild", seed=3)
    library = Library.create(tmp_path / "family")
    library.add(faces.embeddings)
    library.cluster(None)
    seen: set[tuple[int, int]] = set()

    for turn in range(12):
        found = library.questions(3)
        if not found:
            break
        assert sorted(found, key=lambda each: -each.gain) == found
        question = found[0]
        assert (question.a, question.b) not in seen
        seen.add((question.a, question.b))
        group = {face: group.id for group in library.groups() for face in group.faces.tolist()}
        assert (group[question.a], group[question.b]) == question.groups
        genuine = faces.identities[question.a] == faces.identities[question.b]
        library.answer(question.a, question.b, "unsure" if turn == 3 else "yes" if genuine else "no")
    assert len(seen) >= 3
