"""Why two faces are together or apart: the strongest chain, and what cut it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.errors import InputError
from nsrfc.library.acts import Act, State
from nsrfc.library.consistency import Facts, days, reasons_apart
from nsrfc.library.explain import strongest_path
from nsrfc.library.library import Library
from nsrfc.synthetic import GeneratedFaces, generate

Labels = npt.NDArray[np.int64]


def capacities(n: int, edges: list[tuple[int, int, float]]) -> npt.NDArray[np.float32]:
    """Weakest edge on the strongest path between any two nodes, by brute force; -1 = no path."""
    best = np.full((n, n), -1, np.float32)
    for a, b, score in edges:
        best[a, b] = best[b, a] = max(best[a, b], np.float32(score))
    for middle in range(n):
        best = np.maximum(best, np.minimum(best[:, middle, None], best[None, middle]))
    return best


@given(st.data())
def test_the_weakest_edge_of_the_path_is_as_strong_as_can_be(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 9))
    node = st.integers(0, n - 1)
    # Few different scores, so that many are equal.
    edge = st.tuples(node, node, st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]))
    edges = data.draw(st.lists(edge, max_size=25))
    a, b = data.draw(st.lists(node, min_size=2, max_size=2, unique=True))
    source, target = (np.array([each[end] for each in edges], np.int64) for end in (0, 1))
    score = np.array([each[2] for each in edges], np.float32)

    path = strongest_path(n, source, target, score, a, b)

    best = capacities(n, edges)[a, b]
    if path is None:
        assert best == -1
        return
    assert score[path].min() == best
    at = a
    for number in path.tolist():
        assert at in (source[number], target[number])
        at = int(source[number] + target[number]) - at
    assert at == b
    assert len(path) == fewest(n, source, target, score >= best, a, b)


def fewest(n: int, source: Labels, target: Labels, kept: npt.NDArray[np.bool_], a: int, b: int) -> int:
    reached, steps = np.arange(n) == a, 0
    while not reached[b]:
        grown = reached.copy()
        grown[target[kept & reached[source]]] = True
        grown[source[kept & reached[target]]] = True
        reached, steps = grown, steps + 1
    return steps


@pytest.fixture(scope="module")
def faces() -> GeneratedFaces:
    return generate(600, "wild", seed=4)


@pytest.fixture
def library(tmp_path: Path, faces: GeneratedFaces) -> Library:
    library = Library.create(tmp_path / "family")
    photos = [f"photo {face // 2}" for face in range(600)]
    library.add(faces.embeddings[:590], photos=photos[:590], taken=["2001-05-01"] * 590)
    library.cluster(None)
    return library


def of_two(library: Library) -> tuple[Labels, Labels]:
    """Faces of the largest two clusters."""
    one, other = library.groups()[:2]
    return one.faces, other.faces


def test_faces_of_a_cluster_are_connected_by_edges_of_it(library: Library) -> None:
    group = library.groups()[0]
    a, b = group.faces[0], group.faces[-1]

    found = library.explain(a, b)

    assert found.together
    assert found.groups == (group.id, group.id)
    assert (found.path[0].a, found.path[-1].b) == (a, b)
    assert all(one.b == other.a for one, other in zip(found.path, found.path[1:], strict=False))
    assert {face for step in found.path for face in (step.a, step.b)} <= set(group.faces.tolist())
    assert found.weakest in found.path
    for step in found.path:
        x, y = library.store.vectors(np.sort([step.a, step.b]))
        assert step.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), abs=1e-5)
        assert not step.cut
    told = found.in_words()
    assert told.count("\n") == len(found.path) + 1
    assert f"together in {group.id}" in told


def test_denying_the_bridge_parts_the_two(library: Library) -> None:
    group = library.groups()[0]
    found = library.explain(group.faces[0], group.faces[-1])
    assert found.weakest is not None

    library.reject([found.weakest.a, found.weakest.b])

    parted = library.explain(found.weakest.a, found.weakest.b)
    assert not parted.together
    assert parted.obstacle is not None
    assert (parted.obstacle.kind, parted.obstacle.act) == ("word", 1)
    assert "by act 1" in parted.in_words()


def test_a_word_that_joins_is_named_with_its_act(library: Library) -> None:
    one, other = of_two(library)
    library.confirm([int(one[0]), int(other[0])])

    found = library.explain(one[0], other[0])

    assert [step.kind for step in found.path] == ["confirmed together"]
    assert found.path[0].acts == (1,)
    assert "undo act 1" in found.in_words()


def test_what_keeps_clusters_apart_is_named(library: Library) -> None:
    one, other = of_two(library)
    cut = [library.explain(question.a, question.b) for question in library.questions(40)]
    reasons = [each.obstacle for each in cut if each.obstacle is not None]
    assert reasons
    for each in reasons:
        assert each.kind in ("probability", "comparison", "score", "photo")
        if each.kind in ("probability", "score"):
            assert each.value is not None
            assert each.minimum is not None
            assert each.value < each.minimum
    for found in cut:
        assert found.together or found.weakest is None or found.weakest.cut

    anna = library.name(f"c{library.clusters[one[0]]}", "Anna")
    berta = library.name(f"c{library.clusters[other[0]]}", "Berta")
    found = library.explain(one[0], other[0])
    assert found.groups == (anna, berta)
    assert found.obstacle is not None
    assert found.obstacle.why == f"{anna} and {berta} are different persons"


def test_a_face_that_is_not_a_person_is_kept_apart_by_that_word(library: Library) -> None:
    one, _ = of_two(library)
    anna = library.name(library.explain(one[0], one[1]).groups[0], "Anna")
    library.reject([int(one[0])], anna)
    early = library.explain(one[0], one[1]).obstacle
    assert early is not None
    assert early.why == f"face {one[0]} is not {anna}, by act 2"


def test_a_face_from_before_a_birth_is_kept_apart() -> None:
    state = State()
    for number, act in enumerate(
        (Act("name", (0,), text="Anna"), Act("birth", person="p1", text="2010-01-01"))
    ):
        state.apply(number + 1, act)
    facts = Facts(np.full(3, -1), (), np.array([np.inf, days("2009-12-31"), days("2010-01-01")]))

    def reasons(face: int) -> list[str]:
        one, other = np.arange(3) == 0, np.arange(3) == face
        return [why for _, why, _ in reasons_apart(state, facts, one, other)]

    assert reasons(1) == ["face 1 was taken before p1 was born, on 2010-01-01"]
    assert reasons(2) == []


def test_faces_of_one_photo_are_apart_by_it(library: Library) -> None:
    clusters = library.clusters
    pairs = np.arange(590).reshape(-1, 2)
    a, b = pairs[clusters[pairs[:, 0]] != clusters[pairs[:, 1]]][0].tolist()

    found = library.explain(a, b)

    assert found.obstacle is not None
    assert found.obstacle.kind in ("photo", "word")
    assert f"photo {a // 2}" in found.in_words()


def test_added_faces_are_explained_too(
    library: Library, faces: GeneratedFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsrfc.library.clusters.SMALL", 0)
    ids = library.add(faces.embeddings[590:])
    clusters = library.clusters
    joined = [face for face in ids.tolist() if (clusters == clusters[face]).sum() > 2]
    assert joined
    for face in joined:
        other = int(np.flatnonzero(clusters == clusters[face])[0])
        found = library.explain(face, other)
        assert found.together
        assert found.path[0].kind == "added"
        assert found.path[0].shared > 0


def test_near_copies_are_one_scene(tmp_path: Path) -> None:
    X = generate(50, "wild", seed=1).embeddings
    library = Library.create(tmp_path / "copies")
    library.add(np.concatenate((X, X[:1])))
    library.cluster(None)

    found = library.explain(0, 50)
    assert [step.kind for step in found.path] == ["same scene"]
    assert found.path[0].cosine == pytest.approx(1)


def test_one_face_needs_no_explanation(library: Library) -> None:
    with pytest.raises(InputError, match="at least 2 different"):
        library.explain(3, 3)
