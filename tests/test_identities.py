"""Faces of unknown identity are neither scored nor learned from; names are as good as numbers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nsrfc
from nsrfc.errors import InputError
from nsrfc.identities import identity_array
from nsrfc.report.errors import worst_merges, worst_splits
from nsrfc.synthetic import generate
from nsrfc.training.config import TrainingConfig

from .commands import run, run_json

TRUE = [4, 4, 4, 2, 2, 9, 9]
FOUND = [0, 0, 1, 1, 1, 2, -1]
NAMES = {4: "dora", 2: "anna", 9: "zoe"}


@pytest.mark.parametrize(
    "unknown",
    [
        [*TRUE, -1, -1, -1],
        [*TRUE, None, None, None],
        [*map(float, TRUE), np.nan, np.nan, np.nan],
        [NAMES[each] for each in TRUE] + ["", "", ""],
        [NAMES[each] for each in TRUE] + [None, np.nan, ""],
        np.array([NAMES[each] for each in TRUE] + [""] * 3, np.bytes_),
    ],
)
def test_scores_are_those_of_the_faces_whose_identity_is_known(unknown: Any) -> None:  # noqa: ANN401
    """Two unknown faces are in clusters of others, which changes no score."""
    alone = nsrfc.evaluate(TRUE, FOUND).as_dict()
    scores = nsrfc.evaluate(unknown, [*FOUND, 0, 1, 5]).as_dict()
    assert scores.pop("n_unknown") == 3
    assert alone.pop("n_unknown") == 0
    assert scores == alone


def test_missing_values_of_pandas_are_unknown() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is in the extra test")
    for values in (["anna", None, "anna"], pandas.array([1, None, 1], "Int64"), [1, None, 1]):
        assert nsrfc.evaluate(pandas.Series(values), [0, 1, 0]).n_unknown == 1


@pytest.mark.parametrize(
    "values", [[1.5, None], [True, None], [1, "a", None], [object()], [1e30, np.nan]]
)
def test_other_values_are_refused(values: list[Any]) -> None:
    with pytest.raises(InputError, match="identities are integers or strings"):
        identity_array(np.array(values, np.object_) if None in values else values)


def test_errors_are_told_by_name() -> None:
    names = [NAMES[each] for each in TRUE]
    (merge,), (split, *_) = worst_merges(names, FOUND), worst_splits(names, FOUND)
    assert (merge.first_identity, merge.second_identity) == ("anna", "dora")
    assert split.identity == "dora"


def test_evaluate_tells_how_many_faces_were_not_scored(tmp_path: Path) -> None:
    names = pa.array([*(NAMES[each] for each in TRUE), None, ""])
    pq.write_table(pa.table({"identity": names}), tmp_path / "true.parquet")
    np.save(tmp_path / "found.npy", [*FOUND, 0, 1])
    shown = run("evaluate", tmp_path / "found.npy", tmp_path / "true.parquet")
    assert "faces of unknown identity, not scored" in shown
    assert "anna (2), dora (1)" in shown
    record = run_json("evaluate", tmp_path / "found.npy", tmp_path / "true.parquet")
    assert (record["n_unknown"], record["n_faces"]) == (2, 7)
    assert record["worst_splits"][0]["identity"] == "dora"


def test_training_leaves_unknown_faces_and_bad_rows_out(caplog: pytest.LogCaptureFixture) -> None:
    faces = generate(400, "lfw", dimension=32, seed=0)
    X, identities = faces.embeddings.copy(), faces.identities
    names = np.array([f"person {each}" for each in identities])
    unknown, bad = np.arange(0, 40, 4), [7, 30]
    names[unknown] = ""
    X[bad] = 0
    left = np.setdiff1d(np.arange(400), [*unknown, *bad])
    loop = {"loop": {"epochs": 1, "batch": 32}}
    config = TrainingConfig.load("default", None, {"k": 10, "cgcn": loop})
    with caplog.at_level(logging.WARNING, "nsrfc.training"):
        model = nsrfc.train(X, names, config, only="cgcn", on_bad_rows="skip")
    alone = nsrfc.train(X[left], names[left], config, only="cgcn")
    assert model.fingerprints() == alone.fingerprints()
    assert model.data["faces"] == len(left)
    bad_rows, unknown_faces = (line for line in caplog.messages if "left out" in line)
    assert bad_rows.startswith("2 of 400 rows are missing, zero, NaN or infinite")
    assert unknown_faces.startswith("10 of 400 faces have no known identity (-1, empty or null)")
    with pytest.raises(InputError, match="at least 4 identities"):
        nsrfc.train(X[left], np.full(len(left), -1), config)
