"""The programs that are known, and the module that reads each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from nsrfc.bridges.record import Reader
from nsrfc.errors import InputError, shown

__all__ = ["PROGRAMS", "Program", "reader"]


@dataclass(frozen=True)
class Program:
    """A program whose faces can be read.

    Attributes
    ----------
    module : str
        In :mod:`nsrfc.bridges`.
    source : str
        What to give, in words.
    """

    module: str
    source: str


PROGRAMS = {
    "immich": Program("immich", "address of its PostgreSQL"),
    "photoprism": Program("photoprism", "index.db (SQLite), or a dump (.sql) of MariaDB"),
    "facerecognition": Program(
        "facerecognition", "database of Nextcloud: SQLite, PostgreSQL, or a dump"
    ),
    "recognize": Program("recognize", "database of Nextcloud: SQLite, PostgreSQL, or a dump"),
    "digikam": Program("digikam", "recognition.db"),
    "librephotos": Program("librephotos", "address of its PostgreSQL, or SQLite"),
    "deepface": Program("deepface", "store of find (.npz), or SQLite of register"),
    "insightface": Program("insightface", "SQLite of the GUI"),
    "pgvector": Program("pgvector", "file that COPY wrote"),
    "fiftyone": Program("fiftyone", "export as FiftyOneDataset"),
    "clip-retrieval": Program("clip_retrieval", "folder with img_emb and metadata"),
    "arrow": Program("arrow", "table or folder of tables: LanceDB, datasets, others"),
}


def reader(program: str) -> Reader:
    """Return the function that reads a program.

    Raises
    ------
    InputError
        If it is not known.
    """
    if program not in PROGRAMS:
        raise InputError(f"{shown(program)} is not known: name one of {', '.join(PROGRAMS)}.")
    module = import_module(f"nsrfc.bridges.{PROGRAMS[program].module}")
    read: Reader = module.read
    return read
