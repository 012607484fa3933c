"""The clustering benchmark of MS-Celeb-1M: its files, their published checksums, generated parts.

The layout is that of learn-to-cluster (Yang et al., CVPR 2019), which NSR-FC and other methods use::

    features/part0_train.bin             float32 (n, 256), row by row
    labels/part0_train.meta              one integer per line
    knns/part0_train/faiss_k_80.npz      `data` (n, 2, 80): row numbers, 1 - cosine; optional

and the same for part1_test, part3_test, part5_test, part7_test and part9_test. The data are split into
ten tenths of disjoint identities: part0_train is one of them, and the number of a test part says how
many of the other nine it contains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nsrfc.chunks import chunks
from nsrfc.errors import InputError, shown
from nsrfc.progress import Progress
from nsrfc.records import NeighborGraph
from nsrfc.rowstore import COLUMNS
from nsrfc.storage.arrays import npz_headers
from nsrfc.storage.embeddings import read_embeddings, write_embeddings
from nsrfc.storage.files import PathLike, reading
from nsrfc.storage.identities import read_identities, write_identities
from nsrfc.storage.neighbors import read_neighbors
from nsrfc.synthetic import GeneratedFaces, generate

__all__ = [
    "DIMENSION",
    "NEIGHBORS",
    "PUBLISHED",
    "TESTS",
    "TRAIN",
    "Files",
    "Part",
    "PublishedPart",
    "generate_parts",
    "parts_in",
    "read_part",
    "write_part",
]

DIMENSION = 256
"""Embedding dimension."""

NEIGHBORS = 80
"""Neighbours per face in the files of ``knns``, the face itself included."""

BLOCK_BYTES = 1 << 22


@dataclass(frozen=True)
class PublishedPart:
    """Published size and checksums of a part.

    Attributes
    ----------
    faces, n_identities : int
    features_md5, knn_md5 : str or None
        Checksums of two of its files, if published.
    """

    faces: int
    n_identities: int
    features_md5: str | None = None
    knn_md5: str | None = None


TRAIN = "part0_train"

PUBLISHED: Mapping[str, PublishedPart] = {
    TRAIN: PublishedPart(
        576_494, 8_573, "acbbc780948e7bfaaee093ef9fce2ccb", "5e4f6c06daf8d29c9b940a851f28a925"
    ),
    "part1_test": PublishedPart(
        584_013, 8_573, "ced42d80046d75ead82ae5c2cdfba621", "d4a7f95b09f80b0167d893f2ca0f5be5"
    ),
    "part3_test": PublishedPart(1_740_301, 25_719),
    "part5_test": PublishedPart(2_890_517, 42_865),
    "part7_test": PublishedPart(4_046_365, 60_011),
    "part9_test": PublishedPart(5_206_761, 77_157),
}
"""Sizes and checksums of the parts, from DATASET.md and the wiki of yl-1993/learn-to-cluster."""

TESTS = tuple(name for name in PUBLISHED if name != TRAIN)


@dataclass(frozen=True)
class Files:
    """Paths of the files of a part.

    Attributes
    ----------
    features, labels, knn : Path
    """

    features: Path
    labels: Path
    knn: Path

    @classmethod
    def of(cls, folder: PathLike, name: str) -> Files:
        """Return the paths of a part in a folder that holds ``features``, ``labels`` and ``knns``."""
        folder = Path(folder)
        return cls(
            folder / "features" / f"{name}.bin",
            folder / "labels" / f"{name}.meta",
            folder / "knns" / name / f"faiss_k_{NEIGHBORS}.npz",
        )


@dataclass(frozen=True)
class Part:
    """A part, read and checked.

    Attributes
    ----------
    name : str
    files : Files
    vectors : ndarray of float32, shape (n, 256)
        A read-only memory map.
    identities : ndarray of int64, shape (n,)
    features_md5, labels_md5 : str
    knn_md5 : str or None
        None without neighbours.
    """

    name: str
    files: Files
    vectors: npt.NDArray[np.float32]
    identities: npt.NDArray[np.int64]
    features_md5: str
    labels_md5: str
    knn_md5: str | None

    @cached_property
    def n_identities(self) -> int:
        """Number of identities."""
        return len(np.unique(self.identities))

    def read_neighbors(self) -> NeighborGraph | None:
        """Read the neighbours, if there are any."""
        return None if self.knn_md5 is None else read_neighbors(self.files.knn)

    def difference(self, published: PublishedPart) -> str | None:
        """Describe in one sentence how the part differs from the published one; None if it does not.

        Without a published checksum only sizes are compared.
        """
        for path, found, expected, what in (
            (self.files.features, len(self.vectors), published.faces, "faces"),
            (self.files.labels, self.n_identities, published.n_identities, "identities"),
        ):
            if found != expected:
                return (
                    f"{path} is not the published file: it has {found:,} {what} instead of {expected:,}."
                )
        for path, md5, known in (
            (self.files.features, self.features_md5, published.features_md5),
            (self.files.knn, self.knn_md5, published.knn_md5),
        ):
            if None not in (md5, known) and md5 != known:
                return (
                    f"{path} is not the published file: its md5 sum is {md5} instead of {known}, "
                    f"so it is damaged or another version."
                )
        return None


def parts_in(folder: PathLike) -> list[str]:
    """List the parts for which a folder has features or labels, in the order of `PUBLISHED`.

    Raises
    ------
    InputError
        If there are none.
    """
    files = {name: Files.of(folder, name) for name in PUBLISHED}
    found = [name for name, of in files.items() if of.features.exists() or of.labels.exists()]
    if not found:
        raise InputError(
            f"{folder} holds no part of the benchmark, such as {files[TESTS[0]].features}: "
            f"give the folder that holds features, labels and knns."
        )
    return found


def read_part(folder: PathLike, name: str, progress: Progress | None = None) -> Part:
    """Read and check the files of a part.

    Parameters
    ----------
    folder : path-like
        Holds ``features``, ``labels`` and optionally ``knns``.
    name : str
        One of `PUBLISHED`; the numbers of faces and identities may differ from the published ones.
    progress : Progress, optional
        Reports the bytes read.

    Returns
    -------
    Part

    Raises
    ------
    InputError
        If features or labels are missing, a file is damaged or cut short, their lengths differ, or rows
        of features are zero or not finite.
    """
    files = Files.of(folder, name)
    vectors = read_embeddings(files.features, dimension=DIMENSION).vectors
    assert isinstance(vectors, np.ndarray)  # of .bin
    identities = read_identities(files.labels)
    n = len(vectors)
    if len(identities) != n:
        raise InputError(
            f"{files.features} has {n} faces, but {files.labels} has {len(identities)} lines: "
            f"one of them is cut short or belongs to another part, so copy both anew."
        )
    known = files.knn.exists()
    if known:
        _check_neighbors(files.knn, n)
    paths = [files.features, files.labels, *([files.knn] if known else [])]
    size = sum(path.stat().st_size for path in paths)
    with (progress or Progress()).stage(f"checksums {name}", size) as advance:
        sums = [_md5(path, advance) for path in paths]
    return Part(name, files, vectors, identities, sums[0], sums[1], sums[2] if known else None)


def write_part(folder: PathLike, name: str, faces: GeneratedFaces) -> None:
    """Write features and labels of a part for `read_part`, each whole or not at all.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    files = Files.of(folder, name)
    write_identities(files.labels, faces.identities)
    write_embeddings(files.features, faces.embeddings)


def generate_parts(
    n: int, preset: str = "ms1m", *, seed: int = 0
) -> Iterator[tuple[str, GeneratedFaces]]:
    """Generate faces and split them as in the benchmark: ten tenths of disjoint identities.

    Parameters
    ----------
    n : int
        Number of faces in all tenths together.
    preset : str
        As in :func:`nsrfc.synthetic.generate`.
    seed : int

    Yields
    ------
    name : str
        In the order of `PUBLISHED`.
    faces : GeneratedFaces
        In the order of their identities, which count from 0 in each part.

    Raises
    ------
    InputError
        If there are too few identities for ten tenths, or an argument is out of range.
    """
    faces = generate(n, preset, dimension=DIMENSION, seed=seed)
    order = np.argsort(faces.identities, kind="stable")
    vectors, identities = faces.embeddings, faces.identities[order]
    for columns in chunks(DIMENSION, COLUMNS):
        vectors[:, columns] = vectors[order, columns]
    starts = np.searchsorted(identities, np.arange(identities[-1] + 2))
    bounds = starts[np.searchsorted(starts, np.arange(11) * n / 10)]
    if (np.diff(bounds) == 0).any():
        raise InputError(f"{n} faces have too few identities for ten parts: ask for more faces.")
    for name in PUBLISHED:
        tenths = int(name[len("part")])
        first, last = (bounds[1], bounds[tenths + 1]) if tenths else bounds[:2]
        yield name, GeneratedFaces(vectors[first:last], identities[first:last] - identities[first])


def _check_neighbors(path: Path, n: int) -> None:
    header = npz_headers(path).get("data")
    wanted = (n, 2, min(NEIGHBORS, n))
    if header is None or header.shape != wanted:
        found = "no array 'data'" if header is None else f"'data' of shape {shown(header.shape)}"
        raise InputError(
            f"{path} holds {found}, but neighbours of these features have the shape {wanted}: copy it "
            f"anew, or remove it to have the neighbours searched."
        )


def _md5(path: Path, advance: Callable[[int], None]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with reading(path), path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
            advance(len(block))
    return digest.hexdigest()
