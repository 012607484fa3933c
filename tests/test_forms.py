"""Embeddings in the forms of other libraries are read as the array that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import nsrfc
from nsrfc.errors import InputError
from nsrfc.pipeline import pair_probabilities, refine_embeddings
from nsrfc.synthetic import generate
from nsrfc.vectors import as_matrix, normalize

Floats = npt.NDArray[np.float32]

X: Floats = generate(60, "wild", dimension=24, seed=0).embeddings


def objects(rows: list[Any]) -> npt.NDArray[np.object_]:
    array = np.empty(len(rows), np.object_)
    for number, row in enumerate(rows):
        array[number] = row
    return array


def pandas() -> Any:  # noqa: ANN401
    return pytest.importorskip("pandas", reason="pandas is in the extra test")


def of_deepface(row: Floats) -> dict[str, Any]:
    area = {"x": 1, "left_eye": (3, 4)}
    return {"embedding": row.tolist(), "facial_area": area, "face_confidence": 0.9}


FORMS: dict[str, Callable[[], Any]] = {
    "lists": lambda: X.tolist(),
    "tuple of arrays": lambda: tuple(X),
    "objects": lambda: objects(list(X)),
    "objects of lists": lambda: objects(X.tolist()),
    "column of objects": lambda: objects(X.tolist())[:, None],
    "table of objects": lambda: X.astype(np.object_),
    "column of a table": lambda: pandas().Series(X.tolist(), index=range(7, 67)),
    "column of arrays": lambda: pandas().DataFrame({"id": range(60), "e": list(X)})["e"],
    "table of one column": lambda: pandas().DataFrame({"embedding": X.tolist()}),
    "table of numbers": lambda: pandas().DataFrame(X, columns=[f"e{i}" for i in range(24)]),
    "tensor": lambda: torch.tensor(X),
    "tensor with gradient": lambda: torch.tensor(X, requires_grad=True),
    "tensors": lambda: [torch.tensor(row, requires_grad=True) for row in X],
    "dicts": lambda: [of_deepface(row) for row in X],
    "dicts with several vectors": lambda: [{"bbox": row[:4], "embedding": row} for row in X],
    "dicts of another name": lambda: [{"name": "a", "vector": row} for row in X],
    "text": lambda: [str(row) for row in X.tolist()],
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_read_as_the_array(form: str) -> None:
    given = FORMS[form]()
    np.testing.assert_array_equal(normalize(given), normalize(X))


def test_bfloat16_is_read_in_its_own_precision() -> None:
    rounded = torch.tensor(X).bfloat16()
    np.testing.assert_array_equal(normalize(rounded), normalize(rounded.float().numpy()))


def test_every_function_that_takes_faces_takes_a_column() -> None:
    column = objects(X.tolist())
    np.testing.assert_array_equal(nsrfc.cluster(column).labels, nsrfc.cluster(X).labels)
    refined = refine_embeddings(column, "universal")
    np.testing.assert_array_equal(refined, refine_embeddings(X, "universal"))
    np.testing.assert_array_equal(
        pair_probabilities(column, "universal").ids, pair_probabilities(X, "universal").ids
    )
    clusterer = nsrfc.FaceClusterer().fit(column)
    np.testing.assert_array_equal(clusterer.predict(column[:9]), clusterer.predict(X[:9]))
    with pytest.raises(InputError, match="at least 4 identities"):
        nsrfc.train(column, [0] * 60)


def test_an_array_is_not_copied() -> None:
    assert as_matrix(X) is X


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([*X.tolist()[:58], None, None], r"^X: 2 of 60 rows are missing \(rows 58, 59\)"),
        ([*X.tolist()[:59], float("nan")], r"1 of 60 rows is missing \(row 59\)"),
        ([*X.tolist()[:59], []], r"1 of 60 rows is missing \(row 59\)"),
        ([[1.0, 2.0], *X.tolist()[1:]], "row 0, counted from 0, has length 2, but most rows have 24"),
        ([*X.tolist()[:59], {"a": 1}], r"row 59, counted from 0, is no vector of numbers \(a dict\)"),
        ([*X.tolist()[:59], "[0.1"], r"row 59, counted from 0, is no vector of numbers \(a str\)"),
        ([{"a": row, "b": row} for row in X], "holds dicts, and 2 of their keys could be the embedding"),
        ([{"a": 1, "b": "x"} for _ in X], "holds dicts, and none of their keys could be"),
        ([{"embedding": row} for row in X[1:]] + [{}], r"missing \(row 59\)"),
        ([[of_deepface(row)] for row in X], r"row 0, counted from 0, is no vector of numbers"),
    ],
)
def test_rows_that_are_no_vector_are_named(rows: list[Any], words: str) -> None:
    for call in (nsrfc.cluster, nsrfc.FaceClusterer().fit):
        with pytest.raises(InputError, match=words) as refused:
            call(rows)
        assert len(str(refused.value)) < 300


def test_missing_values_of_pandas_are_missing_rows() -> None:
    column = pandas().Series([*X.tolist()[:59], pandas().NA])
    with pytest.raises(InputError, match=r"missing \(row 59\)"):
        nsrfc.cluster(column)
