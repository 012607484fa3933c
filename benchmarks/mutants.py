"""Readers, small valid files for them, and ways to damage a file."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nsrfc.errors import InputError
from nsrfc.model.settings import NETWORKS
from nsrfc.records import Clustering, NeighborGraph
from nsrfc.storage.artifacts import Artifacts, Pieces
from nsrfc.storage.embeddings import read_embeddings, write_embeddings
from nsrfc.storage.identities import read_identities, write_identities
from nsrfc.storage.neighbors import neighbors_shape, read_neighbors, write_neighbors
from nsrfc.storage.runs import read_labels, read_run, write_run

__all__ = ["READERS", "Reader", "mutated"]

N, D = 6, 4
FACES = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
PEOPLE = np.array([0, 0, 1, 1, 2, 7])
NAMES = np.array([f"face {number}.jpg" for number in range(N)])
KEY = "0" * 64


@dataclass(frozen=True)
class Reader:
    """How its files are made in a folder and read, and the names of those to damage."""

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    files: tuple[str, ...]


def _graph() -> NeighborGraph:
    ids = (np.arange(N)[:, None] + np.arange(3)) % N
    return NeighborGraph(ids.astype(np.int32), np.tile(np.array([1, 0.5, 0.25], np.float32), (N, 1)))


def _read_graph(path: Path) -> None:
    neighbors_shape(path)
    read_neighbors(path)


def _embeddings(suffix: str, *, named: bool = False) -> Reader:
    file = f"faces{suffix}"
    return Reader(
        lambda folder: write_embeddings(folder / file, FACES, ids=NAMES if named else None),
        lambda folder: read_embeddings(folder / file, dimension=D if suffix == ".bin" else None),
        (file,),
    )


def _vector_columns(*, text: bool) -> Reader:
    """Vectors as text of databases, the first of them missing, or a column per number."""
    file = "faces.parquet"
    several = [str(row) for row in FACES.tolist()]
    numbers = {f"e{column}": FACES[:, column] for column in range(D)}
    columns = {"id": NAMES, **({"embedding": [None, *several[1:]]} if text else numbers)}

    def make(folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), folder / file)

    return Reader(make, lambda folder: read_embeddings(folder / file, bad_rows=True), (file,))


def _table(suffix: str) -> Reader:
    """Vectors in a table of another kind than Parquet, the first of them missing."""
    file = f"faces{suffix}"

    def make(folder: Path) -> None:
        import pyarrow as pa

        rows = [None, *FACES[1:].tolist()]
        if suffix == ".csv":
            lines = (f'{name},"{row or ""}",0.5' for name, row in zip(NAMES, rows, strict=True))
            (folder / file).write_text("\n".join(["id,embedding,score", *lines]), encoding="utf-8")
        elif suffix == ".jsonl":
            faces = (
                {"id": name, "embedding": row} for name, row in zip(NAMES.tolist(), rows, strict=True)
            )
            (folder / file).write_text("\n".join(map(json.dumps, faces)), encoding="utf-8")
        else:
            table = pa.table({"id": NAMES, "embedding": pa.array(rows, pa.list_(pa.float32()))})
            kind = pa.ipc.new_file if suffix == ".feather" else pa.ipc.new_stream
            with pa.OSFile(str(folder / file), "wb") as stream, kind(stream, table.schema) as writer:
                writer.write_table(table, max_chunksize=4)

    return Reader(make, lambda folder: read_embeddings(folder / file, bad_rows=True), (file,))


def _make_numbers(folder: Path) -> None:
    names = ",".join(f"e{column}" for column in range(D))
    np.savetxt(folder / "faces.csv", FACES, delimiter=",", header=names, comments="")


def _make_tensors(folder: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"embedding": FACES, "id": PEOPLE}, folder / "faces.safetensors")


def _make_pt(folder: Path, *, old: bool) -> None:
    import torch

    held = {"embedding": torch.from_numpy(FACES), "id": NAMES.tolist()}
    torch.save(held, folder / "faces.pt", _use_new_zipfile_serialization=not old)


def _make_shards(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for number, rows in enumerate((slice(0, 4), slice(4, N))):
        np.save(folder / f"img_emb_{number}.npy", FACES[rows].view("V2")[:, 1::2])  # as bfloat16
        pq.write_table(pa.table({"path": NAMES[rows]}), folder / f"metadata_{number}.parquet")


def _identities(suffix: str, people: np.ndarray[Any, Any] = PEOPLE) -> Reader:
    file = f"people{suffix}"
    return Reader(
        lambda folder: write_identities(folder / file, people),
        lambda folder: read_identities(folder / file),
        (file,),
    )


def _make_part(folder: Path) -> None:
    from nsrfc.ms1m.files import DIMENSION, NEIGHBORS, Files

    files = Files.of(folder, "part1_test")
    write_identities(files.labels, PEOPLE)
    write_embeddings(files.features, np.tile(FACES, DIMENSION // D))
    k = min(N, NEIGHBORS)
    ids = ((np.arange(N)[:, None] + np.arange(k)) % N).astype(np.int32)
    graph = NeighborGraph(ids, np.tile(np.linspace(1, 0, k, dtype=np.float32), (N, 1)))
    write_neighbors(files.knn, graph, layout="reference")


def _read_part(folder: Path) -> None:
    from nsrfc.ms1m.files import read_part

    part = read_part(folder, "part1_test")
    part.read_neighbors()
    assert part.n_identities > 0


def _make_model(folder: Path) -> None:
    from nsrfc.model.bundle import NSRFC
    from nsrfc.model.settings import ModelSettings

    small = {"width": 4, "layers": 1, "heads": 2, "hidden": 4}
    settings: dict[str, Any] = {
        "family": "structure",
        "dimension": None,
        "k": 3,
        "networks": {"cgcn": {"hidden": 4}, "pairs": small, "pcenet": {**small, "reach": 3}},
        "used": {"refine": True, "pairs": True, "connect": True},
        "cluster_comparison": {},
        "precision": [[0.9, 0.5]],
    }
    NSRFC(ModelSettings(**settings), {"refine": 0.5}, {"faces": 3}).save_pretrained(folder)
    # Without checksums, as of an earlier version: with them no damaged setting would be read.
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["sha256"]
    path.write_text(json.dumps(config), encoding="utf-8")


def _read_model(folder: Path) -> None:
    from nsrfc.model.bundle import NSRFC

    model = NSRFC.from_pretrained(folder)
    model.fingerprints()
    model.generate_model_card()


def _make_settings(folder: Path) -> None:
    from importlib import resources

    text = (resources.files("nsrfc") / "presets" / "paper.yaml").read_text(encoding="utf-8")
    (folder / "settings.yaml").write_text(text, encoding="utf-8")


def _read_settings(folder: Path) -> None:
    from nsrfc.training.config import TrainingConfig
    from nsrfc.training.networks import outline

    config = TrainingConfig.load("paper", folder / "settings.yaml")
    for name in NETWORKS:
        outline(config, name, 64)


def _make_card(folder: Path) -> None:
    from nsrfc.embedders.card import EmbedderCard

    EmbedderCard.shipped("dlib").write(folder / "card.yaml")


def _read_card(folder: Path) -> None:
    from nsrfc.embedders.card import EmbedderCard

    assert EmbedderCard.read(folder / "card.yaml").prior.card


def _read_run(folder: Path) -> None:
    read_run(folder)
    read_labels(folder)


def _keep(folder: Path) -> None:
    Artifacts(folder).keep("neighbours", KEY, {"ids": np.arange(6), "similarities": FACES})


def _read_kept(folder: Path) -> None:
    found = Artifacts(folder).find("neighbours", KEY)
    if found is None:
        raise InputError("It is made anew.")
    assert found.keys() == {"ids", "similarities"}


def _fill(folder: Path) -> None:
    pieces = Pieces(folder / "pieces", KEY)
    array = pieces.array("rows", (N, D))
    for rows in pieces.remaining(N, N):
        array[rows] = FACES[rows]


def _read_pieces(folder: Path) -> None:
    pieces = Pieces(folder / "pieces", KEY)
    assert pieces.array("rows", (N, D)).shape == (N, D)
    if not pieces.done:
        raise InputError("They are made anew.")


READERS: dict[str, Reader] = {
    "npy": _embeddings(".npy"),
    "npz": _embeddings(".npz", named=True),
    "parquet": _embeddings(".parquet", named=True),
    "parquet-text": _vector_columns(text=True),
    "parquet-numbers": _vector_columns(text=False),
    "bin": _embeddings(".bin"),
    "arrow": _table(".arrow"),
    "feather": _table(".feather"),
    "csv-text": _table(".csv"),
    "csv-numbers": Reader(
        _make_numbers,
        lambda folder: read_embeddings(folder / "faces.csv", bad_rows=True),
        ("faces.csv",),
    ),
    "json-lines": _table(".jsonl"),
    "safetensors": Reader(
        _make_tensors,
        lambda folder: read_embeddings(folder / "faces.safetensors"),
        ("faces.safetensors",),
    ),
    "pt": Reader(
        lambda folder: _make_pt(folder, old=False),
        lambda folder: read_embeddings(folder / "faces.pt"),
        ("faces.pt",),
    ),
    "pt-old": Reader(
        lambda folder: _make_pt(folder, old=True),
        lambda folder: read_embeddings(folder / "faces.pt"),
        ("faces.pt",),
    ),
    "shards": Reader(
        _make_shards,
        lambda folder: read_embeddings(folder, id_key="path"),
        ("img_emb_0.npy", "img_emb_1.npy", "metadata_1.parquet"),
    ),
    "identities-npy": _identities(".npy", NAMES),
    "identities-npz": _identities(".npz", NAMES),
    "identities-parquet": _identities(".parquet", NAMES),
    "meta": _identities(".meta"),
    "graph": Reader(
        lambda folder: write_neighbors(folder / "graph.npz", _graph()),
        lambda folder: _read_graph(folder / "graph.npz"),
        ("graph.npz",),
    ),
    "graph-reference": Reader(
        lambda folder: write_neighbors(folder / "graph.npz", _graph(), layout="reference"),
        lambda folder: _read_graph(folder / "graph.npz"),
        ("graph.npz",),
    ),
    "ms1m": Reader(
        _make_part,
        _read_part,
        (
            "features/part1_test.bin",
            "labels/part1_test.meta",
            "knns/part1_test/faiss_k_80.npz",
        ),
    ),
    "model": Reader(_make_model, _read_model, ("config.json", "model.safetensors")),
    "settings": Reader(_make_settings, _read_settings, ("settings.yaml",)),
    "card": Reader(_make_card, _read_card, ("card.yaml",)),
    "run": Reader(
        lambda folder: write_run(folder, Clustering(PEOPLE, FACES[:, 0]), {}),
        _read_run,
        ("labels.npy", "run.json"),
    ),
    "kept": Reader(_keep, _read_kept, (f"neighbours-{KEY[:16]}.npz",)),
    "pieces": Reader(_fill, _read_pieces, ("pieces/rows.npy", "pieces/done.json")),
}

T = TypeVar("T")
Rng = np.random.Generator
Damage = Callable[[bytes, Sequence[bytes], Rng], bytes]

NUMBERS = (
    *("0", "1", "-1", "7", "255", "65537", "2147483647", "2147483648", "4294967295", "1000000000"),
    *("100000000000", "9223372036854775807", "18446744073709551616", "1" + "0" * 30, "1" + "0" * 400),
    *("0.5", "1e-320", "1e308", "1e999", "-3.5"),
)
WORDS = (
    *NUMBERS,
    *("true", "false", "null", "nan", "NaN", ".nan", ".inf", "-.inf", "Infinity", "-Infinity"),
    *(
        "[]",
        "{}",
        "[1, 2]",
        "{a: 1}",
        '""',
        '"\\u0007\\n"',
        "'x'",
        "[[[[1]]]]",
        "!!int ''",
        "*x",
        "&x 1",
    ),
    *("!!timestamp x", "!!binary x", "2001-13-41", "1:30", "x" * 500, "\u202e", "\ud7ff"),
)
BITS = (0, 1, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
TYPES = (
    *("<V2", "<f4", ">f4", "<f2", "<f8", "<f16", "<c8"),
    *("<i4", ">i8", "<u8", "|b1", "|u1", "<M8[ns]", "|O"),
    *("<U0", "<U1", "<U3", ">U8", "<U5000", "<U500000000", "|S0", "|S4", "|S2000000000", "|V0", "|V8"),
)


def _one_of(things: Sequence[T], rng: Rng) -> T:
    return things[int(rng.integers(len(things)))]


def _span(data: bytes, rng: Rng) -> tuple[int, int]:
    start, stop = np.sort(rng.integers(0, len(data) + 1, 2))
    return int(start), int(min(stop, start + 1 + rng.integers(64)))


def _flip(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _truncate(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _cut(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def _repeat(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    start, stop = _span(data, rng)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 5)) + data[stop:]


def _splice(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    other = _one_of(others, rng)
    start, stop = _span(other, rng)
    place = int(rng.integers(len(data) + 1))
    return data[:place] + other[start:stop] + data[place + (stop - start) * int(rng.integers(2)) :]


def _number(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Replace a number in digits."""
    found = list(re.finditer(rb"\d+", data))
    if not found:
        return _flip(data, others, rng)
    at, number = _one_of(found, rng), _one_of(NUMBERS, rng)
    return data[: at.start()] + number.encode() + data[at.end() :]


def _word(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Replace a value of a text of settings."""
    found = list(re.finditer(rb"(?<=[:\[,-] )[^,\]\}\n]+", data))
    if not found:
        return _number(data, others, rng)
    at, word = _one_of(found, rng), _one_of(WORDS, rng)
    return data[: at.start()] + word.encode() + data[at.end() :]


def _bits(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Overwrite a binary number, of 1 to 8 bytes."""
    size = 1 << int(rng.integers(4))
    place = int(rng.integers(max(1, len(data) - size)))
    value = _one_of(BITS, rng) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def _control(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    place = int(rng.integers(len(data) + 1))
    return (
        data[:place] + bytes(rng.choice([0, 7, 10, 13, 27, 155, 255], 2).astype(np.uint8)) + data[place:]
    )


def _header(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Put another header before the data of an array in ``.npy`` format."""
    shapes = [(N,), (N, D), (N, 2, 3), (0,), (10**9,), (10**9, 10**9), (N, 0), (-1, D), (2**63,), ()]
    kind, shape = _one_of(TYPES, rng), _one_of(shapes, rng)
    order = bool(rng.integers(2))
    text = f"{{'descr': {kind!r}, 'fortran_order': {order}, 'shape': {shape}, }}".ljust(117) + "\n"
    body = data[data.find(b"\n") + 1 :]
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + body


def _member(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Damage an array of an ``.npz`` file, or its name, and pack it anew with a valid checksum."""
    packed, way = io.BytesIO(), _one_of((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), rng)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            arrays = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged before
        arrays = {}
    if not arrays:
        return _flip(data, others, rng)
    name = _one_of(sorted(arrays), rng)
    if rng.random() < 0.15:
        renamed = _control(name.encode(), [], rng).decode("latin-1").replace("\0", "0")
        arrays[renamed] = arrays.pop(name)
    else:
        change = _one_of((_header, _header, _flip, _bits, _number, _truncate), rng)
        # Nothing may be left of it by an earlier damage.
        arrays[name] = arrays[name] and change(arrays[name], [arrays[name]], rng)
    with zipfile.ZipFile(packed, "w", way) as archive:
        for each, content in arrays.items():
            archive.writestr(each, content)
    return packed.getvalue()


def _columns(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Write a table of other columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [
        pa.array(FACES.tolist(), pa.list_(pa.float32())),
        pa.array(FACES.tolist(), pa.list_(pa.float64(), D)),
        pa.array([list(row) for row in FACES.astype(np.float16)], pa.large_list(pa.float16())),
        pa.array([None, [], [1.0], [2.0, None], [3.0], [4.0]], pa.list_(pa.float32())),
        pa.array([[]] * N, pa.list_(pa.float32(), 0)),
        pa.array(NAMES.tolist()),
        pa.array(["x" * 100_000] * N),
        pa.array([*NAMES.tolist()[:-1], None]).dictionary_encode(),
        pa.array([b"\xff"] * N),
        pa.array([2**63] * N, pa.uint64()),
        pa.array(PEOPLE).cast(pa.timestamp("s")),
        pa.array(PEOPLE.tolist(), pa.decimal128(9, 2)),
        pa.array([{"a": 1}] * N),
        pa.nulls(N),
        pa.array([True] * N),
    ]
    names = ["embedding", "id", "identity", "label", "x", "a.b", "\x1b[31m", "line\nbreak", ""]
    count = int(rng.integers(1, 4))
    chosen = [_one_of(columns, rng) for _ in range(count)]
    table = pa.table(dict(zip(rng.choice(names, count, replace=False).tolist(), chosen, strict=True)))
    written = io.BytesIO()
    pq.write_table(table, written, use_dictionary=bool(rng.integers(2)), row_group_size=4)
    return written.getvalue()


ANY: tuple[Damage, ...] = (_flip, _truncate, _cut, _repeat, _splice, _number, _bits, _control)


def mutated(data: bytes, others: Sequence[bytes], rng: Rng) -> bytes:
    """Damage a file.

    Parameters
    ----------
    data : bytes
        A valid file: ``.npy``, ``.npz``, Parquet, safetensors, text or plain numbers.
    others : sequence of bytes
        Files from which parts are taken.
    rng : Generator

    Returns
    -------
    bytes
    """
    ways: tuple[Damage, ...] = ANY
    if data.startswith(b"PK"):
        ways = (*ANY, *(_member,) * 12)
    elif data.startswith(b"\x93NUMPY"):
        ways = (*ANY, *(_header,) * 4)
    elif data.startswith(b"PAR1"):
        ways = (*ANY, *(_columns,) * 3)
    elif data.isascii() or b": " in data:
        ways = (*ANY, *(_word,) * 12)
    for _ in range(int(rng.integers(1, 4))):
        if data:
            data = _one_of(ways, rng)(data, others, rng)
    return data
