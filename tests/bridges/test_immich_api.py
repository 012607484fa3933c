"""Names into immich: a server of HTTP receives exactly the calls that a dry run prints."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from nsrfc.library.library import Library

from ..commands import refused, run
from .drawn import vectors

KEY = "secret-key"
FACES = [str(uuid.UUID(int=n)) for n in range(6)]
ANNA, BEN = str(uuid.UUID(int=100)), str(uuid.UUID(int=101))


class Immich(ThreadingHTTPServer):
    """What of immich's API is used: people in pages, POST /api/people, PUT /api/faces/{person}."""

    def __init__(self) -> None:
        self.people = [{"id": ANNA, "name": "Anna"}, {"id": str(uuid.UUID(int=102)), "name": ""}]
        self.faces = dict.fromkeys(FACES[:5], "")
        self.changed: list[str] = []
        self.status = 0
        self.page_size = 1
        super().__init__(("127.0.0.1", 0), Calls)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answered(self, method: str, path: str, body: dict[str, str]) -> tuple[int, object]:
        parts = urlsplit(path)
        if self.status:
            return self.status, {}
        if method == "GET" and parts.path == "/api/people":
            page = int(parse_qs(parts.query)["page"][0])
            start = (page - 1) * self.page_size
            shown = self.people[start : start + self.page_size]
            more = start + self.page_size < len(self.people)
            return 200, {"people": shown, "total": len(self.people), "hasNextPage": more}
        self.changed.append(f"{method} {path} {json.dumps(body, ensure_ascii=False)}")
        if method == "POST" and parts.path == "/api/people":
            self.people.append({"id": BEN, "name": body["name"]})
            return 201, self.people[-1]
        person = parts.path.removeprefix("/api/faces/")
        if method == "PUT" and body["id"] in self.faces and any(p["id"] == person for p in self.people):
            self.faces[body["id"]] = person
            return 200, {"id": person}
        return 400, {"message": "Not found"}


class Calls(BaseHTTPRequestHandler):
    server: Immich

    def answer(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else {}
        status: int = 401
        found: object = None
        if self.headers["x-api-key"] == KEY:
            status, found = self.server.answered(self.command, self.path, body)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    do_GET = do_POST = do_PUT = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def immich(monkeypatch: pytest.MonkeyPatch) -> Iterator[Immich]:
    monkeypatch.setenv("IMMICH_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Immich() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def family(tmp_path: Path) -> Path:
    """Anna has two faces of immich and one from elsewhere, Ben one; two are nobody's."""
    library = Library.create(tmp_path / "family")
    keys = [*(f"immich:{face}" for face in FACES[:5]), "photoprism:m1"]
    library.add(vectors(6), keys=keys)
    library.name([0, 1, 5], "Anna")
    library.name([2], "Ben")
    return library.folder


def test_the_server_receives_what_a_dry_run_prints(immich: Immich, family: Path) -> None:
    command = "export", family, immich.address, "--to", "immich"
    printed = run(*command, "--dry-run").splitlines()
    assert immich.changed == []
    assert printed == [
        f'PUT /api/faces/{ANNA} {{"id": "{FACES[0]}"}}',
        f'PUT /api/faces/{ANNA} {{"id": "{FACES[1]}"}}',
        'POST /api/people {"name": "Ben"}',
        f'PUT /api/faces/{{id of Ben}} {{"id": "{FACES[2]}"}}',
    ]
    assert run(*command) == f"4 calls to {immich.address}.\n"
    assert immich.changed == [line.replace("{id of Ben}", BEN) for line in printed]
    assert immich.faces == dict(zip(FACES[:5], (ANNA, ANNA, BEN, "", ""), strict=True))


def test_doing_it_again_makes_nobody_twice(immich: Immich, family: Path) -> None:
    command = "export", family, immich.address, "--to", "immich"
    run(*command)
    people, faces = list(immich.people), dict(immich.faces)
    run(*command)
    assert (immich.people, immich.faces) == (people, faces)


def test_a_name_that_several_people_have_is_left_out(immich: Immich, family: Path) -> None:
    immich.people.append({"id": str(uuid.UUID(int=103)), "name": "Anna"})
    assert "2 calls" in run("export", family, immich.address, "--to", "immich")
    assert set(immich.faces.values()) == {"", BEN}


def test_people_of_one_name_are_not_made_anew(immich: Immich, family: Path) -> None:
    """Two people of immich called Anna are Anna and Anna (2) here."""
    run("name", family, "Ben", "Anna (2)")
    assert "2 calls" in run("export", family, immich.address, "--to", "immich")
    assert set(immich.faces.values()) == {"", ANNA}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "check the API key"),
        (403, "give the API key the permissions"),
        (500, "check that"),
        (302, "check that"),
    ],
)
def test_refusals_are_one_sentence(status: int, why: str, immich: Immich, family: Path) -> None:
    immich.status = status
    line = refused("export", family, immich.address, "--to", "immich")
    assert why in line
    assert KEY not in line


def test_what_cannot_be_is_refused(
    immich: Immich, family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no address of a server" in refused("export", family, "file:///etc", "--to", "immich")
    assert "does not answer" in refused("export", family, "http://127.0.0.1:1", "--to", "immich")
    library = Library.create(tmp_path / "other")
    library.add(vectors(1), keys=["mine"])
    library.name([0], "Anna")
    assert "only its own" in refused("export", library.folder, immich.address, "--to", "immich")
    del immich.faces[FACES[1]]  # deleted over there
    assert "refused PUT" in refused("export", family, immich.address, "--to", "immich")
    monkeypatch.delenv("IMMICH_API_KEY")
    assert "IMMICH_API_KEY" in refused("export", family, immich.address, "--to", "immich")
