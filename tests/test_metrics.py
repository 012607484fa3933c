"""Scores against the reference, scikit-learn and a naive count of pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    adjusted_rand_score,
    normalized_mutual_info_score,
    pair_confusion_matrix,
)

from nsrfc.errors import InputError
from nsrfc.metrics import PRF, ari, bcubed, evaluate, nmi, pairwise

Ints = npt.NDArray[np.int64]


@st.composite
def partitions(draw: st.DrawFn, lowest: int = -1) -> tuple[Ints, Ints]:
    n = draw(st.integers(1, 25))
    identities = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    labels = draw(st.lists(st.integers(lowest, 6), min_size=n, max_size=n))
    return np.array(identities), np.array(labels)


def alone(labels: Ints) -> Ints:
    """Give each unclustered face a label of its own."""
    free = labels.max() + 1 + np.arange(len(labels))
    return np.where(labels == -1, free, labels)


def naive(identities: Ints, labels: Ints) -> tuple[PRF, PRF]:
    """Compare every face with every other."""
    own = alone(labels)
    joined = own[:, None] == own
    same = identities[:, None] == identities
    upper = np.triu_indices(len(own), k=1)
    n_joined, n_same = joined[upper].sum(), same[upper].sum()
    n_both = (joined & same)[upper].sum()
    overlap = (joined & same).sum(axis=1)
    of_pairs = PRF.of(
        float(n_both / n_joined) if n_joined else 1.0,
        float(n_both / n_same) if n_same else 1.0,
    )
    precision, recall = (overlap / group.sum(axis=1) for group in (joined, same))
    return of_pairs, PRF.of(float(precision.mean()), float(recall.mean()))


def test_equals_the_reference(shared: Path) -> None:
    with np.load(shared / "golden" / "metrics.npz", allow_pickle=False) as golden:
        for case in range(int(golden["n_cases"])):
            scores = evaluate(golden[f"gt{case}"], golden[f"pred{case}"])
            expected = golden[f"metrics_pairwise{case}"]
            defined = np.isfinite(expected)  # the reference has 0/0 where no pair is joined
            np.testing.assert_allclose(np.array(scores.pairwise)[defined], expected[defined], rtol=1e-12)
            np.testing.assert_allclose(scores.bcubed, golden[f"metrics_bcubed{case}"], rtol=1e-12)
            assert scores.nmi == pytest.approx(float(golden[f"metrics_nmi{case}"]), rel=1e-12)
            assert scores.ari == pytest.approx(float(golden[f"eval_ari{case}"]), rel=1e-12)


@given(partitions())
def test_equals_a_naive_count(both: tuple[Ints, Ints]) -> None:
    identities, labels = both
    of_pairs, of_faces = naive(identities, labels)
    assert pairwise(identities, labels) == pytest.approx(of_pairs)
    assert bcubed(identities, labels) == pytest.approx(of_faces)


@given(partitions())
def test_equals_scikit_learn(both: tuple[Ints, Ints]) -> None:
    identities, labels = both
    own = alone(labels)
    assert nmi(identities, labels) == pytest.approx(
        normalized_mutual_info_score(identities, own), abs=1e-9
    )
    assert ari(identities, labels) == pytest.approx(adjusted_rand_score(identities, own))
    (_, wrong), (missed, right) = pair_confusion_matrix(identities, own)
    precision, recall, _ = pairwise(identities, labels)
    assert precision * (right + wrong) == pytest.approx(right)
    assert recall * (right + missed) == pytest.approx(right)


@given(partitions())
def test_names_and_row_order_do_not_matter(both: tuple[Ints, Ints]) -> None:
    identities, labels = both
    order = np.random.default_rng(len(labels)).permutation(len(labels))
    renamed = np.where(labels == -1, -1, 1000 - 7 * labels)
    scores = evaluate(identities, labels).as_dict()
    other = evaluate((identities * 10**12)[order], renamed[order]).as_dict()
    for name, value in scores.items():
        assert other[name] == pytest.approx(value), name


@given(partitions(lowest=0))
def test_swapping_the_sides_swaps_precision_and_recall(both: tuple[Ints, Ints]) -> None:
    identities, labels = both
    for score in (pairwise, bcubed):
        there, back = score(identities, labels), score(labels, identities)
        assert (there.precision, there.recall) == pytest.approx((back.recall, back.precision))
    assert nmi(identities, labels) == pytest.approx(nmi(labels, identities))
    assert ari(identities, labels) == pytest.approx(ari(labels, identities))


@given(partitions())
def test_scores_stay_in_range(both: tuple[Ints, Ints]) -> None:
    scores = evaluate(*both)
    values = [*scores.pairwise, *scores.bcubed, scores.nmi, scores.singleton_share]
    assert all(0.0 <= value <= 1.0 for value in values)
    assert scores.ari <= 1.0


@pytest.mark.parametrize("identities", [[4], [1, 2, 3], [5, 5, 5], [1, 1, 2, 2, 3]])
def test_the_truth_scores_one(identities: list[int]) -> None:
    scores = evaluate(identities, identities)
    assert scores.pairwise == scores.bcubed == PRF(1.0, 1.0, 1.0)
    assert scores.nmi == pytest.approx(1.0)
    assert scores.ari == 1.0


def test_one_cluster_for_everybody() -> None:
    scores = evaluate([0, 0, 1, 1], [3, 3, 3, 3])
    assert scores.pairwise == PRF.of(2 / 6, 1.0)
    assert scores.bcubed == PRF.of(0.5, 1.0)
    assert scores.nmi == 0.0
    assert scores.ari == 0.0


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [-1, -1, -1, -1]])
def test_everybody_alone_joins_no_wrong_pair(labels: list[int]) -> None:
    scores = evaluate([0, 0, 1, 1], labels)
    assert scores.pairwise == PRF(1.0, 0.0, 0.0)
    assert scores.bcubed == PRF.of(1.0, 0.5)
    assert scores.ari == 0.0
    assert scores.singleton_share == 1.0


def test_counts() -> None:
    scores = evaluate([7, 7, 7, 8, 9, 9], [0, 0, -1, 5, -1, 0])
    assert (scores.n_faces, scores.n_identities) == (6, 3)
    assert (scores.n_clusters, scores.n_unclustered) == (2, 2)
    assert scores.singleton_share == 3 / 6
    assert scores.identity_singleton_share == 1 / 6


def test_pair_counts_of_millions_of_faces_do_not_overflow() -> None:
    n = 2_000_000
    identities = (np.arange(n) % 2).astype(np.int32)
    one_cluster = np.zeros(n, dtype=np.int8)
    assert pairwise(identities, one_cluster).precision == pytest.approx(0.5, abs=1e-6)
    assert ari(identities, one_cluster) == 0.0
    assert ari(identities, identities.astype(np.uint8)) == 1.0


def test_as_dict_is_ready_for_json() -> None:
    scores = evaluate(np.array([0, 0, 1], dtype=np.int32), np.array([1, 1, 1], dtype=np.int64))
    read = json.loads(json.dumps(scores.as_dict()))
    assert read["pairwise"] == {"precision": 1 / 3, "recall": 1.0, "f": 0.5}
    assert read["n_clusters"] == 1


@pytest.mark.parametrize(
    ("identities", "labels", "message"),
    [
        ([0, 1, 1], [0, 1], "3 identities and 2 labels"),
        ([], [], "identities is empty"),
        ([[0, 1]], [0, 1], "identities has shape"),
        ([-1, -1], [0, 1], "no face has a known identity"),
        (["", ""], [0, 1], "no face has a known identity"),
        ([0, 1], [0.0, 1.0], "labels must be integers, got float64"),
        ([0.5, 1.0], [0, 1], "identities holds float64"),
    ],
)
def test_unusable_input_is_refused(identities: object, labels: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evaluate(identities, labels)  # type: ignore[arg-type]
