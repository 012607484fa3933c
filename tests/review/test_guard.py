"""Who may speak to the server, and what its answers let a browser do."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx2 as httpx
import pytest

from nsrfc.errors import InputError
from nsrfc.library.library import Library
from nsrfc.review.server import Review
from tests.commands import refused
from tests.review.conftest import Served

DATA = ("/api/questions", "/api/people", "/api/group/c0", "/api/history", "/api/map", "/thumbnail/0")


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_data_needs_the_token(served: Served, path: str, token: str) -> None:
    headers = {b"X-Token": token.encode("latin-1")}
    answer = httpx.get(served.origin + path, headers=headers, params={"token": token})

    assert answer.status_code == 403
    assert "token" in answer.json()["error"]


def test_a_picture_takes_the_token_in_its_address_only(served: Served) -> None:
    with served.client() as client:
        assert client.get("/thumbnail/0").status_code == 403
        answer = client.get("/thumbnail/0", params={"token": served.review.token})

    assert answer.headers["content-type"] == "image/webp"
    assert answer.content == served.library.store.thumbnail(0)


def test_the_page_holds_no_token_and_no_data(served: Served) -> None:
    for path in ("/", "/page.js", "/page.css", "/page.svg"):
        answer = httpx.get(served.origin + path)
        assert answer.status_code == 200
        assert served.review.token not in answer.text
        assert served.folder.name not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}"]
)
def test_another_host_name_is_refused(served: Served, host: str) -> None:
    """A name that is bound to 127.0.0.1 later would let any page read the answers."""
    with served.client(Host=host.format(port=served.review.port)) as client:
        for path in ("/", "/api/people"):
            assert client.get(path).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
def test_another_origin_cannot_write(served: Served, origin: str) -> None:
    before = served.library.fingerprint()
    word = {"a": 0, "b": 1, "word": "yes"}
    with served.client(Origin=origin.format(port=served.review.port)) as client:
        assert client.post("/api/say/answer", json=word).status_code == 403

    assert served.library.history() == []
    assert served.library.fingerprint() == before


def test_writes_need_the_token_in_a_header(served: Served) -> None:
    """No form and no picture of another page can set it."""
    with served.client(**{"X-Token": ""}) as client:
        query = {"token": served.review.token}
        answer = client.post("/api/say/undo", params=query, json={"acts": [1]})

    assert answer.status_code == 403


def test_localhost_is_this_computer_as_well(served: Served) -> None:
    name = f"localhost:{served.review.port}"
    with served.client(Host=name, Origin=f"http://{name}") as client:
        assert client.post("/api/say/hide", json={"who": "p1", "hidden": True}).status_code == 409


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/people", "/api/nothing", "/thumbnail/99999"])
def test_every_answer_forbids_all_that_is_not_of_this_server(served: Served, path: str) -> None:
    with served.client() as client:
        headers = client.get(path).headers

    policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    for name in ("form-action", "base-uri", "frame-ancestors"):
        assert policy[name] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_it_listens_on_this_computer_only(served: Served) -> None:
    assert served.review._socket.getsockname()[0] == "127.0.0.1"


def test_each_start_has_a_token_of_its_own(drawn_library: Path) -> None:
    tokens = set()
    for _ in range(2):
        review = Review(drawn_library)
        tokens.add(review.token)
        assert review.address.endswith(f":{review.port}/#token={review.token}")
        review.close()
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 32


def test_a_port_that_is_in_use_is_refused(drawn_library: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"Port {port} cannot be used"):
            Review(drawn_library, port)


def test_only_a_library_that_was_clustered_is_reviewed(tmp_path: Path) -> None:
    assert "holds no library" in refused("review", tmp_path / "nothing", "--no-browser")
    Library.create(tmp_path / "empty")
    assert "was not clustered yet" in refused("review", tmp_path / "empty", "--no-browser")
