"""Tables of a library for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nsrfc.storage.files import PathLike, known_suffix
from nsrfc.storage.outputs import atomic_path

if TYPE_CHECKING:
    from nsrfc.library.library import Group, Library

__all__ = ["export"]

SUFFIXES = (".csv", ".json", ".parquet")


def export(library: Library, path: PathLike, *, confirmed: bool = False) -> int:
    """Write who is on which face.

    | suffix     | content                                                            |
    |------------|--------------------------------------------------------------------|
    | `.csv`     | one row per face: face, key, photo, cluster, person, name, confirmed |
    | `.parquet` | the same                                                           |
    | `.json`    | persons, each with id, name and its faces                          |

    Parameters
    ----------
    library : Library
    path : path-like
    confirmed : bool
        Whether only faces are written that a human confirmed.

    Returns
    -------
    int
        Number of faces.

    Raises
    ------
    InputError
        If the file has another suffix, or cannot be written.
    """
    path = Path(path)
    suffix = known_suffix(path, SUFFIXES, "a table of people")
    rows = _rows(library, confirmed=confirmed)
    with atomic_path(path) as temporary:
        if suffix == ".json":
            temporary.write_text(_as_json(library.people(), rows), encoding="utf-8")
        else:
            _write_table(temporary, suffix, rows)
    return len(rows)


def _rows(library: Library, *, confirmed: bool) -> list[dict[str, Any]]:
    """Describe each face, ascending."""
    described = {row["id"]: row for row in library.store.described(library.faces.tolist())}
    found = {}
    for group in library.groups():
        sure = set(group.confirmed.tolist())
        person = group.id if group.id.startswith("p") else None
        for face in sorted(sure) if confirmed else group.faces.tolist():
            found[face] = {
                "face": face,
                "key": described[face]["key"],
                "photo": described[face]["photo"],
                "cluster": group.cluster,
                "person": person,
                "name": group.name,
                "confirmed": face in sure,
            }
    return [found[face] for face in sorted(found)]


def _as_json(people: list[Group], rows: list[dict[str, Any]]) -> str:
    faces: dict[str, list[dict[str, Any]]] = {group.id: [] for group in people}
    for row in rows:
        if row["person"] is not None:
            kept = {name: row[name] for name in ("face", "key", "photo", "confirmed")}
            faces[row["person"]].append(kept)
    persons = [
        {"id": group.id, "name": group.name, "birth": group.birth, "faces": faces[group.id]}
        for group in people
    ]
    return json.dumps({"persons": persons}, ensure_ascii=False, indent=2) + "\n"


def _write_table(path: Path, suffix: str, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    kinds = {"face": pa.int64(), "cluster": pa.int64(), "confirmed": pa.bool_()}
    names = ("face", "key", "photo", "cluster", "person", "name", "confirmed")
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    table = pa.Table.from_pylist(rows, schema)
    if suffix == ".csv":
        from pyarrow.csv import write_csv

        write_csv(table, path)
    else:
        from pyarrow.parquet import write_table

        write_table(table, path)
