"""Known weights: what they take and give, their SHA-256, licence and source; and where their files are.

``models.toml`` lists those that are known. A folder of weights may hold a ``models.toml`` of its own, in
the same form. A file is known by its SHA-256, as neither channel order nor training can be read from a
network, and different networks have the same file name.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nsrfc.config import Count, Dimension, Number, Positive, Share, Text, problem
from nsrfc.errors import InputError, enumerate_names
from nsrfc.storage.files import read_text, reading
from nsrfc.storage.outputs import file_hash

__all__ = ["REGISTRY", "Contract", "Registry", "WeightFile", "Weights", "caches"]

REGISTRY = "models.toml"

_MOST_BYTES = 1 << 18
_SHOWN = 12
"""Digits of a SHA-256 in a message."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Contract(_Part):
    """What a network takes and gives."""

    size: Count
    """Side of the square input in pixels; of dlib's detectors, the longer side of the picture."""

    channels: Literal["RGB", "BGR"] = "RGB"

    mean: Number = 0
    scale: Positive = 1
    """Values of 0 to 255 enter as (value - mean) / scale."""

    score: Number = 0
    """Of a detector: the score from which a face counts."""

    overlap: Share = 0.4
    """Of a detector: maximum intersection over union of two faces."""

    outputs: tuple[Text, ...] = ()
    """Names of outputs that are read by name."""


class WeightFile(_Part):
    """A file of weights."""

    names: Annotated[tuple[Text, ...], Field(min_length=1)]
    """As which it is published."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Weights(_Part):
    """A detector or an embedder."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
    title: Text
    part: Literal["detector", "embedder"]
    kind: Literal["yunet", "scrfd", "aligned", "dlib-hog", "dlib-cnn", "dlib"]
    """Which code runs it."""

    files: Annotated[tuple[WeightFile, ...], Field(min_length=1)]
    """The network last."""

    contract: Contract
    dimension: Dimension | None = None
    card: Text = "auto"
    """Embedder card: what is known of its scores."""

    licence: Text
    free: bool
    """Whether the licence allows any use. Others must be accepted."""

    source: Text

    @model_validator(mode="after")
    def _fits(self) -> Weights:
        if (self.part == "embedder") != (self.dimension is not None):
            raise ValueError("an embedder has a dimension, a detector has none")
        if (self.part == "embedder") != (self.kind in ("aligned", "dlib")):
            raise ValueError(f"{self.kind} is no kind of {self.part}")
        return self

    @property
    def sha256(self) -> str:
        """SHA-256 of the network."""
        return self.files[-1].sha256


class _File(_Part):
    weights: tuple[Weights, ...] = ()


@dataclass(frozen=True)
class Registry:
    """Known weights, and the folders in which they are looked for.

    Attributes
    ----------
    weights : tuple of Weights
    folders : tuple of Path
    """

    weights: tuple[Weights, ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, models: Path | None) -> Registry:
        """Read the registry of the package, and that in a folder, if there is one.

        Parameters
        ----------
        models : Path or None
            Folder of weights; None: the caches of known programs.

        Raises
        ------
        InputError
            If there is no such folder, or its registry is none.
        """
        own = resources.files("nsrfc") / "photos" / REGISTRY
        shipped = _parsed(own.read_text(encoding="utf-8"), REGISTRY)
        if models is None:
            return cls(shipped, tuple(folder for folder in caches() if folder.is_dir()))
        if not models.is_dir():
            raise InputError(f"{models} is no folder: name the folder that holds the weights.")
        added: tuple[Weights, ...] = ()
        if (models / REGISTRY).is_file():
            with reading(models / REGISTRY):
                added = _parsed(read_text(models / REGISTRY, _MOST_BYTES), str(models / REGISTRY))
        names = {each.name for each in added}
        return cls((*added, *(each for each in shipped if each.name not in names)), (models,))

    def named(self, name: str, part: str) -> Weights:
        """Return a detector or an embedder by its name.

        Raises
        ------
        InputError
            If there is none; the message lists the names.
        """
        known = [each for each in self.weights if each.part == part]
        for each in known:
            if each.name == name:
                return each
        names = enumerate_names((each.name for each in known), len(known))
        raise InputError(f"There is no {part} {name}: take {names}, or describe it in {REGISTRY}.")

    def paths(self, weights: Weights, *, accepted: bool) -> list[Path]:
        """Find the files of some weights.

        Parameters
        ----------
        weights : Weights
        accepted : bool
            Whether licences that do not allow any use are accepted.

        Raises
        ------
        InputError
            If the licence is not accepted, a file is not there, or is another one than its name says.
        """
        if not weights.free and not accepted:
            raise InputError(
                f"The weights of {weights.name} are not free for any use ({weights.licence}): read the "
                f"terms at {weights.source}, and give --accept-licence if they allow yours."
            )
        return [self._path(weights, file) for file in weights.files]

    def _path(self, weights: Weights, file: WeightFile) -> Path:
        if weights.kind.startswith("dlib"):
            from nsrfc.photos.dlib_models import models_folder

            folders: tuple[Path, ...] = (models_folder(),)
        else:
            folders = self.folders
        suffix, wrong = Path(file.names[0]).suffix, None
        named, others = _split(folders, suffix, file.names)
        for path in (*named, *others):
            with reading(path):
                found = file_hash(path)
            if found == file.sha256:
                return path
            if path in named and wrong is None:
                wrong = path, found
        if wrong is not None:
            raise InputError(
                f"{wrong[0]} is not {weights.name}: its SHA-256 begins with {wrong[1][:_SHOWN]}, and "
                f"that of {weights.name} with {file.sha256[:_SHOWN]}, so it is another file or damaged: "
                f"get it from {weights.source}."
            )
        places = enumerate_names(map(str, folders)) or "the caches of InsightFace, uniface and deepface"
        raise InputError(
            f"The weights of {weights.name} are not in {places}: get {file.names[0]} from "
            f"{weights.source}, and name its folder with --models."
        )


def caches() -> list[Path]:
    """Return the folders in which InsightFace, uniface and deepface keep weights."""
    home = Path.home()
    deepface = Path(os.environ.get("DEEPFACE_HOME", home))
    return [
        home / ".insightface" / "models",
        Path(os.environ.get("UNIFACE_CACHE_DIR", home / ".uniface" / "models")).expanduser(),
        deepface / ".deepface" / "weights",
    ]


def _split(
    folders: Iterable[Path], suffix: str, names: tuple[str, ...]
) -> tuple[list[Path], list[Path]]:
    """Return the files of a suffix that have one of the names, and the others."""
    every = [path for folder in folders for path in _files(folder, suffix)]
    named = [path for path in every if path.name in names]
    return named, [path for path in every if path.name not in names]


def _files(folder: Path, suffix: str) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(place, name) for name in sorted(files) if Path(name).suffix == suffix)


def _parsed(text: str, place: str) -> tuple[Weights, ...]:
    """Read a registry.

    Raises
    ------
    InputError
        If it is none; the message names the first wrong field.
    """
    try:
        return _File.model_validate(tomllib.loads(text)).weights
    except tomllib.TOMLDecodeError as error:
        raise InputError(
            f"{place} is no TOML ({error}): write it as the registry of nsrfc is."
        ) from None
    except ValidationError as error:
        raise InputError(f"{place}: {problem(error)}") from None
