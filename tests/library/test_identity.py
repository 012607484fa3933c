"""Ids that stay: persons keep their faces, clusters live on, whatever is clustered again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nsrfc import ClusterConfig, cluster
from nsrfc.library import clusters as clusters_module
from nsrfc.library.identity import lineage, living_ids
from nsrfc.library.library import Library
from nsrfc.synthetic import FaceDistribution, generate

from .faces import D, clustered, faces, same_partition


def test_clusters_are_those_of_the_package(tmp_path: Path) -> None:
    X = faces(400)[0]
    library = clustered(tmp_path / "family")
    assert same_partition(library.clusters, cluster(X, None).labels)


def test_running_again_changes_nothing(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    library.name(library.groups()[0].id, "Anna")
    before = library.fingerprint()
    library.cluster(None)
    assert library.fingerprint() == before
    assert Library.open(tmp_path / "family").fingerprint() == before


def test_a_person_in_three_modes_keeps_all_confirmed_faces(tmp_path: Path) -> None:
    """Three clusters that no edge joins are one person, by a human's word, in every later run."""
    library = clustered(tmp_path / "family", 600)
    one, other, third = (group.id for group in library.groups()[:3])
    person = library.name(one, "Anna")
    library.merge("Anna", other)
    library.merge("Anna", third)
    confirmed = library.group("Anna").confirmed
    more = faces(900, seed=5)[0][:300]
    settings = (ClusterConfig(k=20), ClusterConfig(seed=4), ClusterConfig(k=5))
    for config in settings:
        library.cluster(None, config)
        library.add(more[:100])
        more = more[100:]
        anna = library.group("Anna")
        assert anna.id == person
        assert np.isin(confirmed, anna.faces).all()
        np.testing.assert_array_equal(anna.confirmed, confirmed)


@pytest.mark.parametrize("model", [None, "universal"])
def test_fifty_named_people_over_ten_rounds_of_adding(
    tmp_path: Path, model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters_module, "SMALL", 0)
    made = generate(
        1500, FaceDistribution(body_size=20, body_spread=4, tail_share=0), dimension=D, seed=1
    )
    X = made.embeddings
    rounds = np.array_split(np.random.default_rng(0).permutation(len(X)), 11)
    library = Library.create(tmp_path / "family")
    library.add(X[rounds[0]])
    library.cluster(model)
    named = {}
    for number, group in enumerate(library.groups()[:50]):
        named[library.name(group.id, f"person {number}")] = group.faces
    assert len(named) == 50
    for turn, rows in enumerate(rounds[1:]):
        library.add(X[rows])
        if turn % 4 == 3:
            library.cluster(model)
        people = {person.id: person for person in library.people()}
        for person, confirmed in named.items():
            assert np.isin(confirmed, people[person].faces).all()
            assert people[person].name is not None


def test_the_larger_part_of_a_split_keeps_the_id(tmp_path: Path) -> None:
    library = clustered(tmp_path / "family")
    group = library.groups()[0]
    new = library.split(group.id, group.faces[:2])
    assert library.group(f"c{group.cluster}").cluster == group.cluster
    np.testing.assert_array_equal(library.group(f"c{group.cluster}").faces, group.faces[2:])
    assert library.group(new).cluster != group.cluster
    library.undo()
    np.testing.assert_array_equal(library.group(group.id).faces, group.faces)


def test_ids_follow_the_greatest_overlap() -> None:
    before = np.array([7, 7, 7, 9, 9, -1])
    labels = np.array([0, 1, 1, 1, 2, 3])
    ids = living_ids(before, labels, np.arange(6), lambda founders: 100 + founders)
    assert ids.tolist() == [100, 7, 7, 7, 9, 105]


def test_splits_and_merges_leave_lineage(tmp_path: Path) -> None:
    assert lineage(np.array([1, 1, 1, 2]), np.array([1, 1, 5, 1])) == [(1, 5, 1), (2, 1, 1)]
    library = clustered(tmp_path / "family", 600)
    library.cluster(None, ClusterConfig(k=4))
    rows = library.store.lineage()
    assert rows
    assert all(run == 2 and before != after for run, before, after, _ in rows)
