"""The server of the page: on 127.0.0.1, with a token that only its address tells."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from nsrfc.errors import InputError
from nsrfc.review.api import application
from nsrfc.review.guard import Guard
from nsrfc.review.session import Session

__all__ = ["Review"]

HOST = "127.0.0.1"


class Review:
    """A library, the page on which it is reviewed, and its server.

    Parameters
    ----------
    folder : Path
    port : int
        0: any that is free.

    Raises
    ------
    InputError
        If there is no library that was clustered, or the port cannot be used.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._socket = _listening(port)
        try:
            self._session = Session(folder)
        except BaseException:
            self._socket.close()
            raise
        self._token = secrets.token_urlsafe(24)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            Guard(application(self._session), self._token, self.port),
            log_level="warning",
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            server_header=False,
        )
        self._server = uvicorn.Server(config)

    @property
    def token(self) -> str:
        """What every request needs."""
        return self._token

    @property
    def address(self) -> str:
        """Where the page is, with the token; what follows a ``#`` is not sent over the network."""
        return f"http://{HOST}:{self.port}/#token={self._token}"

    def serve(self, ready: Callable[[str], None] | None = None) -> None:
        """Answer until :meth:`stop` is called, or the process is interrupted.

        Parameters
        ----------
        ready : callable, optional
            Called with the address before the first request is answered; requests wait till then.
        """
        if ready is not None:
            ready(self.address)
        try:
            self._server.run(sockets=[self._socket])
        except KeyboardInterrupt:
            pass  # how a human ends it
        finally:
            self.close()

    def close(self) -> None:
        """Free the port and the library."""
        self._session.close()
        self._socket.close()

    def stop(self) -> None:
        """Let :meth:`serve` return."""
        self._server.should_exit = True


def _listening(port: int) -> socket.socket:
    # asyncio sends small packets at once (TCP_NODELAY) only where the protocol is named, as
    # `socket.create_server` does not: each answer would wait 40 ms for an acknowledgement.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise InputError(
            f"Port {port} cannot be used ({error.strerror}): give another --port, or none for any that "
            f"is free."
        ) from None
    return listening
