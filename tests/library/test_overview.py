"""The report: one file that asks for nothing, runs nothing, and escapes what was written."""

from __future__ import annotations

import re
from base64 import b64encode
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nsrfc.errors import InputError
from nsrfc.library.library import Library
from nsrfc.synthetic import generate

JPEG = b"\xff\xd8\xff\xe0 picture of face "
EVIL = "<script>alert('x')</script>\"&<img src=x>"


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = Library.create(tmp_path_factory.mktemp("report") / "family")
    X = generate(400, "wild", seed=5).embeddings
    pictures = [JPEG + str(face).encode() for face in range(400)]
    library.add(X, keys=[f"{EVIL} {face}" for face in range(400)], thumbnails=pictures)
    library.cluster(None)
    groups = library.groups()
    library.name(groups[0].id, EVIL)
    library.hide(library.name(groups[1].id, "Somebody hidden"))
    return library


@pytest.fixture(scope="module")
def page(library: Library, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("out") / "report.html"
    library.report(path)
    return path.read_text(encoding="utf-8")


def test_it_asks_for_nothing_and_runs_nothing(page: str) -> None:
    tags = Tags(page)

    assert not re.search(r"https?://|url\(|@import", page)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    assert all(not name.startswith("on") for name, _ in tags.attributes)
    assert all(
        (value or "").startswith("data:image/") for name, value in tags.attributes if name == "src"
    )
    assert all(name not in ("href", "srcset", "xlink:href") for name, _ in tags.attributes)
    policy = next(
        value for name, value in tags.attributes if name == "content" and "default" in str(value)
    )
    assert "default-src 'none'" in str(policy)


def test_names_are_escaped(page: str) -> None:
    assert EVIL not in page
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&amp;" in page


def test_only_shown_faces_are_in_it_and_nobody_hidden(library: Library, page: str) -> None:
    assert "Somebody hidden" not in page
    shown = {int(face) for face in re.findall(r"<figcaption>(\d+)</figcaption>", page)}
    hidden = set(library.group("Somebody hidden").faces.tolist())
    assert shown
    assert not shown & hidden
    for face in range(400):
        assert (b64encode(JPEG + str(face).encode()).decode() + '"' in page) == (face in shown)


def test_it_says_how_much_there_is_and_what_is_least_sure(library: Library, page: str) -> None:
    assert '<th>faces<td class="n">400' in page
    sure = [float(value) for value in re.findall(r"confirmed, confidence (\d\.\d+)", page)]
    assert sure == sorted(sure)
    assert len(sure) == sum(len(group.faces) > 1 and not group.hidden for group in library.groups())
    assert page.count("<svg") >= len(library.questions(20))


def test_a_picture_of_an_unknown_format_is_not_shown(library: Library, tmp_path: Path) -> None:
    library.store.keep_thumbnails(dict.fromkeys(range(400), b"<svg onload=alert(1)>"))
    library.report(tmp_path / "report.html", places=3, pairs=0)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert page.count("<section>") == 3


def test_a_library_that_was_not_clustered_has_no_report(tmp_path: Path) -> None:
    library = Library.create(tmp_path / "new")
    with pytest.raises(InputError, match="not clustered yet"):
        library.report(tmp_path / "report.html")
