"""The programs that are known, and the module that reads each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from nsrfc.bridges.record import Reader
from nsrfc.errors import InputError, shown

__all__ = ["PROGRAMS", "Program", "check_options", "reader"]


@dataclass(frozen=True)
class Program:
    """A program whose faces, or names, can be read.

    Attributes
    ----------
    module : str
        In :mod:`nsrfc.bridges`.
    source : str
        What to give, in words.
    options : tuple of str
        Options of ``nsrfc import`` that have an effect.
    """

    module: str
    source: str
    options: tuple[str, ...] = ("space", "embedder")


_USERS = "user", "space", "embedder"
_PIXELS = "pictures", "space", "embedder"

PROGRAMS = {
    "immich": Program("immich", "address of its PostgreSQL", _USERS),
    "photoprism": Program("photoprism", "index.db (SQLite), or a dump (.sql) of MariaDB"),
    "facerecognition": Program(
        "facerecognition", "database of Nextcloud: SQLite, PostgreSQL, or a dump", ("user", *_PIXELS)
    ),
    "recognize": Program("recognize", "database of Nextcloud: SQLite, PostgreSQL, or a dump", _USERS),
    "digikam": Program("digikam", "recognition.db"),
    "librephotos": Program("librephotos", "address of its PostgreSQL, or SQLite", _USERS),
    "deepface": Program("deepface", "store of find (.npz), or SQLite of register", _PIXELS),
    "insightface": Program("insightface", "SQLite of the GUI"),
    "pgvector": Program("pgvector", "file that COPY wrote"),
    "fiftyone": Program("fiftyone", "export as FiftyOneDataset"),
    "clip-retrieval": Program("clip_retrieval", "folder with img_emb and metadata"),
    "arrow": Program("arrow", "table or folder of tables: LanceDB, datasets, others"),
    "folders": Program("people_folders", "folder with a folder for each person", ()),
}


def check_options(program: str, given: Sequence[str]) -> None:
    """Refuse a program that is not known, and options that have no effect on it.

    Raises
    ------
    InputError
    """
    if program not in PROGRAMS:
        raise InputError(f"{shown(program)} is not known: name one of {', '.join(PROGRAMS)}.")
    for option in given:
        if option not in PROGRAMS[program].options:
            raise InputError(f"--{option} has no effect on {program}: leave it out.")


def reader(program: str) -> Reader:
    """Return the function that reads the faces of a program."""
    module = import_module(f"nsrfc.bridges.{PROGRAMS[program].module}")
    read: Reader = module.read
    return read
