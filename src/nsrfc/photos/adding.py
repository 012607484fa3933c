"""Pictures of a folder into a library: searched, embedded and kept, a few at a time.

What is done is on disk after every few pictures: a run that was cut off, however it ended, goes on where
it was. A picture counts from the moment in which `pictures.db` knows it; faces of it that the library
does not hold yet are embedded first by the next run.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nsrfc.errors import InputError, enumerate_names, shown
from nsrfc.library.library import Library
from nsrfc.library.pictures import FoundFace, Pictures, Problem
from nsrfc.photos.alignment import thumbnail_of
from nsrfc.photos.decoding import pictures_in, read_picture
from nsrfc.photos.faces import Floats, Picture
from nsrfc.photos.models import Models
from nsrfc.photos.quality import Limits, qualities
from nsrfc.progress import Progress
from nsrfc.storage.locks import locked_output
from nsrfc.storage.outputs import file_hash

__all__ = ["Added", "add_photos", "take_back"]

TOGETHER = 16
"""Pictures whose faces enter the library at once: as many are embedded again after a kill."""

THUMBNAIL, QUALITY = 112, 80


@dataclass
class Added:
    """What a run did.

    Attributes
    ----------
    files : int
        Pictures in the folder.
    new : int
        Files whose content was not known before.
    faces : int
        Faces that were added to the library.
    left_out : int
        Faces that were found and left out.
    gone : int
        Pictures of the library whose files are no longer there; their faces stay.
    problems : list of Problem
        Pictures that cannot be read.
    others : Counter
        Number of files that are no pictures, by suffix.
    """

    files: int = 0
    new: int = 0
    faces: int = 0
    left_out: int = 0
    gone: int = 0
    problems: list[Problem] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)


def add_photos(
    folder: Path,
    library: Library,
    models: Models,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Added:
    """Find and embed the faces of all pictures in a folder that a library does not know yet.

    Pictures are known by their content. The faces join the clusters with :meth:`Library.refresh`.
    Nothing is written into the folder.

    Parameters
    ----------
    folder : Path
    library : Library
    models : Models
    limits : Limits, optional
        Which faces are left out. Faces that were left out before and are within them now come in.
    progress : Progress, optional

    Raises
    ------
    InputError
        If the library holds faces of another detector or embedder, or another process adds photos to it.
    """
    limits, progress = limits or Limits(), progress or Progress()
    folder = folder.resolve()
    with locked_output(library.folder, "run that adds photos"):
        intake = _Intake(library, models)
        pictures = intake.pictures
        walk = pictures_in(folder, without=library.folder.resolve())
        added = Added(len(walk.pictures), others=walk.others)
        new = _unknown(walk.pictures, folder, pictures, progress)
        pictures.judge(
            {each.id: None for each in pictures.left_out() if limits.reason(each.quality) is None}
        )
        added.faces += intake.fill()
        with progress.stage("finding faces", len(new)) as advance:
            for start in range(0, len(new), TOGETHER):
                for copies in new[start : start + TOGETHER]:
                    name = copies[0][0].relative_to(folder).as_posix()
                    left_out = intake.search(copies, name, limits)
                    if left_out is not None:
                        added.new, added.left_out = added.new + 1, added.left_out + left_out
                    advance(1)
                added.faces += intake.keep_found()
        inside = str(folder) + os.sep
        added.problems = [Problem(*each) for each in walk.problems]
        added.problems += [each for each in pictures.problems() if each.path.startswith(inside)]
        added.gone = pictures.count()[1]
        return added


def take_back(library: Library, found: Sequence[int], models: Models) -> int:
    """Add faces to a library that were left out, by their numbers among those found.

    Returns
    -------
    int
        How many were added.

    Raises
    ------
    InputError
        If there are no such faces, or a picture is gone; none is added then.
    """
    with locked_output(library.folder, "run that adds photos"):
        intake = _Intake(library, models)
        pictures = intake.pictures
        left_out = {each.id: each for each in pictures.left_out()}
        absent = [str(each) for each in found if each not in left_out]
        if absent:
            raise InputError(
                f"No face {enumerate_names(absent)} was left out of {library.folder}: see nsrfc library "
                f"left-out {library.folder}."
            )
        for each in (left_out[number] for number in found):
            if _file_of(pictures, each.picture) is None:
                raise InputError(
                    f"The picture {shown(each.photo)} of face {each.id} is no longer where it was: put "
                    f"it back, and run nsrfc photos."
                )
        pictures.judge(dict.fromkeys(found))
        return intake.fill()


def _unknown(
    paths: Sequence[Path], folder: Path, pictures: Pictures, progress: Progress
) -> list[list[tuple[Path, str]]]:
    """Return the files with content that is not known, copies together; keep what the others are."""
    known, new = pictures.contents(), dict[str, list[tuple[Path, str]]]()
    rows: list[tuple[str, str, int | None, str | None]] = []
    with progress.stage("looking at files", len(paths)) as advance:
        for path in paths:
            try:
                sha256 = file_hash(path)
            except OSError as error:
                rows.append((str(path), "", None, error.strerror or "it cannot be read"))
            else:
                if sha256 in known:
                    rows.append((str(path), sha256, known[sha256], None))
                else:
                    new.setdefault(sha256, []).append((path, sha256))
            advance(1)
    pictures.keep_files(rows)
    there = set(map(str, paths))
    inside = str(folder) + os.sep
    pictures.drop_files(
        path for path in pictures.paths() if path.startswith(inside) and path not in there
    )
    return list(new.values())


class _Intake:
    """Pictures on their way into a library.

    Parameters
    ----------
    library : Library
    models : Models

    Raises
    ------
    InputError
        If the library holds faces of another detector or embedder.
    """

    def __init__(self, library: Library, models: Models) -> None:
        _check_models(library, models)
        self.pictures = Pictures(library.folder)
        self._library, self._models = library, models
        self._found: dict[int, tuple[Floats, bytes]] = {}

    def search(self, copies: Sequence[tuple[Path, str]], name: str, limits: Limits) -> int | None:
        """Find and embed the faces in a picture, and keep where it is and what was found.

        Parameters
        ----------
        copies : sequence of (Path, str)
            Files with the same content, and its SHA-256.
        name : str
            What to call the picture.
        limits : Limits

        Returns
        -------
        int or None
            Number of faces that are left out; None if the picture cannot be read.
        """
        path, files = copies[0][0], [(str(path), sha256) for path, sha256 in copies]
        try:
            picture = read_picture(path)
        except InputError as error:
            why = str(error).removeprefix(f"{path}: ").removesuffix(".")
            self.pictures.keep_files((*file, None, why) for file in files)
            return None
        known = self.pictures.picture_of(picture.sha256)
        if known is not None:
            self.pictures.keep_files((*file, known, None) for file in files)
            return 0
        found = self._models.detector.detect(picture.pixels)
        crops = self._models.embedder.crops(picture.pixels, found.boxes, found.points)
        rows = zip(found.boxes.tolist(), found.points.tolist(), qualities(found, crops), strict=True)
        faces = [
            {"box": box, "points": points, "quality": quality, "reason": limits.reason(quality)}
            for box, points, quality in rows
        ]
        kept = [row for row, face in enumerate(faces) if face["reason"] is None]
        vectors = self._models.embedder.embed(crops[kept])
        images = [_thumbnail(picture.pixels, found.boxes[row].tolist()) for row in kept]
        height, width = picture.pixels.shape[:2]
        number = self.pictures.add(picture.sha256, name, (width, height), picture.taken, faces, files)
        ids = [each.id for each in self.pictures.faces_in([number]) if each.reason is None]
        self._found.update(zip(ids, zip(vectors, images, strict=True), strict=True))
        return len(faces) - len(kept)

    def keep_found(self) -> int:
        """Add the faces that were found since this was last called; return how many."""
        faces = [each for each in self.pictures.waiting() if each.id in self._found]
        rows = np.array([self._found[each.id][0] for each in faces], np.float32)
        images = [self._found[each.id][1] for each in faces]
        self._found.clear()
        return self._keep(faces, rows, images)

    def fill(self) -> int:
        """Embed the faces that the library does not hold though they are not left out."""
        waiting, count = self.pictures.waiting(), 0
        for picture in sorted({each.picture for each in waiting}):
            faces = [each for each in waiting if each.picture == picture]
            path = _file_of(self.pictures, picture)
            if path is None:
                self.pictures.judge(dict.fromkeys([each.id for each in faces], "the picture is gone"))
                continue
            pixels = read_picture(path).pixels
            boxes = np.array([each.box for each in faces], np.float32)
            points = np.array([each.points for each in faces], np.float32)
            embedder = self._models.embedder
            vectors = embedder.embed(embedder.crops(pixels, boxes, points))
            count += self._keep(faces, vectors, [_thumbnail(pixels, each.box) for each in faces])
        return count

    def _keep(self, faces: Sequence[FoundFace], vectors: Floats, thumbnails: Sequence[bytes]) -> int:
        """Add faces to the library, but for those that it got before a run was cut off."""
        store = self._library.store
        ids = store.ids_of([each.key for each in faces])
        known = {ids[each.key]: thumbnails[row] for row, each in enumerate(faces) if each.key in ids}
        if known:
            store.keep_thumbnails(known)
        new = [row for row, each in enumerate(faces) if each.key not in ids]
        if new:
            keys = [faces[row].key for row in new]
            added = self._library.add(
                vectors[new],
                keys=keys,
                photos=[faces[row].photo for row in new],
                taken=[faces[row].taken for row in new],
                thumbnails=[thumbnails[row] for row in new],
                join=False,
            )
            ids.update(zip(keys, added.tolist(), strict=True))
        self.pictures.place({each.id: ids[each.key] for each in faces})
        return len(new)


def _check_models(library: Library, models: Models) -> None:
    embedder, store = models.embedder, library.store
    kept = store.space.get("weights", "")
    if store.space.get("embedder") == embedder.name and kept not in ("", embedder.sha256):
        raise InputError(
            f"The faces in {library.folder} are of other weights of {embedder.name}, and the two cannot "
            f"be compared: make another library."
        )
    store.check_space(embedder.dimension, embedder.name)
    detector = Pictures(library.folder).setting("detector", models.detector.name)
    if detector != models.detector.name:
        raise InputError(
            f"The faces in {library.folder} were found by {detector}: give --detector {detector}, or "
            f"make another library."
        )


def _file_of(pictures: Pictures, picture: int) -> Path | None:
    """Return a file that still holds a picture."""
    return next(_unchanged(pictures.files_of(picture)), None)


def _unchanged(files: Sequence[tuple[str, str]]) -> Iterator[Path]:
    for path, sha256 in files:
        try:
            if file_hash(Path(path)) == sha256:
                yield Path(path)
        except OSError:
            continue


def _thumbnail(pixels: Picture, box: Sequence[float]) -> bytes:
    left, top, width, height = box
    file = io.BytesIO()
    thumbnail_of(pixels, (left, top, width, height), THUMBNAIL).save(file, "WEBP", quality=QUALITY)
    return file.getvalue()
