"""Clusterers that are saved and loaded: the same predictions, and nothing but what was saved."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nsrfc import FaceClusterer, InputError
from nsrfc.model.bundle import NSRFC
from nsrfc.model.settings import ModelSettings
from nsrfc.storage.outputs import write_sums
from nsrfc.synthetic import generate

from .models import STRUCTURE, D, make_model

N = 300

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def faces() -> tuple[Floats, Floats]:
    """Known faces, copies among them, and new ones."""
    X = generate(N + 60, "wild", dimension=D, seed=2).embeddings
    return np.concatenate((X[:N], X[:5])), X[N:]


@pytest.fixture(scope="module", params=["universal", "rules", "own", "folder"])
def fitted(
    request: pytest.FixtureRequest,
    faces: tuple[Floats, Floats],
    tmp_path_factory: pytest.TempPathFactory,
) -> FaceClusterer:
    model: NSRFC | Path | str | None = {"rules": None, "universal": "universal"}.get(request.param)
    if request.param in ("own", "folder"):
        model = make_model(STRUCTURE)
    if request.param == "folder":
        assert isinstance(model, NSRFC)
        folder: Path = tmp_path_factory.mktemp("model")
        model.save_pretrained(folder)
        model = folder
    return FaceClusterer(model=model, min_cluster_size=2, seed=3).fit(faces[0])


@pytest.fixture(scope="module")
def saved(
    fitted: FaceClusterer, faces: tuple[Floats, Floats], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder: Path = tmp_path_factory.mktemp("saved") / "clusterer"
    fitted.save(folder)
    return folder


PREDICT = """
import sys
import numpy as np
from nsrfc import FaceClusterer
np.save(sys.argv[3], FaceClusterer.load(sys.argv[1]).predict(np.load(sys.argv[2])))
"""


def test_predictions_are_the_same_after_loading(
    fitted: FaceClusterer, saved: Path, faces: tuple[Floats, Floats]
) -> None:
    known, new = faces
    expected = fitted.predict(new)
    loaded = FaceClusterer.load(saved)
    np.testing.assert_array_equal(loaded.predict(new), expected)
    np.testing.assert_array_equal(loaded.predict(3 * known), fitted.labels_)


def test_bad_rows_stay_left_out_after_loading(faces: tuple[Floats, Floats], tmp_path: Path) -> None:
    known, new = (np.insert(each, [0, 7], np.nan, axis=0) for each in faces)
    fitted = FaceClusterer(model=None, on_bad_rows="skip").fit(known)
    fitted.save(tmp_path / "saved")
    loaded = FaceClusterer.load(tmp_path / "saved")
    assert loaded.get_params() == fitted.get_params()
    np.testing.assert_array_equal(loaded.labels_, fitted.labels_)
    np.testing.assert_array_equal(loaded.predict(known), fitted.labels_)
    np.testing.assert_array_equal(loaded.predict(new), fitted.predict(new))
    assert loaded.predict(new)[[0, 8]].tolist() == [-2, -2]


@pytest.mark.parametrize("fitted", ["universal", "own"], indirect=True)
def test_predictions_are_the_same_in_another_process(
    fitted: FaceClusterer, faces: tuple[Floats, Floats], tmp_path: Path
) -> None:
    expected, saved = fitted.predict(faces[1]), tmp_path / "saved"
    fitted.save(saved)
    np.save(tmp_path / "new.npy", faces[1])
    files = [str(saved), str(tmp_path / "new.npy"), str(tmp_path / "labels.npy")]
    subprocess.run([sys.executable, "-c", PREDICT, *files], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "labels.npy"), expected)


def test_attributes_and_parameters_are_those_of_the_fit(fitted: FaceClusterer, saved: Path) -> None:
    loaded = FaceClusterer.load(saved)
    for name in ("labels_", "confidence_"):
        given, found = getattr(fitted, name), getattr(loaded, name)
        assert given.dtype == found.dtype
        np.testing.assert_array_equal(found, given)
    assert loaded.warning_ == fitted.warning_
    assert loaded.n_features_in_ == D
    given, found = fitted.get_params(), loaded.get_params()
    model, again = given.pop("model"), found.pop("model")
    assert found == given
    assert again == model or isinstance(again, NSRFC)
    with pytest.raises(ValueError, match="expecting 32 features"):
        loaded.predict(np.ones((1, D + 1)))


def test_what_was_loaded_is_saved_again(
    saved: Path, faces: tuple[Floats, Floats], tmp_path: Path
) -> None:
    loaded = FaceClusterer.load(saved)
    loaded.save(tmp_path / "again")
    for path in saved.iterdir():
        if path.is_file():
            assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_nothing_in_the_folder_is_pickled(saved: Path) -> None:
    for path in saved.rglob("*.npy"):
        np.load(path, allow_pickle=False)
    assert {path.suffix for path in saved.rglob("*") if path.is_file()} <= {
        ".npy",
        ".json",
        ".safetensors",
        ".md",
        "",
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Save a clusterer with a small model of its own."""
    X = np.random.default_rng(0).normal(size=(12, D))
    FaceClusterer(model=make_model(STRUCTURE)).fit(X).save(tmp_path / "small")
    return tmp_path / "small"


def test_a_file_that_was_changed_is_refused(small: Path) -> None:
    for path in sorted(path for path in small.rglob("*") if path.is_file()):
        content = path.read_bytes()
        middle = len(content) // 2
        for damaged in (content[:middle], content[:middle] + b"\x01" + content[middle + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(InputError) as error:
                FaceClusterer.load(small)
            assert str(small) in str(error.value)
            assert "\n" not in str(error.value)
        path.unlink()
        with pytest.raises(InputError, match=str(small)):
            FaceClusterer.load(small)
        path.write_bytes(content)
    FaceClusterer.load(small)


def rewritten(folder: Path, **changes: object) -> None:
    """Change the record as another version of nsrfc would have written it."""
    path = folder / "clusterer.json"
    record = json.loads(path.read_text())
    for name, value in changes.items():
        if isinstance(value, dict):
            record[name] |= value
        else:
            record[name] = value
    path.write_text(json.dumps(record))
    (folder / "SHA256SUMS").unlink()
    write_sums(folder)


def test_another_version_or_another_model_is_refused(tmp_path: Path) -> None:
    FaceClusterer().fit(np.random.default_rng(0).normal(size=(12, D))).save(tmp_path / "c")
    for changes, words in (
        ({"version": 2, "nsrfc": "9.1"}, "is of version 2 .* nsrfc 9.1"),
        ({"format": "pickle"}, "format"),
        ({"method": {"networks": {"cgcn": "0" * 64}}}, "The model universal is not what found these"),
        ({"method": {"name": "other"}}, "weights or settings differ"),
        ({"config": {"unheard": 1}}, "unheard"),
    ):
        shutil.copytree(tmp_path / "c", tmp_path / "d")
        rewritten(tmp_path / "d", **changes)
        with pytest.raises(InputError, match=words):
            FaceClusterer.load(tmp_path / "d")
        shutil.rmtree(tmp_path / "d")


def test_a_model_that_was_changed_since_the_fit_is_refused(tmp_path: Path) -> None:
    make_model(STRUCTURE).save_pretrained(tmp_path / "model")
    X = np.random.default_rng(0).normal(size=(12, D))
    clusterer = FaceClusterer(model=tmp_path / "model").fit(X)
    make_model(STRUCTURE, tau=0.41).save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="weights or settings differ"):
        clusterer.save(tmp_path / "saved")
    with pytest.raises(InputError, match="weights or settings differ"):
        clusterer.predict(X)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_replaced_only_if_it_holds_a_clusterer(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(12, D))
    one, other = (FaceClusterer(model=None).fit(X[:n]) for n in (12, 9))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="holds other files: give a new folder"):
        one.save(tmp_path / "mine")
    with pytest.raises(InputError, match="is a file, not a folder"):
        one.save(tmp_path / "file")
    one.save(tmp_path / "new" / "c")
    other.save(tmp_path / "new" / "c")
    assert len(FaceClusterer.load(tmp_path / "new" / "c").labels_) == 9
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "file", "new"}
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c"]
    arrays = {"vectors.npy", "labels.npy", "confidence.npy"}
    assert {path.name for path in (tmp_path / "new" / "c").iterdir()} == {
        "clusterer.json",
        "SHA256SUMS",
        *arrays,
    }


def test_saving_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(0).normal(size=(12, D))
    FaceClusterer(model=None).fit(X).save(tmp_path / "c")
    before = {path: path.read_bytes() for path in (tmp_path / "c").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nsrfc.known.write_sums", full)
    for name in ("c", "d"):
        with pytest.raises(InputError, match="No space left"):
            FaceClusterer(model=None).fit(X[:9]).save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert {path: path.read_bytes() for path in (tmp_path / "c").iterdir()} == before


def test_only_what_was_fitted_is_saved_and_only_such_folders_are_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        FaceClusterer().save(tmp_path / "c")
    NSRFC(ModelSettings(family="structure", dimension=None)).save_pretrained(tmp_path / "model")
    for name in ("model", "absent"):
        with pytest.raises(InputError, match="holds neither a saved clusterer nor a finished run"):
            FaceClusterer.load(tmp_path / name)


def test_names_of_columns_and_another_device_are_kept(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(12, 3))
    clusterer = FaceClusterer(model=None).fit(X)
    # As scikit-learn keeps the columns of a data frame.
    clusterer.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    clusterer.save(tmp_path / "c")
    loaded = FaceClusterer.load(tmp_path / "c", device="cpu")
    assert loaded.get_params()["device"] == "cpu"
    assert loaded.feature_names_in_.dtype == object
    np.testing.assert_array_equal(loaded.feature_names_in_, clusterer.feature_names_in_)
