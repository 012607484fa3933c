"""Weights are known by their SHA-256, and used by what is known of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nsrfc.embedders.card import find_card
from nsrfc.errors import InputError
from nsrfc.photos import registry
from nsrfc.photos.registry import Registry


def test_all_known_weights_are_described() -> None:
    weights = Registry.of(None).weights
    names = [each.name for each in weights]

    assert len(names) == len(set(names)) == 20
    for each in weights:
        assert each.source.startswith("https://")
        if each.card != "auto":
            assert find_card(each.card).dimension == each.dimension
        if "InsightFace" in each.title or "EdgeFace" in each.title:
            assert not each.free


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"There is no detector mtcnn: take dlib-hog, .*scrfd-10g"):
        Registry.of(None).named("mtcnn", "detector")


def test_weights_that_are_not_free_must_be_accepted(tmp_path: Path) -> None:
    known = Registry.of(tmp_path)
    weights = known.named("arcface-r50", "embedder")
    with pytest.raises(InputError, match=r"non-commercial.*--accept-licence"):
        known.paths(weights, accepted=False)
    with pytest.raises(InputError, match=re.escape(f"not in {tmp_path}")):
        known.paths(weights, accepted=True)


def test_a_file_with_another_sha256_is_refused(tmp_path: Path) -> None:
    (tmp_path / "face_detection_yunet_2023mar.onnx").write_bytes(b"version https://git-lfs")
    known = Registry.of(tmp_path)
    with pytest.raises(
        InputError, match=r"is not yunet-2023mar: its SHA-256 begins with .* 8f2383e4dd3c"
    ):
        known.paths(known.named("yunet-2023mar", "detector"), accepted=False)


def test_a_file_is_known_by_its_content_whatever_it_is_called(
    drawn_models: Path, tmp_path: Path
) -> None:
    text = (drawn_models / "models.toml").read_text(encoding="utf-8")
    (tmp_path / "models.toml").write_text(text, encoding="utf-8")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    # The name of a known file on another one, as antelopev2 and AuraFace both have a glintr100.onnx.
    (tmp_path / "finds.onnx").write_bytes(b"another")
    renamed = tmp_path / "deep" / "down" / "renamed.onnx"
    renamed.write_bytes((drawn_models / "finds.onnx").read_bytes())
    known = Registry.of(tmp_path)

    assert known.paths(known.named("drawn-detector", "detector"), accepted=False) == [renamed]


def test_caches_of_other_programs_are_searched(
    drawn_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("UNIFACE_CACHE_DIR", raising=False)
    monkeypatch.delenv("DEEPFACE_HOME", raising=False)
    place = tmp_path / ".insightface" / "models" / "buffalo_l"
    place.mkdir(parents=True)
    (place / "w600k_r50.onnx").write_bytes((drawn_models / "embeds.onnx").read_bytes())
    known = Registry.of(None)

    assert known.folders == (tmp_path / ".insightface" / "models",)
    with pytest.raises(InputError, match=re.escape(str(place / "w600k_r50.onnx"))):
        known.paths(known.named("arcface-r50", "embedder"), accepted=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[weights", "no TOML"),
        ('[[weights]]\nname = "x"', "title"),
        ('weights = "x"', "weights"),
    ],
)
def test_a_registry_of_ones_own_that_is_none_is_refused(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / registry.REGISTRY).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=why):
        Registry.of(tmp_path)


def test_an_embedder_without_a_dimension_is_refused(drawn_models: Path, tmp_path: Path) -> None:
    text = (drawn_models / "models.toml").read_text(encoding="utf-8")
    (tmp_path / registry.REGISTRY).write_text(text.replace("dimension = 64\n", ""), encoding="utf-8")
    with pytest.raises(InputError, match="an embedder has a dimension"):
        Registry.of(tmp_path)


def test_the_package_downloads_nothing() -> None:
    folder = Path(registry.__file__).parent
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))

    assert not re.search(r"urllib|requests|httpx|huggingface_hub|socket", code)
