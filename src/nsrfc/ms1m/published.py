"""Published scores on the clustering benchmark of MS-Celeb-1M, with their sources.

All are F_P/F_B (pairwise and BCubed F) in percent, on the test parts of `nsrfc.ms1m.files`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nsrfc.ms1m.files import TESTS

__all__ = ["ROWS", "PublishedRow"]

NSRFC = "table of NSR-FC: github.com/jiacut/NSR-FC, assets/result.png"
B_ATTENTION = "table 3 of B-Attention (NeurIPS 2022), whose row here is that with Infomap"
FACEMAP = "table 2 of FaceMap, arXiv 2203.10090"
FC_ESER = (
    "FC-ESER, arXiv 2408.13431: 5.21M from the README of github.com/jumptoliujj/FC-ESER, the others as "
    "listed by wizwand.com"
)


@dataclass(frozen=True)
class PublishedRow:
    """Published scores of a method.

    Attributes
    ----------
    method, source : str
    scores : mapping of str to (float or None, float or None)
        F_P and F_B in percent by part; None if not published.
    """

    method: str
    source: str
    scores: Mapping[str, tuple[float | None, float | None]]


def _row(source: str, method: str, *cells: str) -> PublishedRow:
    """Parse cells as printed: ``95.06/93.71``, ``95.28`` without F_B, ``-`` without either."""
    scores = {}
    for part, cell in zip(TESTS, cells, strict=True):
        pairwise, _, bcubed = cell.strip("-").partition("/")
        scores[part] = float(pairwise) if pairwise else None, float(bcubed) if bcubed else None
    return PublishedRow(method, source, scores)


# NSR-FC at 1.74M is an outlier: from 584K on it loses 1.3 points of F_P, all other methods 2.3 or more.
ROWS = (
    _row(NSRFC, "K-Means", "79.21/81.23", "73.04/75.20", "69.83/72.34", "67.90/70.57", "66.47/69.42"),
    _row(NSRFC, "HAC", "70.63/70.46", "54.40/69.53", "11.08/68.62", "1.40/67.69", "0.37/66.96"),
    _row(NSRFC, "DBSCAN", "67.93/67.17", "63.41/66.53", "52.50/66.26", "45.24/44.87", "44.94/44.74"),
    _row(NSRFC, "ARO", "13.60/17.00", "8.78/12.42", "7.30/10.96", "6.86/10.50", "6.35/10.01"),
    _row(NSRFC, "CDP", "75.02/78.70", "70.75/75.82", "69.51/74.58", "68.62/73.62", "68.06/72.92"),
    _row(NSRFC, "L-GCN", "78.68/84.37", "75.83/81.61", "74.29/80.11", "73.70/79.33", "72.99/78.60"),
    _row(NSRFC, "NNAC", "81.23/85.61", "78.88/82.52", "77.86/80.99", "76.75/80.13", "75.81/79.16"),
    _row(NSRFC, "LTC", "85.66/85.52", "82.41/83.01", "80.32/81.10", "78.98/79.84", "77.87/78.86"),
    _row(NSRFC, "GCN(V+E)", "87.93/86.09", "84.04/82.84", "82.10/81.24", "80.45/80.09", "79.30/79.25"),
    _row(NSRFC, "Clusformer", "88.20/87.17", "84.60/84.05", "82.79/82.30", "81.03/80.51", "79.91/79.95"),
    _row(NSRFC, "CAGCN", "88.94/90.43", "85.91/87.49", "84.19/85.77", "83.31/84.71", "82.57/83.72"),
    _row(NSRFC, "Pair-Cls", "90.67/89.54", "86.91/86.25", "85.06/84.55", "83.51/83.49", "82.41/82.40"),
    _row(NSRFC, "CA-CGL", "91.91/90.69", "88.32/86.76", "86.35/84.84", "85.11/83.53", "84.17/82.62"),
    _row(NSRFC, "STAR-FC", "91.97/90.21", "88.28/86.26", "86.17/84.13", "84.70/82.63", "83.46/81.47"),
    _row(NSRFC, "Ada-NETS", "92.79/91.40", "89.33/87.98", "87.50/86.03", "85.40/84.48", "83.99/83.28"),
    _row(NSRFC, "OMHC", "93.22/92.18", "90.51/89.43", "89.09/88.00", "87.93/86.92", "86.94/86.06"),
    _row(NSRFC, "SEPFL", "93.34/91.69", "90.20/88.63", "88.63/87.09", "87.35/85.92", "86.27/85.05"),
    _row(NSRFC, "PSE-GCN", "93.50/92.64", "90.57/89.84", "89.36/88.49", "88.50/87.49", "87.69/86.70"),
    _row(NSRFC, "LCE-PCENet", "94.64/93.36", "91.90/90.78", "90.27/89.28", "88.69/88.15", "87.35/87.28"),
    _row(NSRFC, "NSR-FC", "95.06/93.71", "93.78/92.27", "90.52/89.81", "89.43/88.86", "88.15/88.06"),
    _row(
        B_ATTENTION, "Infomap", "93.91/92.42", "90.10/89.08", "88.49/87.30", "85.31/86.01", "83.08/85.01"
    ),
    _row(FACEMAP, "FaceMap", "94.24/92.55", "91.31/89.67", "89.32/88.20", "87.74/87.11", "86.37/86.29"),
    _row(
        B_ATTENTION,
        "B-Attention",
        "94.94/93.67",
        "91.74/90.81",
        "89.50/89.15",
        "87.04/87.81",
        "85.40/86.76",
    ),
    _row(FC_ESER, "FC-ES", "-", "-", "-", "-", "88.75/87.23"),
    _row(FC_ESER, "FC-ESER", "95.28", "92.94", "91.61", "90.44", "89.40/88.80"),
)
"""The rows of the paper's table in its order, NSR-FC last, then the best methods that it does not
list."""
