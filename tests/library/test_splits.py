"""A cluster that shows two persons is split where they part."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc.errors import InputError
from nsrfc.library.library import Group, Library
from nsrfc.synthetic import GeneratedFaces, generate

Labels = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def faces() -> GeneratedFaces:
    return generate(1500, "wild", seed=6)


@pytest.fixture(scope="module", params=[None, "universal"], ids=["rules", "universal"])
def library(
    request: pytest.FixtureRequest, faces: GeneratedFaces, tmp_path_factory: pytest.TempPathFactory
) -> Library:
    library = Library.create(tmp_path_factory.mktemp("split") / "family")
    library.add(faces.embeddings)
    library.cluster(request.param)
    return library


def identity(group: Group, identities: Labels) -> int:
    return int(np.bincount(identities[group.faces]).argmax())


@pytest.mark.parametrize("sizes", [(20, 20), (30, 5), (25, 2), (6, 6)])
def test_two_persons_that_were_merged_are_told_apart(
    library: Library, faces: GeneratedFaces, sizes: tuple[int, int]
) -> None:
    groups = library.groups()
    rng, right = np.random.default_rng(0), []
    for _ in range(3):
        order = rng.permutation(len(groups)).tolist()
        every = [groups[place] for place in order]
        one = min(every, key=lambda group: abs(len(group.faces) - sizes[0]))
        who = identity(one, faces.identities)
        others = (
            group for group in every if group is not one and identity(group, faces.identities) != who
        )
        other = min(others, key=lambda group: abs(len(group.faces) - sizes[1]))
        act = library.merge(one.id, other.id)
        merged = library.explain(one.faces[0], other.faces[0]).groups[0]

        proposed = library.suggest_split(merged)

        whole = library.group(merged).faces
        assert 0 < len(proposed) <= len(whole) / 2
        chosen, smaller = np.isin(whole, proposed), np.isin(whole, other.faces)
        match = float((chosen == smaller).mean())
        right.append(max(match, 1 - match))
        library.undo(act)
    assert np.mean(right) >= 0.95


def test_what_is_proposed_can_be_split(library: Library) -> None:
    one, other = library.groups()[:2]
    merge = library.merge(one.id, other.id)
    library.undo(merge)
    proposed = library.suggest_split(one.id)

    person = library.split(one.id, proposed)

    assert np.array_equal(library.group(person).faces, proposed)
    library.undo()


def test_a_single_face_cannot_be_split(library: Library) -> None:
    alone = library.groups()[-1]
    assert len(alone.faces) == 1
    with pytest.raises(InputError, match="no two faces"):
        library.suggest_split(alone.id)
