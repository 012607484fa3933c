"""A folder of shards: files whose rows follow each other, as ``img_emb_0.npy``, ``img_emb_1.npy``, ...

Shards are in the order of the numbers in their names, 10 after 9. ``.npy`` files are taken first: tables
beside them, such as ``metadata_0.parquet``, describe their rows. Files whose names begin with ``.`` or
``_`` are left alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nsrfc.errors import InputError, enumerate_names, shortened
from nsrfc.storage import tables
from nsrfc.storage.files import kind_of, reading

__all__ = ["described_by", "shards_in"]

# Records of libraries that lie beside shards, such as state.json of Hugging Face, are no shards.
_TABLES = tuple(suffix for suffix in tables.SUFFIXES if suffix != ".json")
_ARRAYS = (".npz", ".pt", ".pth", ".safetensors")


def shards_in(folder: Path, key: str | None = None) -> list[Path]:
    """Return the shards in a folder in the order of their rows.

    Parameters
    ----------
    folder : Path
    key : str, optional
        What the names of ``.npy`` files start with, if there are several series of them.

    Raises
    ------
    InputError
        If there are none, there are several kinds or series, or one of a series is missing.
    """
    found = _files(folder)
    arrays = [path for path in found if path.suffix.lower() == ".npy"]
    if arrays:
        return _whole(folder, _one_series(folder, arrays, key))
    by_suffix = defaultdict(list)
    for path in found:
        if path.suffix.lower() in (*_TABLES, *_ARRAYS):
            by_suffix[path.suffix.lower()].append(path)
    if not by_suffix:
        raise InputError(
            f"{folder} is a folder without shards such as img_emb_0.npy or part-0.parquet: "
            f"give a file, or the folder that has them."
        )
    if len(by_suffix) > 1:
        raise InputError(
            f"{folder} holds files of several kinds ({', '.join(sorted(by_suffix))}): "
            f"leave one kind in it, or give a file."
        )
    return _whole(folder, *by_suffix.values())


def described_by(shards: Sequence[Path]) -> list[Path]:
    """Return the tables that describe the rows of ``.npy`` shards, one each; of others, the shards.

    They have the same numbers, in the same folder or in ``metadata`` beside it, as clip-retrieval writes
    them.

    Raises
    ------
    InputError
        If a shard has no table, or more than one.
    """
    if shards[0].suffix.lower() != ".npy":
        return list(shards)
    folder = shards[0].parent
    place = next((place for place in (folder, folder.parent / "metadata") if _tables(place)), folder)
    by_number = defaultdict(list)
    for path in _tables(place):
        by_number[_last_number(path)].append(path)
    for shard in shards:
        count = len(by_number[_last_number(shard)])
        if count != 1:
            raise InputError(
                f"{shard} is described by {count or 'no'} tables in {place}, where the ids are looked "
                f"for: keep one table of its number there, such as metadata_0.parquet for img_emb_0.npy."
            )
    return [by_number[_last_number(shard)][0] for shard in shards]


def _files(folder: Path) -> list[Path]:
    with reading(folder):
        paths = [path for path in folder.iterdir() if path.name[0] not in "._"]
    return sorted((path for path in paths if kind_of(path) == "file"), key=_order)


def _tables(folder: Path) -> list[Path]:
    if kind_of(folder) != "folder":
        return []
    return [path for path in _files(folder) if path.suffix.lower() in _TABLES]


def _order(path: Path) -> tuple[list[str], list[int], str]:
    """Order names by their words, then by their numbers."""
    return re.split(r"\d+", path.stem), _numbers(path), path.name


def _numbers(path: Path) -> list[int]:
    # Longer runs of digits are no counts, and those of thousands of digits no numbers for Python.
    return [int(digits) for digits in re.findall(r"\d{1,18}", path.stem)]


def _last_number(path: Path) -> int | None:
    return next(reversed(_numbers(path)), None)


def _one_series(folder: Path, arrays: list[Path], key: str | None) -> list[Path]:
    """Return the arrays whose names differ in numbers only."""
    series = defaultdict(list)
    for path in arrays:
        series["#".join(_order(path)[0])].append(path)
    chosen = [name for name in series if key is None or name.startswith(key)]
    if len(chosen) != 1:
        names = [files[0].name for files in series.values()]
        which = "none" if not chosen else "more than one"
        raise InputError(
            f"{folder} holds the .npy files {enumerate_names(names)} and those numbered like them, and "
            f"{which} of these series is meant"
            f"{'' if key is None else f' by the key {shortened(key)}'}: name it by what its names start "
            f"with, such as --key img_emb."
        )
    return series[chosen[0]]


def _whole(folder: Path, shards: list[Path]) -> list[Path]:
    """Refuse a series of which a shard is missing, as far as the names tell."""
    numbers = [_numbers(path) for path in shards]
    total = re.search(r"-of-(\d{1,9})$", shards[0].stem)
    if total:
        missing = set(range(int(total[1]))) - {each[-2] for each in numbers if len(each) > 1}
    elif shards[0].suffix.lower() == ".npy" and len(shards) > 1 and all(map(len, numbers)):
        last = [each[-1] for each in numbers]
        missing = set(range(last[0], last[-1])) - set(last)
    else:
        missing = set()
    if missing:
        raise InputError(
            f"{folder} lacks the shard of number {min(missing)} between {shards[0].name} and "
            f"{shards[-1].name}: copy it, or number the others without a gap."
        )
    return shards
