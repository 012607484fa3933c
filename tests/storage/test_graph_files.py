"""Files of graphs: what their headers show is told before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nsrfc.errors import InputError
from nsrfc.knn.build import build_neighbor_graph
from nsrfc.records import NeighborGraph
from nsrfc.storage.neighbors import neighbors_shape, read_neighbors, write_neighbors
from nsrfc.synthetic import generate
from nsrfc.vectors import normalize

LAYOUTS = ("nsrfc", "reference")


@pytest.fixture(scope="module")
def graph() -> NeighborGraph:
    return build_neighbor_graph(normalize(generate(40, "wild", dimension=8, seed=0).embeddings), 7)


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut in its middle": cut(0.5),
    "cut at its end": lambda content: content[:-7],
    "its first bytes": cut(0.02),
    "nothing": lambda content: b"",
    "text": lambda content: b"0 1 2\n1 0 2\n",
    "a directory of other bytes": lambda content: content[:-60] + bytes(60),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("read", [neighbors_shape, read_neighbors])
def test_a_damaged_file_is_refused_in_a_sentence(
    tmp_path: Path,
    graph: NeighborGraph,
    layout: str,
    damage: str,
    read: Callable[[Path], object],
) -> None:
    path = tmp_path / "graph.npz"
    write_neighbors(path, graph, layout=layout)  # type: ignore[arg-type]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(InputError, match="damaged or another kind of file") as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_flipped_bit_of_the_content_is_noticed_when_it_is_read(
    tmp_path: Path, graph: NeighborGraph, layout: str
) -> None:
    path = tmp_path / "graph.npz"
    write_neighbors(path, graph, layout=layout)  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_neighbors(path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"ids": np.zeros((5, 3), np.int32)},
        {"ids": np.zeros((5, 3), np.int32), "similarities": np.zeros((5, 2), np.float32)},
        {"data": np.zeros((5, 3, 4), np.float32)},
    ],
    ids=["no similarities", "two shapes", "three planes"],
)
def test_headers_that_show_no_graph_are_refused_as_the_reader_refuses_them(
    tmp_path: Path, arrays: dict[str, np.ndarray]
) -> None:
    path = tmp_path / "graph.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        read_neighbors(path)
    with pytest.raises(InputError):
        neighbors_shape(path)
