"""Pictures as they are meant to be seen, whatever the file; and reasons for those that are none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nsrfc.errors import InputError
from nsrfc.photos.decoding import pictures_in, read_picture

ORIENTATIONS = range(1, 9)
MORE: dict[str, dict[str, Any]] = {
    ".webp": {"lossless": True},
    ".jpg": {"quality": 95, "subsampling": 0},
}
TAG, FOLDER, TAKEN, CHANGED = 0x0112, 0x8769, 0x9003, 0x0132


def scene() -> Image.Image:
    """Four different corners, 48 x 32 pixels."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:] = (250, 20, 20), (20, 250, 20)
    pixels[16:, :24], pixels[16:, 24:] = (20, 20, 250), (240, 240, 240)
    return Image.fromarray(pixels)


def stored(image: Image.Image, orientation: int) -> Image.Image:
    """Return the pixels as a camera stores them that writes this orientation beside them."""
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image if orientation == 1 else image.transpose(inverse[orientation])


def exif(orientation: int = 1, taken: str | None = None) -> Image.Exif:
    tags = Image.Exif()
    tags[TAG] = orientation
    if taken is not None:
        tags[FOLDER] = {TAKEN: taken}
    return tags


def pixels_of(path: Path) -> npt.NDArray[np.uint8]:
    return read_picture(path).pixels


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
def test_a_picture_is_upright(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    more = MORE.get(suffix, {})
    stored(scene(), orientation).save(path, exif=exif(orientation), **more)
    off = np.abs(pixels_of(path).astype(int) - np.asarray(scene()))

    assert off.max() <= (16 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_heic_is_upright(orientation: int, tmp_path: Path) -> None:
    pytest.importorskip("pi_heif", reason="the extra photos is not installed")
    writer = pytest.importorskip("pillow_heif", reason="pi-heif does not write")
    path, large = tmp_path / "picture.heic", scene().resize((480, 320), Image.Resampling.NEAREST)
    heic = writer.from_pillow(stored(large, orientation))
    heic.save(path, quality=90, exif=exif(orientation, "2012:05:31 18:20:01").tobytes())
    found = read_picture(path)

    assert found.pixels.shape == (320, 480, 3)
    places = (slice(80, None, 160), slice(120, None, 240))
    assert np.abs(found.pixels[places].astype(int) - np.asarray(large)[places]).max() < 30
    assert found.taken == "2012-05-31"


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        ("2012:05:31 18:20:01", "2012-05-31"),
        ("2012-05-31T18:20", "2012-05-31"),
        ("0000:00:00 00:00:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_date_is_that_of_the_camera(taken: str | None, expected: str | None, tmp_path: Path) -> None:
    scene().save(tmp_path / "a.jpg", exif=exif(taken=taken))

    assert read_picture(tmp_path / "a.jpg").taken == expected


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "CMYK", "1", "I;16"])
def test_other_modes_become_rgb(mode: str, tmp_path: Path) -> None:
    grey = Image.new("L", (20, 10), 128)
    if mode == "I;16":
        image = Image.fromarray(np.full((10, 20), 128 * 257, np.uint16))
    else:
        image = grey.convert("RGB").convert(mode) if mode == "CMYK" else grey.convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    pixels = pixels_of(path)

    assert pixels.shape == (10, 20, 3)
    assert pixels.dtype == np.uint8
    assert mode == "1" or np.abs(pixels.astype(int) - 128).max() <= 2


def test_metadata_does_not_change_what_a_picture_is(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.png")
    stored(scene(), 6).save(tmp_path / "b.png", exif=exif(6, "2012:05:31 18:20:01"))
    scene().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "c.png")
    sums = {path.stem: read_picture(path).sha256 for path in tmp_path.iterdir()}

    assert sums["a"] == sums["b"] != sums["c"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no picture"),
        (b"no picture at all", "damaged, or no picture"),
        ("cut", "truncated"),
        ("folder", "irectory"),
        (None, "it is gone"),
    ],
)
def test_what_cannot_be_read_has_a_reason(content: bytes | str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if content == "cut":
        Image.effect_noise((300, 300), 60).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[:9000])
    elif content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(InputError, match=why) as refused:
        read_picture(path)

    assert str(refused.value).startswith(f"{path}: ")
    assert str(refused.value).count(str(path)) == 1


def test_pictures_are_listed_in_order_and_others_counted(tmp_path: Path) -> None:
    for name in (
        "b/2.JPG",
        "b/1.heic",
        "a.png",
        "c.tiff",
        "c.cr2",
        "c.mov",
        "d.mov",
        ".hidden/x.jpg",
        "README",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    found = pictures_in(tmp_path)

    assert [str(path.relative_to(tmp_path)) for path in found.pictures] == [
        "a.png",
        "c.tiff",
        "b/1.heic",
        "b/2.JPG",
    ]
    assert found.others == {".mov": 2, ".cr2": 1, "without a suffix": 1}
    assert not found.problems


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).touch()
    found = pictures_in(tmp_path)

    assert not found.pictures
    assert "UTF-8" in found.problems[0][1]


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        pictures_in(tmp_path / "absent")
