"""People in a photo library: group the faces, list who is most often there, place new photos.

Run it with ``python examples/photo_library.py``. Generated faces stand in for those of an embedder;
with your own, replace `load_faces` by `nsrfc.storage.embeddings.read_embeddings("faces.npz")`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nsrfc import FaceClusterer
from nsrfc.synthetic import generate


def load_faces() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.str_]]:
    """Embeddings (n, 256) and the photo that each face was cut from (n,)."""
    embeddings = generate(3000, "lfw", seed=1).embeddings
    photos = np.array([f"2024/IMG_{number:04d}.jpg" for number in range(len(embeddings))])
    return embeddings, photos


def main() -> None:
    """Show the people with most photos, and where new photos belong."""
    embeddings, photos = load_faces()
    known, new = slice(0, 2900), slice(2900, None)

    # Groups of one or two faces are mostly passers-by: they get the label -1.
    clusterer = FaceClusterer(min_cluster_size=3)
    labels = clusterer.fit_predict(embeddings[known])
    sizes = np.bincount(labels[labels >= 0])
    print(f"{len(labels)} faces, {len(sizes)} people, {np.mean(labels < 0):.0%} passers-by")

    for person in np.argsort(-sizes, kind="stable")[:5]:
        faces = np.flatnonzero(labels == person)
        # The least certain faces first: these are the ones worth a look.
        doubtful = faces[np.argsort(clusterer.confidence_[faces], kind="stable")]
        print(f"person {person}: {len(faces)} faces, least certain {', '.join(photos[doubtful[:2]])}")

    # New photos are placed without grouping anything anew; -1 is nobody known.
    placed = clusterer.predict(embeddings[new])
    print(f"{len(placed)} new faces, {np.count_nonzero(placed >= 0)} of them of people known before")


if __name__ == "__main__":
    main()
