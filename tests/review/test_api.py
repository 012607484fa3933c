"""What the page reads and says: lists, acts, refusals, undo."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from nsrfc.library.library import Library
from nsrfc.review.layout import positions
from nsrfc.synthetic import generate
from tests.review.conftest import Served, serving

Json = dict[str, Any]


def get(client: httpx.Client, path: str, **query: str | int) -> Json:
    """Return a list once it is of the present."""
    for _ in range(200):
        answer = client.get(path, params=query)
        record: Json = answer.json()
        assert answer.status_code == 200 or record.get("current") is False, answer.text
        if record.get("current", True):
            return record
        time.sleep(0.05)
    raise AssertionError("it never was of the present")


def say(client: httpx.Client, said: str, /, **body: object) -> Json:
    answer = client.post(f"/api/say/{said}", json=body)
    assert answer.status_code == 200, answer.text
    record: Json = answer.json()
    return record


def cannot(client: httpx.Client, said: str, status: int = 409, /, **body: object) -> Json:
    answer = client.post(f"/api/say/{said}", json=body)
    assert answer.status_code == status, answer.text
    record: Json = answer.json()
    assert record["error"].endswith(".")
    return record


def clusters(client: httpx.Client) -> list[Json]:
    return list(get(client, "/api/people", kind="clusters")["groups"])


def seen(*groups: Json) -> Json:
    return {group["id"]: group["seen"] for group in groups}


def test_lists_hold_what_the_library_holds(served: Served) -> None:
    with served.client() as client:
        record = get(client, "/api/people", kind="clusters", limit=500)
        first = get(client, "/api/group/" + record["groups"][0]["id"], limit=500)
    library = served.library
    groups = library.groups()

    assert record["library"] == "family"
    assert record["counts"] == {"people": 0, "clusters": len(groups), "hidden": 0}
    assert [(each["id"], each["count"]) for each in record["groups"]] == [
        (group.id, len(group.faces)) for group in groups
    ]
    assert sorted(face["id"] for face in first["faces"]) == groups[0].faces.tolist()
    assert all(face["picture"] for face in first["faces"])
    assert first["faces"][0]["key"].startswith("IMG_")


def test_a_list_comes_in_pages(served: Served) -> None:
    with served.client() as client:
        whole = clusters(client)
        page = get(client, "/api/people", kind="clusters", offset=3, limit=4)

    assert page["groups"] == whole[3:7]
    assert page["total"] > 60 == len(whole)


def test_a_word_is_on_disk_when_it_is_answered_and_undo_restores_the_state(served: Served) -> None:
    before = served.library.fingerprint()
    with served.client() as client:
        one, other = clusters(client)[:2]
        named = say(client, "name", who=one["id"], name="Anna", seen=seen(one))
        assert [entry.number for entry in served.library.history()] == named["acts"]
        assert served.library.group("Anna").confirmed.size == one["count"]
        merged = say(client, "merge", who=named["who"], others=[other["id"]], seen=seen(other))
        assert served.library.group("Anna").confirmed.size == one["count"] + other["count"]
        say(client, "undo", acts=merged["acts"])
        say(client, "undo", acts=named["acts"])

    assert served.library.fingerprint() == before


def test_questions_show_both_groups_and_an_answer_is_heard(served: Served) -> None:
    before = served.library.fingerprint()
    with served.client() as client:
        questions = get(client, "/api/questions")["questions"]
        assert [(each["a"]["id"], each["b"]["id"]) for each in questions] == [
            (each.a, each.b) for each in served.library.questions(60)
        ]
        done = {}
        for each, word in zip(questions, ("yes", "no", "unsure"), strict=False):
            done[word] = say(client, "answer", a=each["a"]["id"], b=each["b"]["id"], word=word)
        words = [entry.words for entry in served.library.history()]
        left = {
            (each["a"]["id"], each["b"]["id"]) for each in get(client, "/api/questions")["questions"]
        }
        assert not left & {(each["a"]["id"], each["b"]["id"]) for each in questions[:3]}
        say(client, "undo", acts=[act for each in done.values() for act in each["acts"]])

    assert "confirmed as one person" in words[0]
    assert "different persons" in words[1]
    assert "left open" in words[2]
    assert served.library.fingerprint() == before


def test_the_same_name_offers_the_person_who_has_it(served: Served) -> None:
    with served.client() as client:
        one, other, third = clusters(client)[:3]
        anna = say(client, "name", who=one["id"], name="Anna", seen=seen(one))["who"]
        for group in (other, third):
            fresh = get(client, f"/api/group/{group['id']}")["group"]
            refusal = cannot(client, "name", who=group["id"], name=" Anna ", seen=seen(fresh))
            assert refusal["same"] == {"id": anna, "name": "Anna", "count": one["count"]}
        say(client, "merge", who=anna, others=[other["id"]], seen=seen(other))

    assert served.library.group("Anna").id == anna
    assert served.library.group("Anna").confirmed.size == one["count"] + other["count"]


def test_faces_are_removed_split_off_and_made_the_cover(served: Served) -> None:
    with served.client() as client:
        (one, *_) = clusters(client)
        who = say(client, "name", who=one["id"], name="Anna", seen=seen(one))["who"]
        faces = [each["id"] for each in get(client, f"/api/group/{who}")["faces"]]
        say(client, "reject", who=who, faces=faces[:2])
        other = say(client, "split", who=who, faces=faces[2:5])["who"]
        say(client, "cover", who=who, face=faces[-1])
        say(client, "born", who=who, date="1980-02-03")
        say(client, "hide", who=other, hidden=True)
        record = get(client, "/api/people", kind="hidden")
        anna = get(client, f"/api/group/{who}")["group"]
    library = served.library

    assert not set(faces[:5]) & set(library.group("Anna").faces.tolist())
    assert set(faces[2:5]) <= set(library.group(other).confirmed.tolist())
    assert [group["id"] for group in record["groups"]] == [other]
    assert (anna["cover"]["id"], anna["birth"]) == (faces[-1], "1980-02-03")


def test_a_split_is_suggested_and_made(served: Served) -> None:
    with served.client() as client:
        alone = clusters(client)[-1]["id"]
        whole = clusters(client)[0]
        faces = client.get(f"/api/split/{whole['id']}").json()["faces"]
        assert 0 < len(faces) <= whole["count"] / 2
        assert "no split is proposed" in client.get(f"/api/split/{alone}").json()["error"]
        who = say(client, "split", who=whole["id"], faces=faces, seen=seen(whole))["who"]

    assert served.library.group(who).confirmed.tolist() == faces


def test_a_contradiction_names_the_act_that_can_be_undone(served: Served) -> None:
    with served.client() as client:
        one, other = clusters(client)[:2]
        say(client, "merge", who=one["id"], others=[other["id"]], seen=seen(one, other))
        whole = clusters(client)[0]
        refusal = cannot(
            client, "split", who=whole["id"], faces=[other["cover"]["id"]], seen=seen(whole)
        )

    assert "contradicts act 1" in refusal["error"]


def test_several_clusters_are_merged_at_once(served: Served) -> None:
    before = served.library.fingerprint()
    with served.client() as client:
        some = clusters(client)[:3]
        ids = [each["id"] for each in some]
        merged = say(client, "merge", who=ids[0], others=ids[1:], seen=seen(*some))
        assert len(clusters(client)[0]["id"]) > 0
        assert max(len(group.faces) for group in served.library.groups()) == sum(
            each["count"] for each in some
        )
        say(client, "undo", acts=merged["acts"])

    assert served.library.fingerprint() == before


def test_a_merge_that_cannot_be_is_not_half_done(served: Served) -> None:
    with served.client() as client:
        one, other, third = clusters(client)[:3]
        anna = say(client, "name", who=one["id"], name="Anna", seen=seen(one))["who"]
        face = third["cover"]["id"]
        say(client, "reject", who=anna, faces=[face])
        refusal = cannot(
            client, "merge", who=anna, others=[other["id"], third["id"]], seen=seen(other, third)
        )

    assert f"face {face} is not {anna}" in refusal["error"]
    assert served.library.group("Anna").confirmed.size == one["count"]


def test_a_cluster_that_changed_since_it_was_shown_is_not_named(served: Served) -> None:
    with served.client() as client:
        one, other = clusters(client)[:2]
        say(client, "merge", who=one["id"], others=[other["id"]], seen=seen(one, other))
        clusters(client)
        for who, given in ((one["id"], seen(one)), (other["id"], seen(other)), (one["id"], {})):
            refusal = cannot(client, "name", who=who, name="Anna", seen=given)
            assert "has changed since it was shown" in refusal["error"]

    assert [group for group in served.library.people() if group.name] == []


def test_a_cluster_is_named_as_it_was_shown_while_clusters_are_found(served: Served) -> None:
    with served.client() as client:
        one, other = clusters(client)[:2]
        with served.review._session._finding:
            say(client, "answer", a=one["cover"]["id"], b=other["cover"]["id"], word="unsure")
            who = say(client, "name", who=one["id"], name="Anna", seen=seen(one))["who"]
            say(client, "merge", who=who, others=[other["id"]], seen=seen(other))

    assert served.library.group("Anna").confirmed.size == one["count"] + other["count"]


def test_what_cannot_be_is_answered_with_a_sentence(served: Served) -> None:
    with served.client() as client:
        assert "act 7" in cannot(client, "undo", acts=[7])["error"].lower()
        assert "no person or cluster" in cannot(client, "hide", who="p9", hidden=True)["error"]
        assert "There is no face" in cannot(client, "answer", a=0, b=10**6, word="yes")["error"]
        for body in (
            {},
            {"a": 0},
            {"a": "0", "b": 1, "word": "yes"},
            {"a": 0, "b": 1, "word": "perhaps"},
        ):
            cannot(client, "answer", 400, **body)
        cannot(client, "name", 400, who="../p1", name="Anna")
        cannot(client, "dance", 404)
        assert client.post("/api/say/undo", content=b"{").status_code == 400
        assert client.post("/api/say/undo", content=b" " * 9 * 2**20).status_code == 413
        assert client.get("/api/people", params={"limit": "many"}).status_code == 400
        assert client.get("/api/group/p77").status_code == 404

    assert served.library.history() == []


def test_two_tabs_lose_no_answer(served: Served) -> None:
    """Both speak at once, and every answer is in the journal."""
    pairs = [(face, face + 1) for face in range(0, 80, 2)]

    def tab(own: list[tuple[int, int]]) -> None:
        with served.client() as client:
            for a, b in own:
                acts.extend(say(client, "answer", a=a, b=b, word="unsure")["acts"])

    acts: list[int] = []
    tabs = [threading.Thread(target=tab, args=(pairs[part::2],)) for part in range(2)]
    for each in tabs:
        each.start()
    for each in tabs:
        each.join()
    history = served.library.history()

    assert sorted(acts) == [entry.number for entry in history] == list(range(1, 41))
    assert sorted(entry.act.faces for entry in history) == pairs


def test_another_process_is_followed(served: Served) -> None:
    with served.client() as client:
        one = clusters(client)[0]
        served.library.name(one["id"], "Anna")
        found = get(client, "/api/people", search="ann")

    assert [group["name"] for group in found["groups"]] == ["Anna"]


def test_where_clusters_take_long_they_are_found_after_a_pause(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsrfc.review.session.SLOW", -1.0)
    with served.client() as client:
        one, other = clusters(client)[:2]
        say(client, "name", who=one["id"], name="Anna", seen=seen(one))
        get(client, "/api/people")  # from here on it is known to take long
        say(client, "name", who=other["id"], name="Bea", seen=seen(other))
        behind = client.get("/api/people").json()
        names = {group["name"] for group in get(client, "/api/people")["groups"]}

    assert behind["current"] is False
    assert [group["name"] for group in behind["groups"]] == ["Anna"]
    assert names == {"Anna", "Bea"}


def test_an_answer_about_a_person_does_not_wait_for_clusters(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served.client() as client:
        one, other = clusters(client)[:2]
        who = say(client, "name", who=one["id"], name="Anna", seen=seen(one))["who"]
        clusters(client)
        with served.review._session._finding:  # as while clusters are found
            faces = get_faces(served.library, other["id"])
            say(client, "answer", a=one["cover"]["id"], b=faces[0], word="no")
            say(client, "reject", who=who, faces=faces[1:3])
            say(client, "name", who=who, name="Bea")
            record = client.get("/api/people").json()

        assert record["current"] is False
        assert record["groups"][0]["name"] == "Anna"
        assert get(client, "/api/people")["groups"][0]["name"] == "Bea"


def get_faces(library: Library, who: str) -> list[int]:
    return list(map(int, library.group(who).faces))


def test_a_fault_while_clusters_are_found_is_told_and_passes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(self: Library) -> None:
        raise RuntimeError("a fault")

    with served.client() as client:
        one, other = clusters(client)[:2]
        with monkeypatch.context() as broken:
            broken.setattr(Library, "groups", fault)
            say(client, "name", who=one["id"], name="Anna", seen=seen(one))
            end = time.monotonic() + 20
            while (answer := client.get("/api/people")).status_code == 200:
                assert time.monotonic() < end
            assert "by a fault of nsrfc" in answer.json()["error"]
        client.get("/api/people")
        say(client, "name", who=other["id"], name="Bea", seen=seen(other))
        names = {group["name"] for group in get(client, "/api/people")["groups"]}

    assert names == {"Anna", "Bea"}


def test_history_shows_the_last_act_first(served: Served) -> None:
    with served.client() as client:
        say(client, "answer", a=0, b=1, word="unsure")
        say(client, "undo", acts=[1])
        acts = get(client, "/api/history")["acts"]

    assert [(act["number"], act["counts"]) for act in acts] == [(2, True), (1, False)]
    assert acts[0]["words"] == "act 1 undone"


def test_faces_without_a_picture_have_a_place_on_a_map(bare: Served) -> None:
    with bare.client() as client:
        groups = clusters(client)
        points = get(client, "/api/map")["points"]
        assert client.get("/thumbnail/0", params={"token": bare.review.token}).status_code == 404

    at = np.array([group["cover"]["at"] for group in groups] + points)
    assert not any(group["cover"]["picture"] for group in groups)
    assert ((at >= 0) & (at <= 100)).all()
    assert at.std(axis=0).min() > 10


def test_the_map_keeps_the_faces_of_a_person_together(tmp_path: Path) -> None:
    faces = generate(300, "wild", seed=0, dimension=16)
    library = Library.create(tmp_path / "library")
    library.add(faces.embeddings)
    at = positions(library.store)

    own = [at[faces.identities == who].std(axis=0).mean() for who in np.unique(faces.identities)]
    assert np.mean(own) < at.std(axis=0).mean()
    assert np.array_equal(at, positions(Library.open(tmp_path / "library").store))


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_map_of_few_dimensions(tmp_path: Path, dimension: int) -> None:
    library = Library.create(tmp_path / "library")
    library.add(np.ones((3, dimension)))

    assert np.isfinite(positions(library.store)).all()


def test_a_library_of_two_faces_can_be_reviewed(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "two")
    library.add(generate(2, "wild", seed=0).embeddings)
    library.cluster(model=None)

    with serving(library.folder) as page, page.client() as client:
        assert get(client, "/api/people", kind="clusters")["groups"]
        get(client, "/api/questions")
