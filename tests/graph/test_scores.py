"""What strangers show: scores do not hang on how the faces are written down."""

from __future__ import annotations

import numpy as np
import pytest

from nsrfc.graph.scores import impostor_mean, impostor_scores
from nsrfc.synthetic import generate


def test_zero_padding_does_not_change_the_impostor_scores_of_a_few_faces() -> None:
    """With so few faces what is assumed before looking decides, and that hangs on the dimension."""
    vectors = generate(20, "wild", dimension=48, seed=0).embeddings
    expected = impostor_scores(vectors, vectors)
    assert expected.deviation.mean() == pytest.approx(48**-0.5, rel=0.4)
    for zeros in (1, 48, 1000):
        longer = np.pad(vectors, ((0, 0), (0, zeros)))
        found = impostor_scores(longer, longer)
        np.testing.assert_array_equal(found.center, expected.center)
        np.testing.assert_array_equal(found.deviation, expected.deviation)
    assert impostor_mean(longer) == pytest.approx(float(expected.center.mean()))
