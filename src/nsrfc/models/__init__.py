"""The four networks of the method and the loss of the first: torch modules, and nothing else.

    CGCN           embeddings -> refined embeddings, from the neighbour graph
    PairNetwork    a face's list -> logit that each neighbour is the same person
    LCENet         a face's list -> the same, from the structure inside the list
    PCENet         the lists of two faces -> whether an edge joins one person

No network reads a file or searches a neighbour; `bundle` keeps them in files.
"""

from nsrfc.models.adjacency import Adjacency, DenseAdjacency, SparseAdjacency
from nsrfc.models.cgcn import CGCN
from nsrfc.models.lcenet import LCENet
from nsrfc.models.pairnet import PairNetwork
from nsrfc.models.pcenet import PCENet

__all__ = [
    "CGCN",
    "Adjacency",
    "DenseAdjacency",
    "LCENet",
    "PCENet",
    "PairNetwork",
    "SparseAdjacency",
]
