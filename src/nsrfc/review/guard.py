"""Who may speak to the server: the page that it served itself, and only with the token.

Any page in the browser, and any program of this computer, can send requests to a port on 127.0.0.1.
Hence every request must name this server as its host, which a name that was bound to 127.0.0.1 later
(DNS rebinding) does not; everything but the page itself, which holds no data, needs the token; and what
writes must come from this origin.
"""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MOST_BYTES", "PAGE", "Guard"]

PAGE = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css", "/page.svg": "page.svg"}
"""Paths that need no token."""

MOST_BYTES = 8 * 2**20
"""Most that a request may send: the numbers of a million faces."""

_PICTURES = "/thumbnail/"
"""Paths below it have the token in their query, as a picture has no headers."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Faces shall not outlive the library in the files of a browser.
    "Cache-Control": "no-store",
}


class Guard:
    """Answer only what comes from the page, and tell the browser to ask nothing of others.

    Parameters
    ----------
    app : ASGI application
    token : str
    port : int
        On which the server listens.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token.encode()
        names = ("127.0.0.1", "localhost", "[::1]")
        self._hosts = {f"{name}:{port}" for name in names}
        if port == 80:
            self._hosts |= set(names)
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        refused = self._refusal(scope)
        answer = self._app if refused is None else JSONResponse({"error": refused}, 403)
        await answer(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:
            return "This server answers only at the address that nsrfc review printed."
        if scope["method"] not in ("GET", "HEAD") and headers.get("origin") not in self._origins:
            return "Only the page of nsrfc review may write."
        path = scope["path"]
        if path in PAGE:
            return None
        given = headers.get("x-token", "")
        if path.startswith(_PICTURES):
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not secrets.compare_digest(given.encode(), self._token):
            return (
                "The token is missing or of another session: open the address that nsrfc review printed."
            )
        return None
