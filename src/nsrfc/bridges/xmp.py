"""Regions of faces in XMP, as the Metadata Working Group specifies them (mwg-rs, 2010).

An area is given by its centre and size, as shares of the picture *as it is stored*, whatever its EXIF
orientation; ``AppliedToDimensions`` is the size of the stored picture. What else a file holds stays as
it is, byte for byte: elements are found by their places in the file; regions are cut out and put in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from nsrfc.bridges.record import Box
from nsrfc.errors import InputError

__all__ = ["Region", "read_regions", "with_regions"]

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"

_OVERLAP = 0.5
"""Intersection over union from which on two areas are of one face."""

_DEEPEST = 100
"""Elements within each other; XMP needs a dozen."""

_TAG = re.compile(rb"<[^\s/>]+(?:\s+[^\s=/>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")

_NO_XMP = "The sidecar is no XMP in UTF-8: write it anew, or remove it."
_OTHER_FORM = "The sidecar holds regions in a form that cannot be added to: remove them from it first."

_EMPTY = """<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()


@dataclass(frozen=True)
class Region:
    """The region of a face.

    Attributes
    ----------
    name : str
        Empty if nobody named it.
    box : tuple of float
        Left, top, right and bottom, as shares of the picture as it is stored.
    """

    name: str
    box: Box

    def is_same(self, other: Region) -> bool:
        """Whether two regions are of one face, that is, mostly of one area."""
        width = min(self.box[2], other.box[2]) - max(self.box[0], other.box[0])
        height = min(self.box[3], other.box[3]) - max(self.box[1], other.box[1])
        if width <= 0 or height <= 0:
            return False
        both = width * height
        return both >= _OVERLAP * (_size(self.box) + _size(other.box) - both)


@dataclass
class _Element:
    name: str
    attributes: Mapping[str, str]
    start: int
    inner: int
    end: int = 0
    close: int = 0
    children: list[_Element] = field(default_factory=list)
    text: str = ""

    def walk(self) -> Iterator[_Element]:
        yield self
        for child in self.children:
            yield from child.walk()

    def value(self, space: str, name: str) -> str | None:
        """Value of a property, which RDF lets stand in an attribute or in an element, perhaps deeper."""
        for each in self.walk():
            if f"{space} {name}" in each.attributes:
                return each.attributes[f"{space} {name}"]
            if each.name == f"{space} {name}" and not each.children:
                return each.text.strip()
        return None


def read_regions(data: bytes) -> list[Region]:
    """Return the regions of faces in a sidecar, in its order.

    Raises
    ------
    InputError
        If it is no XMP.
    """
    found = (_region(item) for item in _items(_parsed(data)))
    return [region for region in found if region is not None]


def with_regions(data: bytes | None, regions: Sequence[Region], width: int, height: int) -> bytes:
    """Return a sidecar with the regions of some faces.

    Parameters
    ----------
    data : bytes or None
        The sidecar that is there; None if there is none. A region of the same face stays if it has the
        same name, and goes if not; all others stay.
    regions : sequence of Region
    width, height : int
        Of the picture as it is stored.

    Raises
    ------
    InputError
        If what is there is no XMP in UTF-8, or holds regions in a form that cannot be added to.
    """
    data = _EMPTY if data is None else data
    root = _parsed(data)
    there = [(item, region) for item in _items(root) if (region := _region(item)) is not None]
    cuts: list[tuple[int, int, bytes]] = []
    new = []
    for region in regions:
        same = [(item, other) for item, other in there if other.is_same(region)]
        if not any(other.name == region.name for _, other in same):
            new.append(region)
            cuts += [(*_with_line(data, item), b"") for item, _ in same]
    if not new:
        return data
    lists = [each for each in root.walk() if each.name == f"{_REGIONS} RegionList"]
    items = "".join(map(_as_item, new))
    if lists:
        (bag,) = lists[0].children if len(lists[0].children) == 1 else (None,)
        if bag is None or bag.name not in (f"{_RDF} Bag", f"{_RDF} Seq") or not bag.close:
            raise InputError(_OTHER_FORM)
        cuts.append((bag.close, bag.close, items.encode()))
    else:
        if any(each.name == f"{_REGIONS} Regions" for each in root.walk()):
            raise InputError(_OTHER_FORM)
        rdf = next((each for each in root.walk() if each.name == f"{_RDF} RDF"), None)
        if rdf is None or not rdf.close:
            raise InputError("The sidecar holds no RDF: write it anew, or remove it.")
        about = next((each.attributes.get(f"{_RDF} about", "") for each in rdf.children), "")
        block = _as_description(about, items, width, height)
        cuts.append((rdf.close, rdf.close, block.encode()))
    for start, end, text in sorted(set(cuts), reverse=True):
        data = data[:start] + text + data[end:]
    return data


def _parsed(data: bytes) -> _Element:
    """Parse XML into elements that know their places."""
    parser = expat.ParserCreate(namespace_separator=" ")
    top = _Element("", {}, 0, 0)
    path = [top]

    def start(name: str, attributes: dict[str, str]) -> None:
        place = parser.CurrentByteIndex
        tag = _TAG.match(data, place)
        if tag is None or len(path) > _DEEPEST:
            raise InputError(_NO_XMP)
        element = _Element(name, attributes, place, tag.end())
        path[-1].children.append(element)
        path.append(element)

    def end(_: str) -> None:
        element, place = path.pop(), parser.CurrentByteIndex
        if data[place : place + 2] == b"</":
            element.close, element.end = place, data.index(b">", place) + 1
        else:  # <a/>
            element.end = element.inner

    def text(part: str) -> None:
        path[-1].text += part

    def refused(*_: object) -> None:
        raise InputError(
            "The sidecar declares a document type, which XMP has not: write it anew, or remove it."
        )

    def declared(_: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
            raise InputError(_NO_XMP)

    parser.XmlDeclHandler = declared
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, refused
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InputError(_NO_XMP) from error
    return top


def _items(root: _Element) -> Iterator[_Element]:
    for each in root.walk():
        if each.name == f"{_REGIONS} RegionList":
            for bag in each.children:
                yield from (item for item in bag.children if item.name == f"{_RDF} li")


def _region(item: _Element) -> Region | None:
    """Return the region of a list item, if it is of a face and in shares of the picture."""
    if item.value(_REGIONS, "Type") not in (None, "Face"):
        return None
    try:
        x, y, w, h = (float(item.value(_AREA, name) or "") for name in "xywh")
    except ValueError:
        return None
    box = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return Region(item.value(_REGIONS, "Name") or "", box)


def _as_item(region: Region) -> str:
    left, top, right, bottom = region.box
    area = {"x": (left + right) / 2, "y": (top + bottom) / 2, "w": right - left, "h": bottom - top}
    values = "".join(f"<stArea:{name}>{value:.8f}</stArea:{name}>" for name, value in area.items())
    return (
        f'<rdf:li xmlns:rdf="{_RDF}" xmlns:mwg-rs="{_REGIONS}" xmlns:stArea="{_AREA}"'
        f' rdf:parseType="Resource"><mwg-rs:Name>{escape(region.name)}</mwg-rs:Name>'
        f'<mwg-rs:Type>Face</mwg-rs:Type><mwg-rs:Area rdf:parseType="Resource">{values}'
        f"<stArea:unit>normalized</stArea:unit></mwg-rs:Area></rdf:li>\n"
    )


def _as_description(about: str, items: str, width: int, height: int) -> str:
    about = escape(about, {'"': "&quot;"})
    return (
        f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about="{about}" xmlns:mwg-rs="{_REGIONS}"'
        f' xmlns:stDim="{_DIMENSIONS}"><mwg-rs:Regions rdf:parseType="Resource">'
        f'<mwg-rs:AppliedToDimensions rdf:parseType="Resource"><stDim:w>{width}</stDim:w>'
        f"<stDim:h>{height}</stDim:h><stDim:unit>pixel</stDim:unit></mwg-rs:AppliedToDimensions>"
        f"<mwg-rs:RegionList><rdf:Bag>\n{items}</rdf:Bag></mwg-rs:RegionList>"
        f"</mwg-rs:Regions></rdf:Description>\n"
    )


def _with_line(data: bytes, item: _Element) -> tuple[int, int]:
    """Return where an element that is taken out begins and ends: with the line break after it."""
    return item.start, item.end + (data[item.end : item.end + 1] == b"\n")


def _size(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
