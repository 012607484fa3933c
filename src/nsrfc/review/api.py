"""What the page asks for and says, as JSON.

| path                      | answer                                                            |
|---------------------------|-------------------------------------------------------------------|
| `GET /api/questions`      | pairs of faces to be answered                                     |
| `GET /api/people`         | persons and clusters: `kind`, `search`, `offset`, `limit`         |
| `GET /api/group/ID`       | one person or cluster, with a page of its faces                   |
| `GET /api/split/ID`       | those of its faces that may be somebody else                      |
| `GET /api/history`        | acts, the last one first: `offset`, `limit`                       |
| `GET /api/map`            | some points, as the background of the map                         |
| `GET /thumbnail/FACE`     | a picture                                                         |
| `POST /api/say/WORD`      | one of `nsrfc.review.words`                                       |

Lists say with `current` whether they are of the present, or were found before the last act. What cannot
be is answered with a sentence, and the status 409.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nsrfc.errors import NsrfcError
from nsrfc.library.library import Group
from nsrfc.review.guard import MOST_BYTES, PAGE
from nsrfc.review.session import SameNameError, Session, mark
from nsrfc.review.words import WORDS

__all__ = ["application"]

BESIDE = 5
"""Other faces of a group that are shown beside a question."""

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_PICTURES = {b"RIFF": "image/webp", b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}


class _Asked(BaseModel):
    """The query of an address."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["people", "clusters", "hidden"] = "people"
    search: str = Field("", max_length=200)
    offset: int = Field(0, ge=0, lt=2**31)
    limit: int = Field(60, ge=1, le=500)


def application(session: Session) -> Starlette:
    """Return the application, still unguarded.

    Parameters
    ----------
    session : Session
    """
    views = _Views(session)
    routes = [
        *(Route(path, _static(name)) for path, name in PAGE.items()),
        Route("/api/questions", views.questions),
        Route("/api/people", views.people),
        Route("/api/group/{who}", views.group),
        Route("/api/split/{who}", views.split),
        Route("/api/history", views.history),
        Route("/api/map", views.map),
        Route("/api/say/{word}", views.say, methods=["POST"]),
        Route("/thumbnail/{face:int}", views.thumbnail),
    ]
    handlers: Any = {
        NsrfcError: _refused,
        ValidationError: _malformed,
        HTTPException: lambda _, error: JSONResponse({"error": error.detail}, error.status_code),
    }
    return Starlette(routes=routes, exception_handlers=handlers)


class _Views:
    """The answers, given a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def questions(self, request: Request) -> Response:
        asked = _asked(request)
        snapshot, current = self._session.latest(questions=True)
        there = [
            question
            for question in snapshot.questions
            if all(group in snapshot.groups for group in question.groups)
        ]
        beside = {
            (question.a, question.b, side): _beside(snapshot.groups[group], (question.a, question.b))
            for question in there[: asked.limit]
            for side, group in enumerate(question.groups)
        }
        wanted = [face for key, faces in beside.items() for face in (*key[:2], *faces)]
        wanted += [snapshot.groups[group].cover for each in there for group in each.groups]
        known = self._session.described(wanted)
        shown = [
            {
                "a": known.get(each.a),
                "b": known.get(each.b),
                "probability": each.probability,
                "groups": [
                    {
                        **_brief(snapshot.groups[group], known),
                        "beside": _known(beside[each.a, each.b, side], known),
                    }
                    for side, group in enumerate(each.groups)
                ],
            }
            for each in there[: asked.limit]
            if each.a in known and each.b in known
        ]
        return JSONResponse({"current": current, "questions": shown})

    def people(self, request: Request) -> Response:
        asked = _asked(request)
        snapshot, current = self._session.latest()
        kinds: dict[str, list[Group]] = {"people": [], "clusters": [], "hidden": []}
        for group in snapshot.groups.values():
            person = "people" if group.id.startswith("p") else "clusters"
            kinds["hidden" if group.hidden else person].append(group)
        search = asked.search.strip().casefold()
        found = [
            group
            for group in kinds[asked.kind]
            if not search or search in (group.name or "").casefold() or search == group.id
        ]
        page = found[asked.offset : asked.offset + asked.limit]
        known = self._session.described([group.cover for group in page])
        return JSONResponse(
            {
                "current": current,
                "library": self._session.folder.resolve().name,
                "counts": {kind: len(groups) for kind, groups in kinds.items()},
                "total": len(found),
                "groups": [_brief(group, known) for group in page],
            }
        )

    def group(self, request: Request) -> Response:
        asked, who = _asked(request), request.path_params["who"]
        snapshot, current = self._session.latest()
        group = snapshot.groups.get(who)
        if group is None:
            group = next((each for each in snapshot.groups.values() if f"c{each.cluster}" == who), None)
        if group is None:
            answer = {"current": current, "error": f"There is no {who} any more, or not yet."}
            return JSONResponse(answer, 404)
        # Those that were not confirmed come first: they are what there is to be done.
        confirmed = np.isin(group.faces, group.confirmed)
        order = np.concatenate((group.faces[~confirmed], group.faces[confirmed]))
        page = order[asked.offset : asked.offset + asked.limit].tolist()
        known = self._session.described([*page, group.cover])
        sure = set(group.confirmed.tolist())
        faces = [{**face, "confirmed": face["id"] in sure} for face in _known(page, known)]
        return JSONResponse({"current": current, "group": _brief(group, known), "faces": faces})

    def split(self, request: Request) -> Response:
        return JSONResponse({"faces": self._session.suggested_split(request.path_params["who"])})

    def history(self, request: Request) -> Response:
        asked = _asked(request)
        entries = self._session.library.history()[::-1]
        page = entries[asked.offset : asked.offset + asked.limit]
        shown = [
            {
                "number": each.number,
                "at": each.at,
                "words": each.words,
                "counts": each.counts,
                "who": each.act.person,
            }
            for each in page
        ]
        return JSONResponse({"current": True, "total": len(entries), "acts": shown})

    def map(self, request: Request) -> Response:
        return JSONResponse({"points": self._session.cloud()})

    def thumbnail(self, request: Request) -> Response:
        image = self._session.library.store.thumbnail(request.path_params["face"])
        if image is None:
            raise HTTPException(404, "There is no picture of this face.")
        kinds = (kind for start, kind in _PICTURES.items() if image.startswith(start))
        return Response(image, media_type=next(kinds, "application/octet-stream"))

    async def say(self, request: Request) -> Response:
        kind = WORDS.get(request.path_params["word"])
        if kind is None:
            raise HTTPException(404, "There is no such word.")
        word = kind.model_validate_json(await _body(request))
        acts, who, words = await run_in_threadpool(self._session.say, word)
        return JSONResponse({"acts": acts, "who": who, "words": words})


def _static(name: str) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        content = (files("nsrfc.review") / name).read_bytes()
        return Response(content, media_type=_TYPES[name[name.rindex(".") :]])

    return page


def _asked(request: Request) -> _Asked:
    return _Asked.model_validate(dict(request.query_params))


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "This is too much at once.")
    return body


def _refused(request: Request, error: NsrfcError) -> Response:
    answer: dict[str, Any] = {"error": str(error)}
    if isinstance(error, SameNameError):
        other = error.other
        answer["same"] = {"id": other.id, "name": other.name, "count": len(other.faces)}
    return JSONResponse(answer, 409)


def _malformed(request: Request, error: ValidationError) -> Response:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return JSONResponse({"error": f"{place}: {first['msg']}." if place else f"{first['msg']}."}, 400)


def _brief(group: Group, known: dict[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "count": len(group.faces),
        "confirmed": len(group.confirmed),
        "cover": known.get(group.cover),
        "hidden": group.hidden,
        "birth": group.birth,
        "seen": mark(group),
    }


def _known(faces: Sequence[int], known: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Descriptions of faces that were not forgotten meanwhile."""
    return [known[face] for face in faces if face in known]


def _beside(group: Group, asked: tuple[int, int]) -> list[int]:
    """Return a few other faces of a group: confirmed ones if there are some, from all over it."""
    some = group.confirmed if len(group.confirmed) > BESIDE else group.faces
    others = some[~np.isin(some, asked)]
    return (
        others[np.unique(np.linspace(0, len(others) - 1, BESIDE).astype(int))].tolist()
        if len(others)
        else []
    )
