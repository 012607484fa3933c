"""The model: the four networks, their settings, and the files they are stored in.

    config.json         settings, validation metrics, facts about the training data
    model.safetensors   weights; no pickle
    README.md           model card

Files and methods are those of huggingface_hub's ``PyTorchModelHubMixin``, so that a model can be shared
like any other on the hub. Files are written whole or not at all, ``config.json`` last: a folder that has
one holds a complete model.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin, snapshot_download
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import nn

from nsrfc import __version__
from nsrfc.errors import InputError
from nsrfc.model.settings import NETWORKS, UNIVERSAL, Family, ModelSettings, NetworkName
from nsrfc.storage.files import atomic_path, kind_of, reading

__all__ = ["NSRFC", "build_network", "load_model", "network_fingerprint"]

FILES = CONFIG, CARD, WEIGHTS = "config.json", "README.md", "model.safetensors"

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
        folder = Path(save_directory)
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        with ExitStack() as stack:
            # The files are moved into place in reverse order, the weights first and config.json last.
            config, card, file = (stack.enter_context(atomic_path(folder / name)) for name in FILES)
            # save_file would make a file that only its owner can read, whatever the umask.
            file.write_bytes(save(weights, {"format": "pt"}))
            card.write_text(str(self.generate_model_card()), encoding="utf-8")
            config.write_text(json.dumps(self._config(), indent=2) + "\n", encoding="utf-8")
            (folder / CONFIG).unlink(missing_ok=True)
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
            If there is no such model, its files are damaged, cut short or not of this package, or its
            settings or weights are invalid.
        """
        folder = _local_folder(str(pretrained_model_name_or_path), hub)
        config = _read_config(folder)
        with reading(folder / WEIGHTS):
            # Read, not mapped: a mapped file that is cut short meanwhile would kill the process.
            weights = load((folder / WEIGHTS).read_bytes())
        try:
            model = cls(**config)
        except InputError as error:
            raise InputError(f"{folder / CONFIG}: {error}") from error
        if model.state_dict().keys() != weights.keys():
            from nsrfc.model.older import present_names

            weights = present_names(weights)
        expected = {name: value.shape for name, value in model.state_dict().items()}
        found = {name: value.shape for name, value in weights.items()}
        if expected != found:
            wrong = sorted({name for name, _ in expected.items() ^ found.items()})
            raise InputError(
                f"{folder / WEIGHTS} does not hold the networks that {CONFIG} describes "
                f"({len(wrong)} weights differ, {wrong[0]} first): copy both from one model."
            )
        broken = sorted(name for name, value in weights.items() if not torch.isfinite(value).all())
        if broken:
            raise InputError(
                f"{folder / WEIGHTS} holds weights that are NaN or infinite ({len(broken)} of "
                f"{len(weights)}, {broken[0]} first): copy or train the model anew."
            )
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
    digest = hashlib.sha256(json.dumps([settings.family, settings.networks[name]]).encode())
    for key, value in network.state_dict().items():
        digest.update(f" {key} {tuple(value.shape)} {value.dtype} ".encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).data)
    return digest.hexdigest()


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
        If the class has no such argument, or the value is invalid.
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
            f"{name} of the family {settings.family!r} has no setting {unknown[0]!r}: "
            f"it has {', '.join(known) or 'none'}."
        )
    try:
        network: nn.Module = kind(**fixed, **given)
    except ValueError as error:
        raise InputError(f"{name} of the family {settings.family!r}: {error}.") from error
    return network


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
    missing = [file for file in (CONFIG, WEIGHTS) if kind_of(folder / file) != "file"]
    if missing:
        raise InputError(
            f"{name} holds no whole model ({' and '.join(missing)} missing): "
            f"give a folder written by nsrfc train, nsrfc convert or save_pretrained."
        )
    return folder


def _read_config(folder: Path) -> dict[str, Any]:
    """Return the arguments of the class."""
    path = folder / CONFIG
    with reading(path):
        config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or config.get("model_type") != "nsrfc":
        raise InputError(f"{path} describes no model of nsrfc: give a folder written by nsrfc train.")
    try:
        settings = ModelSettings.model_validate(config.get("settings"))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        raise InputError(
            f"{path}: {name}: {first['msg']}, from nsrfc {config.get('nsrfc_version')}: "
            f"it is damaged or of another version, so train or convert the model anew."
        ) from None
    return {"settings": settings, "metrics": config.get("metrics"), "data": config.get("data")}
