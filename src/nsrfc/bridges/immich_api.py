"""Names into immich, by its own API: its database is never written.

    GET  /api/people?page=1&size=1000&withHidden=true    who is there
    POST /api/people           {"name": "Anna"}          somebody who is not
    PUT  /api/faces/{person}   {"id": "{face}"}          this face is that person

In the last one the path names the *person* and the body the face, as face.controller.ts of immich says;
POST and PUT answer with the person. Doing it again changes nothing.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from nsrfc.bridges.confirmed import ConfirmedFace
from nsrfc.errors import InputError, shown
from nsrfc.progress import Progress

__all__ = ["KEY_VARIABLE", "Call", "Plan", "Server", "carry_out", "plan"]

KEY_VARIABLE = "IMMICH_API_KEY"
"""Environment variable with the key, which is given in no other way."""

_PREFIX = "immich:"
_ID = re.compile(r"[0-9A-Fa-f-]{36}")
_NUMBERED = re.compile(r"(.+) \(\d+\)")
_PAGE = 1000
_WAIT = 30.0
"""Seconds to wait for an answer."""


@dataclass(frozen=True)
class Call:
    """A call that changes something.

    Attributes
    ----------
    method, path : str
    body : dict
    new : str or None
        Name of a person who is still to be made, whose id the path ends with.
    """

    method: str
    path: str
    body: dict[str, str]
    new: str | None = None

    def in_words(self) -> str:
        """Return the call on one line."""
        end = "" if self.new is None else f"{{id of {self.new}}}"
        return f"{self.method} {self.path}{end} {json.dumps(self.body, ensure_ascii=False)}"

    def path_with(self, made: dict[str, str]) -> str:
        """Return the path, given the ids of the people who were made."""
        return self.path if self.new is None else self.path + made[self.new]


@dataclass
class Plan:
    """All calls that are to be made, and what is left out."""

    calls: list[Call] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


class Server:
    """A server of immich.

    Parameters
    ----------
    address : str
        Such as ``http://localhost:2283``.
    key : str
        API key.
    """

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"{shown(address)} is no address of a server: give one such as http://localhost:2283."
            )
        if not key or not key.isascii() or not key.isprintable():
            raise InputError(
                f"Give an API key of immich in the environment variable {KEY_VARIABLE}: make one in its "
                f"account settings."
            )
        self.address, self._key = address.rstrip("/"), key
        # A key must not follow a redirect to another server.
        self._opener = build_opener(_NoRedirect)

    def call(self, method: str, path: str, body: dict[str, str] | None = None) -> object:
        """Make a call, and return its answer.

        Raises
        ------
        InputError
            If the server is not there, refuses the call, or does not answer with JSON.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"x-api-key": self._key, "Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = Request(self.address + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=_WAIT) as answer:
                return json.loads(answer.read() or b"null")
        except HTTPError as error:
            error.close()
            why = {
                401: "check the API key",
                403: "give the API key the permissions for people and faces",
            }
            raise InputError(
                f"{self.address} refused {method} {path} ({error.code}): "
                f"{why.get(error.code, 'check that it is an immich whose faces these are')}."
            ) from error
        except (URLError, OSError, ValueError) as error:
            raise InputError(
                f"{self.address} does not answer as immich does: check the address, and that it runs."
            ) from error

    def people(self) -> dict[str, list[str]]:
        """Return the ids of all people, by name."""
        found: dict[str, list[str]] = defaultdict(list)
        for page in range(1, _PAGE):
            answer = self.call("GET", f"/api/people?page={page}&size={_PAGE}&withHidden=true")
            if not isinstance(answer, dict) or not isinstance(answer.get("people"), list):
                raise InputError(f"{self.address} does not answer as immich does: check the address.")
            for person in answer["people"]:
                if person.get("name") and _ID.fullmatch(str(person.get("id"))):
                    found[person["name"]].append(person["id"])
            if not answer.get("hasNextPage"):
                break
        return dict(found)


def plan(faces: list[ConfirmedFace], server: Server) -> Plan:
    """Ask who is there, and say what is to be called; nothing is changed.

    Only faces that came from immich are known to it.

    Raises
    ------
    InputError
        If no face came from immich, or the server does not answer.
    """
    of_immich = [face for face in faces if _own(face) is not None]
    if not of_immich:
        raise InputError(
            "No confirmed face came from immich, which knows only its own: import them with nsrfc "
            "import first, or write XMP for it."
        )
    there, made = server.people(), Plan()
    people: dict[str, list[ConfirmedFace]] = defaultdict(list)
    for face in of_immich:
        people[face.name].append(face)
    for name, own in sorted(people.items()):
        ids, base = there.get(name, []), _NUMBERED.fullmatch(name)
        if not ids and base is not None and base[1] in there:
            # That is how people of one name are told apart here.
            made.left_out.append(f"{name}: immich has somebody called {base[1]}; name them apart there")
            continue
        if len(ids) > 1:
            made.left_out.append(f"{name}: immich has {len(ids)} people of this name; merge them there")
            continue
        if not ids:
            made.calls.append(Call("POST", "/api/people", {"name": name}))
        path, new = (f"/api/faces/{ids[0]}", None) if ids else ("/api/faces/", name)
        made.calls += [Call("PUT", path, {"id": str(_own(face))}, new) for face in own]
    return made


def carry_out(made: Plan, server: Server, progress: Progress | None = None) -> int:
    """Make the calls of a plan, in its order.

    Returns
    -------
    int
        Number of calls.

    Raises
    ------
    InputError
        If one is refused; those before it count, and the same command goes on.
    """
    new: dict[str, str] = {}
    with (progress or Progress()).stage("calls", len(made.calls)) as advance:
        for call in made.calls:
            answer = server.call(call.method, call.path_with(new), call.body)
            if call.method == "POST":
                person = answer.get("id") if isinstance(answer, dict) else None
                if not isinstance(person, str) or not _ID.fullmatch(person):
                    raise InputError(
                        f"{server.address} does not answer as immich does: check the address."
                    )
                new[call.body["name"]] = person
            advance(1)
    return len(made.calls)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _own(face: ConfirmedFace) -> str | None:
    """Return immich's own id of a face; None of a face from elsewhere."""
    own = (face.key or "").removeprefix(_PREFIX)
    return own if face.key is not None and face.key.startswith(_PREFIX) and _ID.fullmatch(own) else None
