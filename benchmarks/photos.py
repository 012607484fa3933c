"""What pictures cost nsrfc photos: finding and embedding their faces, in processor time.

    python -m benchmarks.photos PICTURE ... [--detector NAME ...] [--embedder NAME] [--models FOLDER]

Each is measured as it is and three times as large. The figures of the docs are of the picture in
InsightFace's wheel, insightface/data/images/t1.jpg.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from nsrfc.photos.decoding import read_picture
from nsrfc.photos.faces import Picture
from nsrfc.photos.models import EMBEDDER, Models, load_models
from nsrfc.photos.registry import Registry

__all__ = ["main"]

DETECTORS = ("dlib-hog", "dlib-cnn")
ENLARGED = 3


def main() -> None:
    """Print one line for each picture and detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    parser.add_argument("--detector", nargs="+", default=DETECTORS)
    parser.add_argument("--embedder", default=EMBEDDER)
    parser.add_argument("--models", type=Path)
    given = parser.parse_args()
    registry = Registry.of(given.models)
    print(f"{'detector':<14} {'pixels':>12} {'faces':>6} {'find s':>8} {'embed s':>8}")
    for name in given.detector:
        models = load_models(registry, name, given.embedder, accepted=True)
        for path in given.pictures:
            pixels = read_picture(path).pixels
            height, width = pixels.shape[:2]
            large = Image.fromarray(pixels).resize((ENLARGED * width, ENLARGED * height))
            for picture in (pixels, np.asarray(large)):
                print(f"{name:<14} {measured(picture, models)}")


def measured(picture: Picture, models: Models) -> str:
    """Find and embed the faces of a picture, and return size, number of faces and seconds."""
    height, width = picture.shape[:2]
    started = time.process_time()
    found = models.detector.detect(picture)
    between = time.process_time()
    models.embedder.embed(models.embedder.crops(picture, found.boxes, found.points))
    seconds = between - started, time.process_time() - between
    return f"{f'{width} x {height}':>12} {len(found.scores):>6} {seconds[0]:>8.2f} {seconds[1]:>8.2f}"


if __name__ == "__main__":
    main()
