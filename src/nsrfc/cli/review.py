"""``nsrfc review``: a page on this computer on which a human says who is who."""

from __future__ import annotations

from typing import Annotated

import typer

from nsrfc.cli.library import LibraryFolder


def run(
    folder: LibraryFolder,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Port on 127.0.0.1: any that is free.", show_default=False),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address, and open no browser.")
    ] = False,
) -> None:
    """Answer questions, name people, merge, split and undo, in a browser on this computer.

    Only this computer can open the page, and only by the address that is printed. What you say is kept
    at once; end with Ctrl+C.
    """
    import threading
    import webbrowser

    from nsrfc.errors import OptionalDependencyError

    try:
        from nsrfc.review.server import Review
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in ("starlette", "uvicorn"):
            raise
        raise OptionalDependencyError(package, "review") from None

    def ready(address: str) -> None:
        typer.echo(f"Review {folder} at {address}")
        if not no_browser:
            # A browser of the terminal would not return before it is closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    Review(folder, port or 0).serve(ready)
