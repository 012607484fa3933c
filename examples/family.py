"""From embeddings to named people: a library that is clustered, named, added to and clustered again.

Run it with ``python examples/family.py``. Generated faces stand in for those of an embedder. A person at
the screen would answer in ``nsrfc review``; here, identities that are known answer in their place.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import nsrfc
from nsrfc.synthetic import generate


def main() -> None:
    """Name people, let more photos come, and see that names stay."""
    faces = generate(3000, "wild", seed=1)
    X, identities = faces.embeddings, faces.identities
    keys = [f"2024/IMG_{number:04d}.jpg" for number in range(len(X))]
    with tempfile.TemporaryDirectory() as folder:
        library = nsrfc.Library.create(Path(folder) / "family", embedder="generated")
        library.add(X[:2500], keys=keys[:2500])
        library.cluster()
        largest = library.groups()[:5]
        for number, group in enumerate(largest):
            library.name(group.id, f"Person {number + 1}")

        # More photos: names and ids stay, and new faces join the people that they show.
        library.add(X[2500:], keys=keys[2500:])
        for person in library.people():
            new = np.count_nonzero(person.faces >= 2500)
            print(f"{person.name}: {len(person.faces)} faces, {new} of them new")

        # What the machine is least sure of, asked in the order in which answers help most.
        before = nsrfc.evaluate(identities, library.clusters).pairwise.f
        for question in library.questions(20):
            same = identities[question.a] == identities[question.b]
            library.answer(question.a, question.b, "yes" if same else "no")
        after = nsrfc.evaluate(identities, library.clusters).pairwise.f
        print(f"20 answers: pairwise F {before:.4f} before, {after:.4f} after")

        # Another method finds other clusters; the people stay who they are.
        confirmed = {person.id: person.confirmed for person in library.people()}
        library.cluster(model=None)
        kept = [np.isin(confirmed[person.id], person.faces).all() for person in library.people()]
        print(f"clustered by rules: {sum(kept)} of {len(kept)} people kept all their faces")


if __name__ == "__main__":
    main()
