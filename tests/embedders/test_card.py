"""Cards are read safely, and those of the package state only what somebody measured or published."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nsrfc.embedders.card import EmbedderCard, card_names, find_card
from nsrfc.errors import InputError

NAMES = ["arcface-mbf", "arcface-r50", "auraface", "dlib", "facenet", "mobilefacenet", "sface"]


def test_the_package_has_these() -> None:
    assert card_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_what_it_is_and_where_it_is_known_from(name: str) -> None:
    card = find_card(name)
    assert card.name == name
    assert card.dimension in (128, 512)
    assert len(card.source) > 100
    assert card.links
    assert all(link.startswith("http") for link in card.links)
    for measured in (card.impostor_mean, card.impostor_deviation, card.genuine_mean):
        assert measured is None or measured.error > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    card = find_card(name)
    card.write(tmp_path / "new" / "card.yml")
    assert EmbedderCard.read(tmp_path / "new" / "card.yml") == card
    assert find_card(str(tmp_path / "new" / "card.yml")) == card


def test_the_page_of_the_cards_has_their_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "embedders.md").read_text(encoding="utf-8")
    for card in map(find_card, NAMES):
        assert f"### {card.name}\n" in page
        assert card.title in page
        for link in card.links:
            assert link in page
        for point in card.operating_points:
            assert f"{point.threshold:g}" in page


def test_another_spelling_is_the_same_card() -> None:
    assert find_card("ArcFace_R50") == find_card("arcface-r50")


GOOD = {"name": "mine", "title": "mine", "dimension": 8, "source": "measured"}

BAD: dict[str, tuple[bytes | str, str]] = {
    "a tag that runs code": ("!!python/object/apply:os.system ['exit 3']", "cannot be read as .yaml"),
    "no YAML": ("name: [", "cannot be read as .yaml"),
    "a list": ("- 1", "is no embedder card"),
    "nothing": ("", "is no embedder card"),
    "bytes": (b"\xff\xfe\x00", "cannot be read as .yaml"),
    "no dimension": (yaml.safe_dump({**GOOD, "dimension": None}), "dimension: "),
    "a cosine of 2": (
        yaml.safe_dump({**GOOD, "impostor_mean": {"value": 2, "error": 0.1}}),
        r"impostor_mean\.value: ",
    ),
    "an error of 0": (
        yaml.safe_dump({**GOOD, "impostor_mean": {"value": 0.2, "error": 0}}),
        r"impostor_mean\.error: ",
    ),
    "an error that is no number": (
        yaml.safe_dump({**GOOD, "impostor_deviation": {"value": 0.2, "error": float("nan")}}),
        r"impostor_deviation\.error: ",
    ),
    "an unknown field": (yaml.safe_dump({**GOOD, "mood": "good"}), "mood: "),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_card_is_refused_in_one_sentence(case: str, tmp_path: Path) -> None:
    content, words = BAD[case]
    path = tmp_path / "mine.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as refused:
        find_card(str(path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_and_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        find_card(str(tmp_path / "missing.yaml"))
    other = tmp_path / "faces.npy"
    other.touch()
    with pytest.raises(InputError, match=r"embedder cards are kept in .*\.yaml"):
        find_card(str(other))
    with pytest.raises(InputError, match=r"embedder cards are kept in .*\.yaml"):
        find_card("dlib").write(tmp_path / "card.json")
