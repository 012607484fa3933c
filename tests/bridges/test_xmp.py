"""Sidecars with regions: what was written is read back, also by exiftool; the rest stays as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from nsrfc.bridges.pictures import Picture, look_at
from nsrfc.bridges.xmp import Region, read_regions, with_regions
from nsrfc.errors import InputError
from nsrfc.library.library import Library

from ..commands import refused, run
from .drawn import vectors

ANNA = Region("Anna", (0.1, 0.2, 0.3, 0.5))
BEN = Region("Bén & <Co> 本", (0.6, 0.2, 0.8, 0.5))

# As digiKam writes it: regions of its own, and fields that are none of ours.
DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
    xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"
    xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
   tiff:Orientation='6'>
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Ort/München &amp; Umland</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions stDim:w="4000" stDim:h="3000" stDim:unit="pixel"/>
    <mwg-rs:RegionList>
     <rdf:Bag>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Old name" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:x="0.2" stArea:y="0.35" stArea:w="0.21" stArea:h="0.31"
         stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li>
       <rdf:Description mwg-rs:Name="Carl" mwg-rs:Type="Face">
        <mwg-rs:Area stArea:x="0.9" stArea:y="0.9" stArea:w="0.1" stArea:h="0.1"
         stArea:unit="normalized"/>
       </rdf:Description>
      </rdf:li>
      <rdf:li rdf:parseType="Resource">
       <mwg-rs:Type>Focus</mwg-rs:Type>
       <mwg-rs:Area rdf:parseType="Resource"><stArea:x>0.2</stArea:x><stArea:y>0.35</stArea:y>
        <stArea:w>0.2</stArea:w><stArea:h>0.3</stArea:h><stArea:unit>normalized</stArea:unit></mwg-rs:Area>
      </rdf:li>
     </rdf:Bag>
    </mwg-rs:RegionList>
   </mwg-rs:Regions>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>""".encode()

# As darktable writes it: no regions, other line breaks, a comment.
DARKTABLE = (
    b'<?xml version="1.0" encoding="UTF-8"?>\r\n<!-- a > b -->\r\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\r\n'
    b' <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\r\n'
    b'  <r:Description r:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/"\r\n'
    b"   xmp:Label='5 > 4'/>\r\n"
    b" </r:RDF>\r\n</x:xmpmeta>\r\n"
)


def test_regions_are_read_back() -> None:
    data = with_regions(None, [ANNA, BEN], 4000, 3000)
    found = read_regions(data)
    assert [region.name for region in found] == [ANNA.name, BEN.name]
    np.testing.assert_allclose([r.box for r in found], [ANNA.box, BEN.box], atol=1e-7)
    assert with_regions(data, [ANNA, BEN], 4000, 3000) == data


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1),
            st.integers(0, 3),
        ),
        max_size=4,
        unique_by=lambda region: region[1],
    )
)
def test_any_name_is_read_back(people: list[tuple[str, int]]) -> None:
    regions = [Region(name.strip(), (n / 4, 0.1, n / 4 + 0.2, 0.3)) for name, n in people]
    names = [region.name for region in read_regions(with_regions(DARKTABLE, regions, 100, 100))]
    assert names == [region.name for region in regions]


def test_foreign_fields_stay_byte_for_byte() -> None:
    """Only the region of the same face goes; other people, and areas that are no face, stay."""
    data = with_regions(DIGIKAM, [ANNA, BEN], 4000, 3000)
    assert [region.name for region in read_regions(data)] == ["Carl", ANNA.name, BEN.name]
    start = DIGIKAM.index(b'<rdf:li>\n       <rdf:Description mwg-rs:Name="Old name"')
    end = DIGIKAM.index(b"</rdf:li>\n", start) + len(b"</rdf:li>\n")
    close = DIGIKAM.index(b"</rdf:Bag>")
    assert data.startswith(DIGIKAM[:start] + DIGIKAM[end:close])
    assert data.endswith(DIGIKAM[close:])
    assert with_regions(data, [ANNA, BEN], 4000, 3000) == data


def test_a_mark_of_the_order_of_bytes_is_no_harm() -> None:
    marked = b"\xef\xbb\xbf" + DIGIKAM
    data = with_regions(marked, [BEN], 4000, 3000)
    close = marked.index(b"</rdf:Bag>")
    assert data.startswith(marked[:close])
    assert data.endswith(marked[close:])


def test_a_sidecar_without_regions_gets_them_beside_what_it_has() -> None:
    data = with_regions(DARKTABLE, [ANNA], 4000, 3000)
    (found,) = read_regions(data)
    assert found.name == "Anna"
    np.testing.assert_allclose(found.box, ANNA.box, atol=1e-7)
    close = DARKTABLE.index(b"</r:RDF>")
    assert data.startswith(DARKTABLE[:close])
    assert data.endswith(DARKTABLE[close:])
    assert b'rdf:about="uuid:1"' in data  # all descriptions of a file are about one thing


@pytest.mark.parametrize(
    "data",
    [
        b"no xml",
        b"",
        DIGIKAM[:-200],
        DARKTABLE.decode().encode("utf-16"),
        DARKTABLE.replace(b"UTF-8", b"ISO-8859-1"),
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b"<x/>",
        DIGIKAM.replace(b"rdf:Bag", b"rdf:Alt"),
        b"<a>" * 1000 + b"</a>" * 1000,
    ],
)
def test_what_cannot_be_added_to_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"^The sidecar .*\.$"):
        with_regions(data, [ANNA], 4000, 3000)


def turned(shown: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera stores it that was held so."""
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return shown if stored is None else shown.transpose(stored)


def photographed(path: Path, orientation: int) -> tuple[int, int, int, int]:
    """Draw a red face on a picture of 320 x 200, as it is shown; return its box in pixels."""
    box = 40, 30, 90, 110
    shown = Image.new("RGB", (320, 200), "white")
    shown.paste((255, 0, 0), box)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned(shown, orientation).save(path, exif=exif)
    assert ImageOps.exif_transpose(Image.open(path)).tobytes() == shown.tobytes()
    return box


def red(picture: Image.Image) -> tuple[int, ...]:
    """Where the red is, in pixels."""
    rows, columns = np.nonzero((np.asarray(picture) == (255, 0, 0)).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_on_the_face_for_every_orientation(orientation: int, tmp_path: Path) -> None:
    """Regions are relative to the picture as it is stored; libraries know it as it is shown."""
    family, pictures = tmp_path / "family", tmp_path / "pictures"
    pictures.mkdir()
    path = pictures / "a.png"
    box = np.array(photographed(path, orientation)) / (320, 200, 320, 200)
    library = Library.create(family)
    library.add(vectors(1), photos=["a.png"], boxes=[box])
    library.name([0], "Anna")
    original = path.read_bytes()
    run("export", family, pictures, "--to", "xmp")
    (found,) = read_regions((pictures / "a.png.xmp").read_bytes())
    assert found.name == "Anna"
    picture = look_at(path)
    assert picture.orientation == orientation
    size = np.array([picture.width, picture.height] * 2)
    with Image.open(path) as image:
        np.testing.assert_allclose(found.box * size, red(image), atol=1)
    np.testing.assert_allclose(picture.shown(found.box), box, atol=1e-6)
    assert path.read_bytes() == original


def test_heic(tmp_path: Path) -> None:
    """pi-heif turns a picture when it reads it; its regions are those of the picture as it is stored."""
    pytest.importorskip("pi_heif", reason="HEIC is read where pi-heif is installed")
    shutil.copy(Path(__file__).parent / "data" / "upright_1.8.1.heic", tmp_path / "a.heic")
    library = Library.create(tmp_path / "family")
    shown = np.array((20, 4, 28, 20)) / (32, 64, 32, 64)  # turned by a quarter, clockwise
    library.add(vectors(1), photos=["a.heic"], boxes=[shown])
    library.name([0], "Anna")
    run("export", library.folder, tmp_path, "--to", "xmp")
    (found,) = read_regions((tmp_path / "a.heic.xmp").read_bytes())
    np.testing.assert_allclose(np.array(found.box) * (64, 32, 64, 32), (4, 4, 20, 12), atol=1e-4)
    assert look_at(tmp_path / "a.heic").shown_size == (32, 64)


@given(st.integers(1, 8), st.tuples(*[st.floats(0, 1)] * 4))
def test_turning_back_and_forth_changes_nothing(
    orientation: int, box: tuple[float, float, float, float]
) -> None:
    picture = Picture(4, 3, orientation)
    np.testing.assert_allclose(picture.shown(picture.stored(box)), box, atol=1e-12)


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """Anna is on a.jpg, c.jpg and gone.jpg; Ben on a.jpg, and somewhere on b.jpg; somebody on c.jpg."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in "abc":
        Image.new("RGB", (400, 300)).save(pictures / f"{name}.jpg")
    library = Library.create(tmp_path / "family")
    photos = [f"/data/{name}.jpg" for name in ("a", "a", "b", "c", "gone", "c")]
    boxes = np.tile((0.1, 0.2, 0.3, 0.5), (6, 1))
    boxes[1], boxes[2] = (0.6, 0.2, 0.8, 0.5), np.nan
    library.add(vectors(6), photos=photos, boxes=boxes)
    library.name([0, 3, 4], "Anna")
    library.name([1, 2], "Ben")
    return library.folder


def test_only_what_was_confirmed_is_written(family: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    (pictures / "c.jpg.xmp").write_bytes(DARKTABLE)
    command = "export", family, pictures, "--to", "xmp", "--prefix", "/data/"
    planned = run(*command, "--dry-run")
    assert "2 sidecars would be written" in planned
    assert (pictures / "c.jpg.xmp").read_bytes() == DARKTABLE
    assert not (pictures / "a.jpg.xmp").exists()
    assert "2 sidecars written, 3 faces" in run(*command)
    names = {
        path.name: [region.name for region in read_regions(path.read_bytes())]
        for path in pictures.glob("*.xmp")
    }
    assert names == {"a.jpg.xmp": ["Anna", "Ben"], "c.jpg.xmp": ["Anna"]}
    run("name", family, "Anna", "Anna Smith")
    run(*command)
    assert [r.name for r in read_regions((pictures / "a.jpg.xmp").read_bytes())] == ["Ben", "Anna Smith"]
    assert "0 sidecars written" in run(*command)


def test_hidden_people_stay_here(family: Path, tmp_path: Path) -> None:
    run("hide", family, "Anna")
    run("export", family, tmp_path / "pictures", "--to", "xmp", "--prefix", "/data/")
    (only,) = (tmp_path / "pictures").glob("*.xmp")
    assert [region.name for region in read_regions(only.read_bytes())] == ["Ben"]


def test_what_gets_no_sidecar_is_named_with_its_reason(family: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from nsrfc.cli import app

    pictures = tmp_path / "pictures"
    (pictures / "c.jpg.xmp").write_text("no xmp")
    command = ["export", str(family), str(pictures), "--to", "xmp", "--prefix", "/data/"]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0
    left = said.stderr.splitlines()
    assert [line.split(":")[1] for line in left] == [f" /data/{n}.jpg" for n in ("b", "c", "gone")]
    assert (pictures / "c.jpg.xmp").read_text() == "no xmp"


def test_a_photo_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    from nsrfc.bridges.pictures import located

    (tmp_path / "pictures").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"")
    (tmp_path / "pictures" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    for photo in ("../secret.jpg", str(tmp_path / "secret.jpg"), "/data/../secret.jpg", "link.jpg"):
        assert located(photo, tmp_path / "pictures") is None
        assert located(photo, tmp_path / "pictures", "/data/") is None


def test_exports_that_cannot_be_are_refused(family: Path, tmp_path: Path) -> None:
    assert "no folder" in refused("export", family, tmp_path / "nothing", "--to", "xmp")
    assert "--copy has no effect" in refused("export", family, tmp_path, "--to", "xmp", "--copy")
    empty = Library.create(tmp_path / "empty").folder
    assert "no confirmed face" in refused("export", empty, tmp_path / "pictures", "--to", "xmp")


def test_exiftool_reads_the_same(family: Path, tmp_path: Path) -> None:
    """Immich and PhotoPrism read sidecars by exiftool."""
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        assert "CI" not in os.environ, "there is no exiftool: apt-get install libimage-exiftool-perl"
        pytest.skip("there is no exiftool: apt-get install libimage-exiftool-perl")
    pictures = tmp_path / "pictures"
    (pictures / "a.jpg.xmp").write_bytes(DIGIKAM)
    run("export", family, pictures, "--to", "xmp", "--prefix", "/data/")
    for name, people in (("a.jpg.xmp", ["Carl", "Anna", "Ben"]), ("c.jpg.xmp", ["Anna"])):
        said = subprocess.run(
            [exiftool, "-json", "-struct", "-n", "-XMP:all", str(pictures / name)],
            capture_output=True,
            check=True,
        )
        regions = json.loads(said.stdout)[0]["RegionInfo"]["RegionList"]
        faces = [region for region in regions if region["Type"] == "Face"]
        assert [face["Name"] for face in faces] == people
        anna = next(face["Area"] for face in faces if face["Name"] == "Anna")
        assert (anna["Unit"], anna["X"], anna["W"]) == (
            "normalized",
            pytest.approx(0.2),
            pytest.approx(0.2),
        )
