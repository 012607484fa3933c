"""Faces that are added: at the cost of the new ones, in any order, with what was said obeyed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc import InputError, cluster
from nsrfc.library import clusters as clusters_module
from nsrfc.library.library import Library
from nsrfc.metrics import pairwise

from .faces import D, clustered, faces, same_partition


@pytest.fixture(autouse=True)
def _no_small_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small libraries be added to as large ones are, to test that."""
    monkeypatch.setattr(clusters_module, "SMALL", 0)


def grown(folder: Path, X: npt.NDArray[np.float32], *batches: npt.NDArray[np.int64]) -> Library:
    """A library of the first batch of rows, clustered, to which the others were added."""
    library = Library.create(folder)
    library.add(X[batches[0]])
    library.cluster(None)
    for rows in batches[1:]:
        library.add(X[rows])
    return library


def test_two_batches_in_either_order_give_the_same_clusters(tmp_path: Path) -> None:
    X = faces(900)[0]
    old, one, other = np.split(np.arange(900), [600, 720])
    X[other[:3]] = X[one[:3]]  # copies in both batches
    a = grown(tmp_path / "a", X, old, one, other).clusters
    b = grown(tmp_path / "b", X, old, other, one).clusters
    by_row = np.empty_like(b)
    by_row[np.concatenate((old, other, one))] = b
    assert same_partition(a, by_row)


def test_faces_may_join_after_many_batches(tmp_path: Path) -> None:
    X = faces(900)[0]
    old, *batches = np.split(np.arange(900), [600, 700, 800])
    at_once = grown(tmp_path / "a", X, old, *batches)
    later = grown(tmp_path / "b", X, old)
    for rows in batches:
        later.add(X[rows], join=False)
    later.refresh()
    before = later.store.key()
    later.refresh()

    assert same_partition(later.clusters, at_once.clusters)
    assert later.store.key() == before


@pytest.mark.parametrize("model", [None, "universal"])
def test_added_faces_find_their_people(tmp_path: Path, model: str | None) -> None:
    X = faces(1200, seed=3)[0]
    library = Library.create(tmp_path / "family")
    library.add(X[:1000])
    library.cluster(model)
    for rows in np.split(np.arange(1000, 1200), 4):
        library.add(X[rows])
    assert pairwise(cluster(X, model).labels, library.clusters).f > 0.95


def test_only_lists_of_new_faces_are_made(tmp_path: Path) -> None:
    X = faces(1200)[0]
    library = grown(tmp_path / "family", X, np.arange(1000), np.arange(1000, 1150))
    library.add(X[1150:1151])
    added = library.found.added()
    assert added is not None
    # The new one, and those added before that list it now: never faces of the run.
    assert 1 <= added.touched <= 80


def test_a_lone_face_joins_when_its_company_arrives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(rng.standard_normal((61, D)), 10, axis=0)
    X = (people + 0.6 * rng.standard_normal(people.shape)).astype(np.float32)
    library = Library.create(tmp_path / "family")
    library.add(X[:601])  # of the last person one face
    library.cluster(None)
    assert (library.clusters == library.clusters[600]).sum() == 1
    library.add(X[601:])
    assert np.flatnonzero(library.clusters == library.clusters[600]).tolist() == list(range(600, 610))


def test_predict_changes_nothing(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family", 600)
    files = {path: path.read_bytes() for path in (tmp_path / "family").rglob("*") if path.is_file()}
    before = library.fingerprint()
    X = faces(600)[0]
    labels, probability = library.predict(X[:50])
    np.testing.assert_array_equal(labels, library.clusters[:50])
    assert (probability > 0.99).all()
    strangers, _ = library.predict(np.random.default_rng(0).standard_normal((20, D)))
    assert (strangers == -1).mean() > 0.8
    assert library.fingerprint() == before
    after = {path: path.read_bytes() for path in (tmp_path / "family").rglob("*") if path.is_file()}
    same = [path for path, content in files.items() if after[path] == content]
    assert {path.name for path in after if path not in same} <= {"clusters.npz"}


def test_predict_knows_faces_that_were_added(tmp_path: Path) -> None:
    X = faces(900)[0]
    library = grown(tmp_path / "family", X, np.arange(600), np.arange(600, 900))
    labels, _ = library.predict(X[600:700])
    np.testing.assert_array_equal(labels, library.clusters[600:700])


def test_a_word_about_added_faces_is_obeyed(tmp_path: Path) -> None:
    X = faces(900)[0]
    library = grown(tmp_path / "family", X, np.arange(600), np.arange(600, 900))
    group = next(group for group in library.groups() if (group.faces >= 600).sum() > 2)
    new, old = group.faces[group.faces >= 600], group.faces[group.faces < 600]
    library.split(group.id, new)
    assert len(set(library.clusters[new]) & set(library.clusters[old])) == 0
    library.cluster(None)
    assert len(set(library.clusters[new]) & set(library.clusters[old])) == 0


def test_two_faces_of_one_photo_are_never_one_person(tmp_path: Path) -> None:
    X = faces(600)[0]
    X[1] = X[0]  # even if they are equal
    photos = [f"photo {face // 2}" for face in range(600)]
    library = Library.create(tmp_path / "family")
    library.add(X[:400], photos=photos[:400])
    library.cluster(None)
    library.add(X[400:], photos=photos[400:])
    clusters = library.clusters
    assert (clusters[::2] != clusters[1::2]).all()
    library.collage("photo 0")
    assert library.clusters[0] == library.clusters[1]


def test_faces_older_than_a_person_do_not_join_it(tmp_path: Path) -> None:
    X, identities = faces(600)
    of = np.flatnonzero(identities == np.bincount(identities).argmax())
    taken = ["1990-01-01" if face in of[:3] else None for face in range(600)]
    library = Library.create(tmp_path / "family")
    library.add(X, taken=taken)
    library.cluster(None)
    rest = library.group(f"c{library.clusters[of[-1]]}")
    young = np.setdiff1d(rest.faces, of[:3])
    library.split(rest.id, young)
    person = library.group(f"c{library.clusters[young[0]]}").id
    library.born(person, "1995-05-05")
    assert not np.isin(of[:3], library.group(person).faces).any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keys": ["a", "a"]}, "keys are not unique"),
        ({"keys": ["a"]}, "keys has 1 entries, but there are 2 faces"),
        ({"taken": ["yesterday", None]}, "'yesterday' is no date"),
        ({"embedder": "dlib"}, "of the embedder 'dlib'"),
    ],
)
def test_bad_input_adds_nothing(tmp_path: Path, given: dict[str, object], message: str) -> None:
    library = clustered(tmp_path / "family")
    before = library.fingerprint()
    with pytest.raises(InputError, match=message):
        library.add(faces(2, seed=9)[0], **given)  # type: ignore[arg-type]
    assert library.fingerprint() == before


def test_faces_of_another_dimension_are_refused_by_name(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    with pytest.raises(InputError, match=r"dimension 8, those of .*family 64"):
        library.add(np.ones((2, 8), np.float32))


def test_keys_are_there_once(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    X = faces(10)[0]
    library.add(X[:5], keys=list("abcde"))
    with pytest.raises(InputError, match=r"2 of these faces are in .* already"):
        library.add(X[5:], keys=list("defgh"))
    assert len(library.faces) == 5


def test_bad_rows_are_left_out_on_demand(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "family")
    X = faces(10)[0]
    X[3], X[4, 0] = 0, np.nan
    with pytest.raises(InputError, match="row 4"):
        library.add(X)
    ids = library.add(X, skip_bad=True)
    assert ids.tolist() == [0, 1, 2, -1, -1, 3, 4, 5, 6, 7]
