"""Who lists whom: what compiled code finds is what looking through the lists finds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsrfc.graph.reverse import both_directions, column_in_list, columns_in_lists, reverse_columns

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def random_lists(n: int, k: int, seed: int) -> Ids:
    """Lists of random faces, each once, their owner first, of which some end early."""
    rng = np.random.default_rng(seed)
    ids = np.full((n, k), -1, np.int32)
    for face in range(n):
        others = rng.permutation(np.delete(np.arange(n), face))[: rng.integers(0, k)]
        ids[face, : 1 + len(others)] = [face, *others]
    return ids


def column_of(ids: Ids, owner: int, face: int) -> int:
    """Look through a list."""
    listed = ids[owner].tolist()
    return listed.index(face) if face in listed else -1


LISTS = st.builds(random_lists, st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))


@given(LISTS)
def test_every_face_is_found_where_it_stands_in_every_list(ids: Ids) -> None:
    owners, faces = np.divmod(np.arange(len(ids) ** 2), len(ids))
    expected = [column_of(ids, *ends) for ends in zip(owners, faces, strict=True)]
    found = columns_in_lists(ids, owners, faces)
    assert found.dtype == np.int32
    assert found.tolist() == expected
    assert [column_in_list(ids, *ends) for ends in zip(owners, faces, strict=True)] == expected


@given(LISTS)
def test_the_reverse_of_a_listed_pair_is_where_the_neighbour_lists_the_face(ids: Ids) -> None:
    expected = [
        [-1 if j < 0 else column_of(ids, j, i) for j in listed] for i, listed in enumerate(ids.tolist())
    ]
    assert reverse_columns(ids).tolist() == expected


@given(LISTS, st.integers(0, 2**32 - 1))
def test_values_of_both_directions_are_those_of_both_lists(ids: Ids, seed: int) -> None:
    values = np.random.default_rng(seed).random(ids.shape).astype(np.float32)
    pairs = both_directions(ids, values)
    assert pairs.shape == (*ids.shape, 2)
    np.testing.assert_array_equal(pairs[..., 0], values)
    for (i, c), j in np.ndenumerate(ids):
        column = -1 if j < 0 else column_of(ids, int(j), i)
        assert pairs[i, c, 1] == (values[j, column] if column >= 0 else values[i, c])


@pytest.mark.parametrize("layout", ["C", "F"])
def test_three_faces_by_hand(layout: str) -> None:
    ids = np.array([[0, 2, 1], [1, 2, -1], [2, 1, -1]], np.int32)
    ids = np.asfortranarray(ids) if layout == "F" else ids
    np.testing.assert_array_equal(reverse_columns(ids), [[0, -1, -1], [0, 1, -1], [0, 1, -1]])
    values = np.arange(9, dtype=np.float32).reshape(3, 3)
    pairs = both_directions(ids, values)
    assert pairs[1, 1].tolist() == [4, 7]  # listed by both
    assert pairs[0, 1].tolist() == [1, 1]  # 2 does not list 0
    assert columns_in_lists(ids, [0, 2, 2], [1, 1, 0]).tolist() == [2, 1, -1]


def test_nobody_is_asked_about() -> None:
    assert columns_in_lists(np.zeros((1, 1), np.int32), [], []).tolist() == []
