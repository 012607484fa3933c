"""The four networks of the method, and the models that they make.

    CGCN           embeddings -> refined embeddings, from the neighbour graph
    PairNetwork    a face's list -> logit that each neighbour is the same person
    LCENet         a face's list -> the same, from the structure inside the list
    PCENet         the lists of two faces -> whether an edge joins one person

These are the published ones; :mod:`~nsrfc.models.structure` has the four that read neighbour structure
alone, of which the universal model is made. No network reads a file or searches a neighbour:
:mod:`~nsrfc.models.bundle` keeps models in folders, :mod:`~nsrfc.models.settings` says what one is made
of, and :mod:`~nsrfc.models.convert` takes weights of the published code.
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
