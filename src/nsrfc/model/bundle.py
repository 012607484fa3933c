"""The model: the four networks, their settings, and the files they are stored in.

    config.json         settings, validation metrics, facts about the training data, checksums
    model.safetensors   weights; no pickle
    README.md           model card

Files and methods are those of huggingface_hub's ``PyTorchModelHubMixin``, so that a model can be shared
like any other on the hub. The files of a model replace those of an older one all together, and are read
together. The entry ``sha256`` of ``config.json`` holds the SHA-256 of the weights, and of all other
entries; a file that does not match it is refused. Earlier versions wrote no such entry, and a model
without it is read unchecked.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load, save
from torch import nn

from nsrfc import __version__
from nsrfc.config import Number, problem
from nsrfc.errors import InputError, shortened, shown
from nsrfc.model.settings import NETWORKS, UNIVERSAL, Family, ModelSettings, NetworkName
from nsrfc.storage.files import check_size, kind_of, latest, reading

__all__ = [
    "FILES",
    "NSRFC",
    "build_network",
    "holds_model",
    "load_model",
    "network_fingerprint",
    "record_fingerprint",
    "tensors_fingerprint",
]

FILES = CONFIG, CARD, WEIGHTS = "config.json", "README.md", "model.safetensors"
SHA256 = "sha256"

_CLASSES: Mapping[Family, Mapping[NetworkName, tuple[str, str]]] = {
    "structure": {
        "cgcn": ("structure", "StructureRefinement"),
        "pairs": ("structure", "StructurePairs"),
        "lcenet": ("structure", "StructureLists"),
        "pcenet": ("structure", "StructureEdges"),
    },
    "coordinates": {
        "cgcn": ("published.cgcn", "CGCN"),
        "pairs": ("published.pairnet", "PairNetwork"),
        "lcenet": ("published.lcenet", "LCENet"),
        "pcenet": ("published.pcenet", "PCENet"),
    },
}
"""Modules in `nsrfc.networks` and their classes, which are imported on first use."""

MOST_WEIGHTS = 2**29
"""Of a network: 2 GiB, ten times those of the largest published one."""

_MOST_CONFIG_BYTES = 1 << 22
_METRICS = TypeAdapter(dict[Literal["metrics"], dict[str, Number]])
_FLOATS = torch.float32, torch.float64, torch.float16, torch.bfloat16

_SHIPPED = Path(__file__).parents[1] / UNIVERSAL
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class NSRFC(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="nsrfc",
    tags=["face-clustering"],
    coders={ModelSettings: (ModelSettings.model_dump, ModelSettings.model_validate)},
):
    """The networks of the method and their settings.

    Parameters
    ----------
    settings : ModelSettings
    metrics : dict of str to float, optional
        F on the validation identities after each step, for the model card.
    data : dict, optional
        Facts about the training data, for the model card.

    Raises
    ------
    InputError
        As :func:`build_network`.

    Attributes
    ----------
    cgcn, pairs, lcenet, pcenet : Module or None
        None where the settings have no such network. Random until weights are loaded.
    """

    cgcn: nn.Module | None
    pairs: nn.Module | None
    lcenet: nn.Module | None
    pcenet: nn.Module | None

    def __init__(
        self,
        settings: ModelSettings,
        metrics: dict[str, float] | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.metrics = metrics or {}
        self.data = data or {}
        for name in NETWORKS:
            setattr(self, name, build_network(name, settings) if name in settings.networks else None)

    def network(self, name: NetworkName) -> nn.Module:
        """Return a network by name.

        Raises
        ------
        InputError
            If the model does not have it.
        """
        network: nn.Module | None = getattr(self, name)
        if network is None:
            has = ", ".join(self.settings.networks) or "none"
            raise InputError(f"The model has no {name} network (it has {has}): train one with it.")
        return network

    def check_dimension(self, dimension: int) -> None:
        """Refuse embeddings of another dimension.

        Raises
        ------
        InputError
            If ``dimension`` is not that of the model.
        """
        if self.settings.dimension not in (None, dimension):
            raise InputError(
                f"The model is for embeddings of dimension {self.settings.dimension}, these have "
                f"{dimension}: give a model trained on the same embedder."
            )

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **hub: Any,  # noqa: ANN401
    ) -> str | None:
        """Write the model into a folder; other files in it are left alone.

        Parameters
        ----------
        save_directory : path-like
            Made if it is missing. A model in it is replaced, or kept if writing fails.
        push_to_hub : bool
            Whether to upload it as well.
        repo_id : str, optional
            Name on the hub; that of the folder by default.
        **hub
            Further arguments of ``push_to_hub``.

        Returns
        -------
        str or None
            Address of the upload, if there was one.

        Raises
        ------
        InputError
            If the folder cannot be written.
        """
        from nsrfc.storage.placing import placed_together

        folder = Path(save_directory)
        state = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        weights, config = save(state, {"format": "pt"}), self._config()
        config[SHA256] = {CONFIG: record_fingerprint(config), WEIGHTS: _sha256(weights)}
        with placed_together(folder) as staging:
            # save_file would make a file that only its owner can read, whatever the umask.
            (staging / WEIGHTS).write_bytes(weights)
            (staging / CARD).write_text(str(self.generate_model_card()), encoding="utf-8")
            (staging / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id=repo_id or folder.name, **hub)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        **hub: Any,  # noqa: ANN401
    ) -> Self:
        """Read a model from a folder or the hub.

        Parameters
        ----------
        pretrained_model_name_or_path : path-like or str
            A folder, or an id ``owner/name`` on the hub.
        **hub
            Arguments of ``huggingface_hub.snapshot_download``: ``revision``, ``token``, ``cache_dir``,
            ``local_files_only``, ``force_download``.

        Returns
        -------
        NSRFC
            On the CPU, in evaluation mode.

        Raises
        ------
        InputError
            If there is no such model, its files are damaged, cut short, changed or not of this package,
            or its settings or weights are invalid.
        """
        folder = _local_folder(str(pretrained_model_name_or_path), hub)
        content, stored = _read_files(folder)
        config = _read_config(folder / CONFIG, content, _sha256(stored))
        with reading(folder / WEIGHTS):
            weights = load(stored)
        try:
            with torch.device("meta"):
                outline = cls(**config).state_dict()
        except InputError as error:
            raise InputError(f"{folder / CONFIG}: {error}") from error
        if outline.keys() != weights.keys():
            from nsrfc.model.older import present_names

            weights = present_names(weights)
        expected, found = (
            {name: (value.shape, value.dtype in _FLOATS) for name, value in each.items()}
            for each in (outline, weights)
        )
        if expected != found:
            wrong = sorted({name for name, _ in expected.items() ^ found.items()})
            raise InputError(
                f"{folder / WEIGHTS} does not hold the networks that {CONFIG} describes "
                f"({len(wrong)} weights differ, {shortened(wrong[0])} first): "
                f"copy both from one model."
            )
        broken = sorted(name for name, value in weights.items() if not torch.isfinite(value).all())
        if broken:
            raise InputError(
                f"{folder / WEIGHTS} holds weights that are NaN or infinite ({len(broken)} of "
                f"{len(weights)}, {broken[0]} first): copy or train the model anew."
            )
        model = cls(**config)
        model.load_state_dict(weights)
        return model.eval()

    def generate_model_card(self, *args: object, **kwargs: object) -> ModelCard:
        """Return the model card."""
        del args, kwargs
        from nsrfc.model.card import model_card

        return ModelCard(model_card(self.settings, self.metrics, self.data))

    def fingerprint(self, name: NetworkName) -> str:
        """Return the SHA-256 of a network's settings and weights, in hexadecimal."""
        return network_fingerprint(self.settings, name, self.network(name))

    def fingerprints(self) -> dict[NetworkName, str]:
        """Return the fingerprints of all networks, by name."""
        return {name: self.fingerprint(name) for name in self.settings.networks}

    def _config(self) -> dict[str, Any]:
        return {
            "model_type": "nsrfc",
            "nsrfc_version": __version__,
            "settings": self.settings.model_dump(mode="json"),
            "metrics": self.metrics,
            "data": self.data,
        }


def network_fingerprint(settings: ModelSettings, name: NetworkName, network: nn.Module) -> str:
    """Return the SHA-256 of a network's settings and weights, in hexadecimal."""
    return tensors_fingerprint(network.state_dict(), [settings.family, settings.networks[name]])


def tensors_fingerprint(tensors: Mapping[str, torch.Tensor], about: object = None) -> str:
    """Return the SHA-256 of tensors in their order, with their names, and of JSON values about them."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for key, value in tensors.items():
        digest.update(f" {key} {tuple(value.shape)} {value.dtype} ".encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).data)
    return digest.hexdigest()


def record_fingerprint(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of JSON values, whatever their layout in a file and the order of names."""
    return _sha256(json.dumps(json.loads(json.dumps(record)), sort_keys=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def build_network(name: NetworkName, settings: ModelSettings) -> nn.Module:
    """Make one network with random weights.

    Parameters
    ----------
    name : {"cgcn", "pairs", "lcenet", "pcenet"}
    settings : ModelSettings
        ``settings.networks[name]`` are the arguments of its class, except dimension and k.

    Returns
    -------
    Module

    Raises
    ------
    InputError
        If the class has no such argument, the value is invalid, or the network would be too large.
    """
    module, class_name = _CLASSES[settings.family][name]
    kind = getattr(import_module(f"nsrfc.networks.{module}"), class_name)
    given = settings.networks[name]
    parameters = inspect.signature(kind).parameters
    # Networks on structure take neither, and only for them may the dimension be None.
    data = {} if settings.dimension is None else {"dimension": settings.width(name), "k": settings.k}
    fixed = {argument: value for argument, value in data.items() if argument in parameters}
    known = [argument for argument in parameters if argument not in fixed]
    if unknown := [argument for argument in given if argument not in known]:
        raise InputError(
            f"{name} of the family {settings.family!r} has no setting {shown(unknown[0])}: "
            f"it has {', '.join(known) or 'none'}."
        )
    try:
        with torch.device("meta"):  # has shapes, but takes no memory
            outline: nn.Module = kind(**fixed, **given)
    except ValueError as error:
        raise InputError(f"{name} of the family {settings.family!r}: {error}.") from error
    weights = sum(value.numel() for value in outline.state_dict().values())
    if weights > MOST_WEIGHTS:
        raise InputError(
            f"{name} of the family {settings.family!r} would have {weights:,} weights, and at most "
            f"{MOST_WEIGHTS:,} are allowed: make it smaller."
        )
    network: nn.Module = kind(**fixed, **given)
    return network


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a model, or a part of one."""
    return any(kind_of(latest(folder, name)) for name in (CONFIG, WEIGHTS))


def load_model(model: NSRFC | str | Path) -> NSRFC:
    """Return the given model, the shipped one, or one from a folder or the hub.

    Raises
    ------
    InputError
        As :meth:`NSRFC.from_pretrained`, and if ``model`` is of another type.
    """
    if isinstance(model, NSRFC):
        return model
    if isinstance(model, str | Path):
        return NSRFC.from_pretrained(_SHIPPED if model == UNIVERSAL else model)
    raise InputError(
        f"model must be {UNIVERSAL!r}, a folder, an id on the hub or an NSRFC, "
        f"got {type(model).__name__}."
    )


def _local_folder(name: str, hub: dict[str, Any]) -> Path:
    """Return the folder of a model, downloaded from the hub if ``name`` is an id and not a folder."""
    folder = Path(name)
    if kind_of(folder) is None and _HUB_ID.fullmatch(name):
        try:
            return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS], **hub))
        except Exception as error:
            # The hub client and its dependencies raise dozens of types.
            reason = type(error).__name__
            raise InputError(
                f"There is no folder {name}, and no model of that name could be fetched from the hub "
                f"({reason}): check its name."
            ) from error
    if kind_of(folder) != "folder":
        raise InputError(f"There is no folder {name}: give the folder of a model, or its id on the hub.")
    return folder


def _read_files(folder: Path) -> tuple[bytes, bytes]:
    """Return the content of `CONFIG` and `WEIGHTS`: of one model, even while another takes its place."""
    while True:
        config, weights = (_content(folder, name) for name in (CONFIG, WEIGHTS))
        if config == _content(folder, CONFIG):
            break
    if config is None or weights is None:
        missing = [name for name, read in ((CONFIG, config), (WEIGHTS, weights)) if read is None]
        raise InputError(
            f"{str(folder)!r} holds no whole model ({' and '.join(missing)} missing): "
            f"give a folder written by nsrfc train, nsrfc convert or save_pretrained."
        )
    return config, weights


def _content(folder: Path, name: str) -> bytes | None:
    """Return the content of a file of a model, or None if there is none."""
    path = latest(folder, name)
    with reading(path):
        try:
            if name == CONFIG:
                check_size(path, _MOST_CONFIG_BYTES)
            return path.read_bytes()
        except FileNotFoundError:
            # It may have been given its name in the meantime.
            path = folder / name
            return path.read_bytes() if path.is_file() else None


def _read_config(path: Path, content: bytes, weights: str) -> dict[str, Any]:
    """Return the arguments of the class from the content of `CONFIG`; ``weights`` is their SHA-256."""
    with reading(path):
        config = json.loads(content)
    if not isinstance(config, dict) or config.get("model_type") != "nsrfc":
        raise InputError(f"{path} describes no model of nsrfc: give a folder written by nsrfc train.")
    if (recorded := config.pop(SHA256, None)) is not None:
        recorded = recorded if isinstance(recorded, dict) else {}
        if recorded.get(CONFIG) != record_fingerprint(config):
            raise InputError(
                f"{path} is damaged or was changed since it was written: copy or train the model anew, "
                f"or delete the entry {SHA256!r} in it if you mean the change."
            )
        if recorded.get(WEIGHTS) != weights:
            raise InputError(
                f"{path.with_name(WEIGHTS)} does not have the checksum in {CONFIG}: it is damaged or of "
                f"another model, so copy both files anew or train the model again."
            )
    metrics, data = config.get("metrics") or {}, config.get("data") or {}
    version = shortened(config.get("nsrfc_version"))
    try:
        settings = ModelSettings.model_validate(config.get("settings"))
        metrics = _METRICS.validate_python({"metrics": metrics})["metrics"]
    except ValidationError as error:
        raise InputError(
            f"{path}: {problem(error)[:-1]}, from nsrfc {version}: "
            f"it is damaged or of another version, so train or convert the model anew."
        ) from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: data is no mapping of facts: train or convert the model anew.")
    return {"settings": settings, "metrics": metrics, "data": data}
