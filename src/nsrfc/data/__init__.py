"""Embeddings, identities and neighbour graphs: files and generated faces."""

from nsrfc.data.embeddings import (
    Embeddings,
    check_vectors,
    normalize,
    read_embeddings,
    write_embeddings,
)
from nsrfc.data.files import atomic_path
from nsrfc.data.identities import read_identities, write_identities
from nsrfc.data.neighbors import read_neighbors, write_neighbors

__all__ = [
    "Embeddings",
    "atomic_path",
    "check_vectors",
    "normalize",
    "read_embeddings",
    "read_identities",
    "read_neighbors",
    "write_embeddings",
    "write_identities",
    "write_neighbors",
]
