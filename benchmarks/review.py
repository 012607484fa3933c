"""How long the page of `nsrfc review` waits for its server.

    python -m benchmarks.review --faces 100000

A library of generated faces, half of them with a picture, is clustered by rules and served. Each request
is made many times, one after another, over the loopback interface as by a browser. Prints median, 95th
percentile and maximum of the milliseconds until an answer was read.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nsrfc import Library
from nsrfc.review.server import Review
from nsrfc.synthetic import generate

PICTURE = 2_000
"""Bytes of a picture."""


class Client:
    """The page, as far as it speaks to the server."""

    def __init__(self, review: Review) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", review.port)
        origin = f"http://127.0.0.1:{review.port}"
        self._headers = {"X-Token": review.token, "Origin": origin}
        self._token = review.token

    def ask(self, path: str, body: object = None) -> Any:  # noqa: ANN401
        """Return the JSON of an answer, or its bytes."""
        kind, content = ("GET", None) if body is None else ("POST", json.dumps(body))
        self._connection.request(kind, path, content, self._headers)
        reply = self._connection.getresponse()
        read = reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{path}: {reply.status} {read[:500]!r}")
        return json.loads(read) if "json" in reply.headers["Content-Type"] else read

    def picture(self, face: int) -> bytes:
        """Return a picture."""
        image: bytes = self.ask(f"/thumbnail/{face}?token={self._token}")
        return image

    def settled(self) -> float:
        """Return the seconds until questions are of the present."""
        start = time.perf_counter()
        while not self.ask("/api/questions?limit=1")["current"]:
            time.sleep(0.1)
        return time.perf_counter() - start


def timed(name: str, count: int, request: Callable[[int], object]) -> None:
    """Time a request, and print it."""
    found = []
    for turn in range(count):
        start = time.perf_counter()
        request(turn)
        found.append(1000 * (time.perf_counter() - start))
    median, high = np.percentile(found, (50, 95))
    print(f"{name:<44}{median:>8.1f}{high:>8.1f}{max(found):>8.1f}", flush=True)


def measure(client: Client) -> None:
    """Time everything that the page asks for."""
    print(f"questions after {client.settled():.1f} s")
    print(f"{'milliseconds':<44}{'median':>8}{'95 %':>8}{'max':>8}")
    clusters = client.ask("/api/people?kind=clusters&limit=200")["groups"]
    questions = client.ask("/api/questions?limit=60")["questions"]
    timed("people", 40, lambda _: client.ask("/api/people?kind=clusters&limit=60"))
    timed("people, far down", 40, lambda _: client.ask("/api/people?kind=clusters&offset=4000"))
    timed("one person", 40, lambda turn: client.ask(f"/api/group/{clusters[turn]['id']}?limit=120"))
    timed("questions", 40, lambda _: client.ask("/api/questions?limit=60"))
    timed("picture", 200, lambda turn: client.picture(2 * turn))
    words = ("yes", "no", "unsure")

    def answer(turn: int) -> object:
        pair = {side: questions[turn][side]["id"] for side in ("a", "b")}
        return client.ask("/api/say/answer", {**pair, "word": words[turn % 3]})

    def name(turn: int) -> object:
        group = clusters[100 + turn]
        seen = {group["id"]: group["seen"]}
        return client.ask("/api/say/name", {"who": group["id"], "name": f"Person {turn}", "seen": seen})

    timed("answer, one after another", min(30, len(questions)), answer)
    timed("people, while clusters are found", 40, lambda _: client.ask("/api/people?kind=clusters"))
    print(f"clusters and questions after {client.settled():.1f} s")
    timed("name of a cluster, one after another", 20, name)
    last = client.ask("/api/history?limit=1")["acts"][0]["number"]
    timed("undo", 10, lambda turn: client.ask("/api/say/undo", {"acts": [last - turn]}))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=128)
    given = parser.parse_args()
    made = generate(given.faces, "wild", dimension=given.dimension, seed=0)
    random = np.random.default_rng(0)
    pictures = [None if face % 2 else random.bytes(PICTURE) for face in range(given.faces)]
    with tempfile.TemporaryDirectory() as folder:
        library = Library.create(Path(folder) / "library")
        keys = [f"face-{face}" for face in range(given.faces)]
        library.add(made.embeddings, keys=keys, thumbnails=pictures)
        library.cluster(None)
        start = time.perf_counter()
        review = Review(library.folder)
        print(f"ready after {time.perf_counter() - start:.1f} s")
        serving = threading.Thread(target=review.serve)
        serving.start()
        try:
            measure(Client(review))
        finally:
            review.stop()
            serving.join()


if __name__ == "__main__":
    main()
