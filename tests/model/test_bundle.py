"""Models in files: what is kept, and what is refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huggingface_hub import ModelCard, constants  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import nsrfc  # noqa: E402
from nsrfc.errors import InputError  # noqa: E402
from nsrfc.model.bundle import NSRFC, load_model  # noqa: E402
from nsrfc.model.settings import NETWORKS, STEPS, ClusterComparison, ModelSettings  # noqa: E402

ATTENTION = {"layers": 1, "heads": 2, "hidden": 8}
NETWORKS_OF: dict[str, dict[str, Any]] = {
    "coordinates": {
        "cgcn": {},
        "pairs": ATTENTION,
        "lcenet": ATTENTION,
        "pcenet": {**ATTENTION, "classifier_hidden": 8},
    },
    "structure": {name: {} for name in NETWORKS},
}


def make(family: str = "structure", **changes: Any) -> NSRFC:  # noqa: ANN401
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "family": family,
        "dimension": 16,
        "k": 12,
        "networks": NETWORKS_OF[family],
        "used": dict.fromkeys(STEPS, True),
    }
    return NSRFC(
        ModelSettings(**{**settings, **changes}),
        metrics={"embeddings": 0.8, "refine": 0.91, "pairs": 0.9},
        data={"faces": 1234, "people": 56},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("family", ["structure", "coordinates"])
def test_a_model_comes_back_as_it_was(family: str, tmp_path: Path) -> None:
    model = make(family, tau=0.6, connect=0.7, rerank=True)
    model.save_pretrained(tmp_path / "deep" / "model")
    again = nsrfc.NSRFC.from_pretrained(tmp_path / "deep" / "model")
    assert (again.settings, again.metrics, again.data) == (model.settings, model.metrics, model.data)
    assert not again.training
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert [again.fingerprint(name) for name in NETWORKS] == [model.fingerprint(n) for n in NETWORKS]


def test_networks_that_are_not_there_stay_away(tmp_path: Path) -> None:
    make(networks={"pairs": {}}).save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    assert model.cgcn is None
    assert not model.settings.uses("refine")
    assert model.settings.uses("pairs")
    with pytest.raises(InputError, match="has no cgcn network"):
        model.network("cgcn")


def test_files_are_those_of_the_hub_and_the_card_tells_what_matters(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    card = ModelCard.load(folder / "README.md")
    assert card.data.to_dict()["library_name"] == "nsrfc"
    for words in ("| embedding dimension | 16 |", "| refine | 91.00% |", "| people | 56 |"):
        assert words in card.text


def test_saving_replaces_a_model_and_leaves_other_files_alone(folder: Path) -> None:
    (folder / "curves.png").write_bytes(b"curves")
    make("coordinates").save_pretrained(folder)
    assert load_model(folder).settings.family == "coordinates"
    assert (folder / "curves.png").read_bytes() == b"curves"
    assert len(list(folder.iterdir())) == 4


def test_whoever_may_read_the_settings_may_read_the_weights(folder: Path) -> None:
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_a_model_that_cannot_be_written_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> str:
        raise KeyboardInterrupt

    other = make("coordinates")
    monkeypatch.setattr(NSRFC, "generate_model_card", fail)
    with pytest.raises(KeyboardInterrupt):
        other.save_pretrained(folder)
    assert load_model(folder).settings.family == "structure"
    assert len(list(folder.iterdir())) == 3


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def exchange(folder: Path) -> None:
    other = folder.parent / "other"
    make(networks={"pairs": {}}).save_pretrained(other)
    (other / "model.safetensors").replace(folder / "model.safetensors")


def exchange_unchecked(folder: Path) -> None:
    exchange(folder)
    edit()(folder)


def break_a_weight(folder: Path) -> None:
    edit()(folder)
    weights = load_file(folder / "model.safetensors")
    weights["pairs.evidence.slope"] = torch.tensor(float("nan"))
    save_file(weights, folder / "model.safetensors")


def network(name: str, **arguments: object) -> Callable[[Path], None]:
    networks = {**NETWORKS_OF["structure"], name: arguments}
    return edit(settings={"family": "structure", "dimension": 16, "networks": networks})


def edit(**changes: object) -> Callable[[Path], None]:
    """Change entries, and leave out the checksums, as earlier versions did."""

    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        del config["sha256"]
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


def flip(name: str) -> Callable[[Path], None]:
    """Flip a bit that leaves the file readable: of a weight, or of a digit of a score."""

    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1 if name == "model.safetensors" else content.index(b"0.91") + 3] ^= 2
        (folder / name).write_bytes(content)

    return change


def set_checksums(value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"sha256": value}))

    return change


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json missing"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no model of nsrfc"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "damaged"),
        (edit(model_type="bert"), "no model of nsrfc"),
        (edit(settings={"family": "other"}), "another version"),
        (edit(settings=None), "another version"),
        (edit(settings={"family": "coordinates", "dimension": None}), "are for one dimension"),
        (network("cgcn", bogus=1), "cgcn .* has no setting 'bogus': it has hidden, own, whitening"),
        (network("pairs", width=63), "pairs .* width must be a multiple of heads, got 63 and 4"),
        (break_a_weight, r"NaN or infinite \(1 of \d+, pairs.evidence.slope first\)"),
        (truncate, "damaged"),
        (exchange, "model.safetensors does not have the checksum in config.json: it is damaged or of"),
        (exchange_unchecked, "does not hold the networks"),
        (flip("model.safetensors"), "model.safetensors does not have the checksum in config.json"),
        (flip("config.json"), "config.json is damaged or was changed since it was written"),
        (set_checksums("none"), "config.json is damaged or was changed since it was written"),
    ],
)
def test_spoilt_folders_are_refused_by_name(
    folder: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=words) as refused:
        load_model(folder)
    assert str(folder) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_any_flipped_bit_of_a_model_is_noticed_or_changes_nothing(folder: Path) -> None:
    """Spaces between entries, and names of checksums, may be others without a word."""
    expected, rng = load_model(folder), np.random.default_rng(0)
    for name, flips in (("model.safetensors", 30), ("config.json", 60)):
        content, refused = (folder / name).read_bytes(), 0
        for at in rng.integers(len(content), size=flips):
            flipped = bytearray(content)
            flipped[at] ^= 1 << int(rng.integers(8))
            (folder / name).write_bytes(flipped)
            try:
                found = load_model(folder)
            except InputError as error:
                refused += name in str(error)
            else:
                assert found.settings == expected.settings
                assert found.fingerprints() == expected.fingerprints()
                assert (found.metrics, found.data) == (expected.metrics, expected.data)
        assert refused > flips / 2
        (folder / name).write_bytes(content)


def test_the_layout_of_the_settings_does_not_count(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, sort_keys=True))
    assert load_model(folder).fingerprints() == make().fingerprints()


def test_a_model_of_an_earlier_version_is_read_and_gets_checksums_when_it_is_saved(folder: Path) -> None:
    edit(nsrfc_version="0.1.0")(folder)
    load_model(folder).save_pretrained(folder)
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert json.loads((folder / "config.json").read_text())["sha256"]["model.safetensors"] == weights


def test_the_model_of_the_package_has_checksums_and_is_saved_as_it_is(tmp_path: Path) -> None:
    shipped = Path(nsrfc.__file__).parent / "universal"
    load_model("universal").save_pretrained(tmp_path)
    assert "sha256" in json.loads((shipped / "config.json").read_text())
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / name).read_bytes() == (shipped / name).read_bytes(), name


def test_whoever_reads_while_a_model_is_replaced_gets_one_of_the_two(folder: Path) -> None:
    models = [make(tau=tau, networks={"pairs": {}}) for tau in (0.2, 0.8)]
    with torch.no_grad():
        for weight in models[1].parameters():
            weight.add_(1)
    known = {repr((model.settings, model.fingerprints())) for model in models}
    models[0].save_pretrained(folder)

    def replace() -> None:
        for place in range(40):
            models[place % 2].save_pretrained(folder)

    seen = set()
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(replace)
        while not writing.done():
            found = load_model(folder)
            seen.add(repr((found.settings, found.fingerprints())))
        writing.result()
    assert seen <= known


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("cgcn", {"hidden": 8}, "cgcn of the family 'coordinates' has no setting 'hidden': it has none"),
        ("pairs", {"dimension": 16}, "pairs .* has no setting 'dimension': it has layers"),
        ("pairs", {"dropout": 1.5}, r"pairs .* dropout must be a number in 0\.\.1, got 1\.5"),
        ("lcenet", {"layers": 0}, "lcenet .* layers must be a whole number from 1 to 100, got 0"),
        ("pcenet", {"classifier_hidden": -1}, "pcenet .* classifier_hidden must be a whole number"),
    ],
)
def test_published_networks_that_cannot_be_made_are_refused_by_name(
    name: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make("coordinates", networks={name: NETWORKS_OF["coordinates"][name] | changes})


def test_what_is_no_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("nowhere", str(tmp_path / "nowhere"), "nowhere/", Path("nowhere")):
        with pytest.raises(InputError, match=r"There is no folder .*nowhere"):
            load_model(name)
    with pytest.raises(InputError, match="no model of that name could be fetched from the hub"):
        load_model("owner/name")
    with pytest.raises(InputError, match="got int"):
        load_model(3)  # type: ignore[arg-type]


def test_a_model_comes_from_the_hub_by_its_id(tmp_path: Path) -> None:
    """Read what the client of the hub has fetched before."""
    commit = "0" * 40
    fetched = tmp_path / "models--owner--name"
    make().save_pretrained(fetched / "snapshots" / commit)
    (fetched / "refs").mkdir()
    (fetched / "refs" / "main").write_text(commit)
    model = NSRFC.from_pretrained("owner/name", cache_dir=tmp_path, local_files_only=True)
    assert model.settings == make().settings
    with pytest.raises(InputError, match="owner/other"):
        NSRFC.from_pretrained("owner/other", cache_dir=tmp_path, local_files_only=True)


def test_networks_on_structure_may_be_for_any_dimension(tmp_path: Path) -> None:
    comparison = ClusterComparison(minimum=0.55)
    make(dimension=None, cluster_comparison=comparison, weighted=True).save_pretrained(tmp_path)
    settings = load_model(tmp_path).settings
    assert settings.dimension is None
    assert settings.cluster_comparison == comparison
    assert settings.weighted
    for dimension in (1, 32, 512):
        load_model(tmp_path).check_dimension(dimension)
    with pytest.raises(ValueError, match="networks on coordinates are for one dimension"):
        ModelSettings(family="coordinates", dimension=None)


def test_another_dimension_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"dimension 16, these have 32: give a model"):
        make().check_dimension(32)
