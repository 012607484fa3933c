"""The output folder of ``nsrfc cluster``: labels, a table, and a record of the run.

| file               | content                                                                    |
|--------------------|----------------------------------------------------------------------------|
| `labels.npy`       | int64 (n,)                                                                 |
| `clusters.parquet` | the ids (if the input had them) or ``row``, ``label``, ``confidence``      |
| `bad_rows.npy`     | int64 (b,), the rows that were left out, ascending; only if there are any  |
| `people.parquet`   | of shards: ``label``, ``faces``, mean ``confidence`` of every cluster      |
| `shards/`          | of shards: the rows of each like `clusters.parquet`, ``row`` counted in it |
| `run.json`         | configuration, versions, input, plan, seconds, memory, hashes of the others |

They are made elsewhere and moved into place together, `run.json` last: a folder with a
`run.json` holds a complete run, and the hashes in it show whether a file was changed since.
"""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nsrfc import __version__
from nsrfc.errors import InputError
from nsrfc.records import BAD_ROW, UNCLUSTERED, Clustering
from nsrfc.storage.files import PathLike, kind_of, read_text, reading, writing
from nsrfc.storage.identities import read_identities
from nsrfc.storage.locks import clear, locked
from nsrfc.storage.outputs import atomic_path, check_outputs, check_place, file_hash, sync

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "BAD_ROWS",
    "FILES",
    "RECORD",
    "TABLE",
    "UNFINISHED",
    "check_folder",
    "check_id_key",
    "holds",
    "read_labels",
    "read_run",
    "remove_stages",
    "summarize",
    "versions",
    "write_json",
    "write_run",
]

FILES = LABELS, TABLE, RECORD = "labels.npy", "clusters.parquet", "run.json"
_MOST_RECORD_BYTES = 1 << 22
BAD_ROWS = "bad_rows.npy"
PEOPLE, SHARDS = "people.parquet", "shards"
COLUMNS = "label", "confidence"
LIBRARIES = ("numpy", "scipy", "faiss", "numba", "pyarrow")

UNFINISHED = ".unfinished"
"""Subfolder of the output folder for intermediate results, from which an interrupted run resumes."""


def write_run(
    folder: PathLike,
    found: Clustering,
    record: Mapping[str, Any],
    *,
    ids: npt.NDArray[Any] | None = None,
    id_key: str = "id",
    shards: Sequence[tuple[str, slice]] = (),
) -> dict[str, Any]:
    """Write a run into a folder, whole or not at all; an older run there is replaced.

    The intermediate results in `UNFINISHED` are removed.

    Parameters
    ----------
    folder : path-like
        Made if missing; other files in it are left alone.
    found : Clustering
        Labels and confidence of n faces.
    record : mapping
        Content of `run.json` besides the summary and the hashes.
    ids : ndarray of int or str, shape (n,), optional
        Names of the faces.
    id_key : str
        Name of their column in the table.
    shards : sequence of (str, slice)
        Names and rows of the shards that the faces were in, each of which gets a table of its own.

    Returns
    -------
    dict
        What was written to `run.json`.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    folder = Path(folder)
    with _staging(folder) as staging:
        np.save(staging / LABELS, found.labels, allow_pickle=False)
        bad = np.flatnonzero(found.labels == BAD_ROW)
        if len(bad):
            np.save(staging / BAD_ROWS, bad, allow_pickle=False)
        rows = np.arange(len(found.labels))
        _write_table(staging / TABLE, found, rows, ids, id_key)
        made = [LABELS, *([BAD_ROWS] if len(bad) else []), TABLE]
        made += _write_shards(staging, found, ids, id_key, shards)
        files = {name: file_hash(staging / name) for name in made}
        whole = {**record, "result": summarize(found.labels), "sha256": files}
        (staging / RECORD).write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
        # Remove the record of the older run first, so that a reader never sees a mixture of two runs.
        (folder / RECORD).unlink(missing_ok=True)
        (folder / BAD_ROWS).unlink(missing_ok=True)
        (folder / PEOPLE).unlink(missing_ok=True)
        shutil.rmtree(folder / SHARDS, ignore_errors=True)
        if shards:
            (folder / SHARDS).mkdir()
        for name in (*made, RECORD):
            sync(staging / name)
            (staging / name).replace(folder / name)
        sync(folder)
    remove_stages(folder / UNFINISHED)
    return whole


def remove_stages(folder: Path) -> None:
    """Remove a folder of intermediate results, if it is there and no other run works in it."""
    if kind_of(folder):
        # Another run with the same output may have started in the meantime.
        with suppress(InputError), locked(folder, "run"):
            clear(folder)
        with suppress(OSError):
            folder.rmdir()


def read_labels(path: PathLike) -> npt.NDArray[np.int64]:
    """Read labels from a folder written by `write_run`, or from a file of one label per face.

    Raises
    ------
    InputError
        If there is no such file, or the folder holds no complete run.
    """
    path = Path(path)
    if kind_of(path) != "folder":
        return read_identities(path)
    record = path / RECORD
    if not kind_of(record) == kind_of(path / LABELS) == "file":
        raise InputError(
            f"{path} holds no finished run ({LABELS} and {RECORD}): "
            f"give a folder written by nsrfc cluster, or a file of labels."
        )
    with reading(record):
        expected = json.loads(read_text(record, _MOST_RECORD_BYTES))["sha256"][LABELS]
    if file_hash(path / LABELS) != expected:
        raise InputError(
            f"{path / LABELS} was changed since {RECORD} was written: run nsrfc cluster again, "
            f"or give the file itself."
        )
    return read_identities(path / LABELS)


def read_run(folder: PathLike) -> dict[str, Any] | None:
    """Read the record of a run that `write_run` wrote.

    Returns
    -------
    dict or None
        Content of `run.json`; None if there is none, or a file was changed since it was written.

    Raises
    ------
    InputError
        If `run.json` is damaged.
    """
    folder = Path(folder)
    path = folder / RECORD
    if kind_of(path) != "file":
        return None
    with reading(path):
        record: dict[str, Any] = json.loads(read_text(path, _MOST_RECORD_BYTES))
        hashes = record["sha256"].items()
    files = [(folder / name, expected) for name, expected in hashes]
    whole = all(kind_of(file) == "file" and file_hash(file) == expected for file, expected in files)
    return record if whole else None


def holds(folder: PathLike, found: Clustering) -> dict[str, Any] | None:
    """Return the record of a run in a folder if its clusters are those found; else None."""
    record = read_run(folder)
    if record is None:
        return None
    labels = read_labels(folder)
    return record if np.array_equal(labels, found.labels) else None


def check_folder(
    folder: PathLike, names: Iterable[str] = (), inputs: Iterable[PathLike | None] = ()
) -> None:
    """Refuse, before any work, a folder for results that cannot be written.

    Parameters
    ----------
    folder : path-like
        Folder for the results; nothing is created.
    names : iterable of str
        Files that will be written there, such as `FILES`.
    inputs : iterable of path-like or None
        Files that are read and must not be among them.

    Raises
    ------
    InputError
        If ``folder`` or one of its parents is a file or not writable, or one of the files to be written
        is a folder or an input.
    """
    check_place(folder)
    check_outputs([Path(folder) / name for name in names], inputs)


def check_id_key(id_key: str | None) -> None:
    """Refuse, before any work, a name for the column of ids that the table has for another column.

    Raises
    ------
    InputError
    """
    if id_key in COLUMNS:
        raise InputError(
            f"--id: the output has a column {id_key!r} of its own: give the faces' names another name."
        )


def summarize(labels: npt.NDArray[np.int64]) -> dict[str, int]:
    """Count faces, clusters ("people"), singletons, faces in no cluster, and the largest cluster.

    These are unclustered faces (-1) and bad rows that were left out (-2).
    """
    sizes = np.bincount(labels[labels >= 0])
    return {
        "faces": len(labels),
        "people": int(np.count_nonzero(sizes)),
        "singletons": int(np.count_nonzero(sizes == 1)),
        "unclustered": int(np.count_nonzero(labels == UNCLUSTERED)),
        "bad_rows": int(np.count_nonzero(labels == BAD_ROW)),
        "largest": int(sizes.max(initial=0)),
    }


def versions(*, torch: bool = False) -> dict[str, str]:
    """Return the versions of the package, Python and the libraries that affect results.

    ``torch`` is included if networks run.
    """
    names = (*LIBRARIES, "torch") if torch else LIBRARIES
    found = {"nsrfc": __version__, "python": platform.python_version()}
    found |= {name: str(import_module(name).__version__) for name in names}
    # Asked without importing it, which takes half a second: a run does not need it.
    return found | {"sklearn": version("scikit-learn")}


def write_json(path: PathLike, record: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Yield an empty folder inside ``folder``, on its file system; new folders go if the block fails."""
    made = [place for place in (folder, *folder.parents) if kind_of(place) is None]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".nsrfc-", dir=folder))
    try:
        with writing(folder):
            yield staging
    finally:
        shutil.rmtree(staging)
        for place in made:
            if any(place.iterdir()):
                break
            place.rmdir()


def _write_shards(
    staging: Path,
    found: Clustering,
    ids: npt.NDArray[Any] | None,
    id_key: str,
    shards: Sequence[tuple[str, slice]],
) -> list[str]:
    """Write a table of the faces of each shard, and one of the clusters; return their names."""
    if not shards:
        return []
    (staging / SHARDS).mkdir()
    for name, rows in shards:
        part = Clustering(found.labels[rows], found.confidence[rows])
        own = None if ids is None else ids[rows]
        numbers = np.arange(rows.stop - rows.start)
        _write_table(staging / SHARDS / f"{name}.parquet", part, numbers, own, id_key)
    clustered = found.labels >= 0
    sizes = np.bincount(found.labels[clustered])
    sums = np.bincount(found.labels[clustered], found.confidence[clustered])
    columns: dict[str, npt.NDArray[Any]] = {
        "label": np.arange(len(sizes)),
        "faces": sizes,
        "confidence": (sums / sizes).astype(np.float32),
    }
    _write_columns(staging / PEOPLE, columns)
    return [PEOPLE, *(f"{SHARDS}/{name}.parquet" for name, _ in shards)]


def _write_table(
    path: Path,
    found: Clustering,
    rows: npt.NDArray[np.int64],
    ids: npt.NDArray[Any] | None,
    id_key: str,
) -> None:
    names = {"row": rows} if ids is None else {id_key: ids}
    values: list[npt.NDArray[Any]] = [found.labels, found.confidence]
    _write_columns(path, {**names, **dict(zip(COLUMNS, values, strict=True))})


def _write_columns(path: Path, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # pyarrow only takes UTF-8 paths, and its error for a full disk says less.
    with path.open("wb") as stream:
        pq.write_table(pa.table({name: _column(values) for name, values in columns.items()}), stream)


def _column(values: npt.NDArray[Any]) -> pa.Array:
    """Return numbers as a column, without a copy."""
    import pyarrow as pa

    if values.dtype.kind not in "iuf":
        return pa.array(values)
    # Given an ndarray, pa.array imports pandas, which takes a quarter of a second.
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
