"""Kill trainings at many places, give the command again, and count what was lost.

    python -m benchmarks.kills [--kills COUNT] [--seed SEED] [--json FILE]

The kill (SIGKILL) comes right before a process changes the output folder: before it makes, renames or
removes a file or a folder. Whatever is killed between two changes leaves the folder as the first of them
did. Places are drawn from all changes that an undisturbed run makes. Half of the kills hit a training of
all networks in an empty folder, half one of the pair network in a folder that holds a model.

After each kill the model in the folder must be the old one or the new one, and whole. The command given
again must end well, with the weights of the undisturbed run, and leave nothing behind. A training of
other people in that folder must be refused, or end with the weights that it finds in a clean folder.
Exits with 1 if any of this fails. Half a minute for each kill; needs Linux.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nsrfc.errors import InputError
from nsrfc.model.bundle import holds_model, load_model
from nsrfc.storage.runs import write_json
from nsrfc.synthetic import generate

from .tables import table

__all__ = ["SETTINGS", "Kill", "changes", "main", "train"]

SETTINGS = """
k: 10
keep_all: true
cgcn: {network: {hidden: 8}, loop: {epochs: 2, batch: 64}}
pairs: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 2, batch: 64}}
lcenet: {network: {width: 8, heads: 2, hidden: 8}, loop: {epochs: 2, batch: 64}}
pcenet: {network: {reach: 5, width: 8, heads: 2, hidden: 8}, loop: {epochs: 2, batch: 64}}
"""
"""Of networks that are trained within seconds."""

HOOK = """
import os, re, signal, sys

FOLDER, KILL, NUMBER, LOG = (os.environ[name] for name in ("FOLDER", "KILL", "NUMBER", "LOG"))
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
left = int(NUMBER)

def watch(event, args):
    global left
    kind, place, folder = event.removeprefix("os."), 0, -1
    if event == "os.rename":
        place, folder = 1, args[3]
    elif event in ("os.remove", "os.rmdir", "os.mkdir"):
        folder = args[-1]
    elif event != "open" or not isinstance(args[2], int) or not args[2] & WRITES:
        return
    path = args[place]
    if not isinstance(path, (str, os.PathLike)):
        return
    if folder != -1:
        path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
    path = os.path.relpath(os.path.abspath(path), FOLDER)
    if path.startswith(".."):
        return
    change = kind + " " + re.sub(r"\\.[0-9a-f]{8}\\.", ".*.", path)
    if KILL and re.fullmatch(KILL, change):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    os.write(log, change.encode() + b"\\n")

sys.addaudithook(watch)
"""
"""A `sitecustomize` that writes changes of a folder into a log, and kills the process before one of
them."""

FAULT = "FAULT: "
"""What counts begin with that must be 0."""

THREADS = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Kill(NamedTuple):
    """The change of the output folder before which a process is killed.

    Attributes
    ----------
    change : str
        Regular expression, such as ``"rename config.json"``; names are relative to the folder, and
        random parts of names are ``*``.
    number : int
        Counted from 1 among the changes that match.
    """

    change: str
    number: int = 1


@dataclass(frozen=True)
class Scenario:
    """A training that is killed.

    Attributes
    ----------
    name : str
    options : sequence of str
        Of the command.
    before : Path or None
        The folder as it was before the training, None if there was none.
    """

    name: str
    options: Sequence[str]
    before: Path | None


def train(
    output: Path, *options: str, faces: str = "faces.npz", kill: Kill | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own.

    Parameters
    ----------
    output : Path
        Its parent holds ``faces`` and the settings, `tiny.yaml`.
    *options : str
        Further options of the command.
    faces : str
        Name of the file of faces and identities.
    kill : Kill, optional
    """
    place = output.parent
    (place / "hook").mkdir(exist_ok=True)
    (place / "hook" / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
    paths = [str(place / "hook"), *filter(None, [os.environ.get("PYTHONPATH")])]
    pattern, number = kill or ("", 0)
    about = {"FOLDER": str(output), "KILL": pattern, "NUMBER": str(number), "LOG": str(_log(output))}
    _log(output).unlink(missing_ok=True)
    command = [sys.executable, "-m", "nsrfc", "train", faces, faces, "--config", "tiny.yaml"]
    return subprocess.run(
        [*command, "--device", "cpu", "-o", str(output), *options],
        cwd=place,
        env=os.environ | THREADS | about | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )


def changes(output: Path) -> list[str]:
    """Return the changes of the output folder that the last run of :func:`train` made, in order."""
    return _log(output).read_text(encoding="utf-8").splitlines()


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills",
        description=(__doc__ or "").split("\n\n", 1)[0],
    )
    parser.add_argument("--kills", type=int, default=40, help="number of kills (default: 40)")
    parser.add_argument("--seed", type=int, default=0, help="of the places where to kill (default: 0)")
    parser.add_argument("--json", type=Path, help="also write the counts into a file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nsrfc-") as folder:
        counts = _measure(Path(folder), arguments.kills, np.random.default_rng(arguments.seed))
    columns = list(dict.fromkeys(name for found in counts.values() for name in found))
    rows = [[name, *(str(found[column]) for column in columns)] for name, found in counts.items()]
    print(table(["training of", *columns], rows))
    if arguments.json is not None:
        write_json(arguments.json, counts)
    if any(name.startswith(FAULT) for name in columns):
        raise SystemExit(1)


def _measure(place: Path, kills: int, rng: np.random.Generator) -> dict[str, Counter[str]]:
    for seed, name in enumerate(("faces", "others")):
        found = generate(400, "wild", dimension=12, seed=seed)
        np.savez(place / f"{name}.npz", embeddings=found.embeddings, identities=found.identities)
    (place / "tiny.yaml").write_text(SETTINGS, encoding="utf-8")
    everything, pairs = place / "everything", place / "pairs"
    scenarios = {
        everything: Scenario("all networks", (), None),
        pairs: Scenario("pairs, upon a model", ("--only", "pairs"), everything),
    }
    counts: dict[str, Counter[str]] = {}
    for number, (whole, scenario) in enumerate(scenarios.items()):
        _copy(scenario.before, whole)
        _well(train(whole, *scenario.options))
        made = changes(whole)
        others = place / "clean"
        _copy(scenario.before, others)
        _well(train(others, *scenario.options, faces="others.npz"))
        share = kills // 2 + (kills % 2 if number == 0 else 0)
        counts[scenario.name] = Counter({"changes": len(made)})
        for at in sorted(rng.choice(len(made), share, replace=share > len(made)).tolist()):
            kill = Kill(re.escape(made[at]), made[: at + 1].count(made[at]))
            seen = list(_outcome(place / "killed", scenario, kill, whole, others))
            counts[scenario.name].update(seen)
            print(scenario.name, kill.number, made[at], *seen, sep="  ", file=sys.stderr, flush=True)
    return counts


def _outcome(killed: Path, scenario: Scenario, kill: Kill, whole: Path, others: Path) -> Iterator[str]:
    """Kill a training, and yield what is to be counted."""
    _copy(scenario.before, killed)
    done = train(killed, *scenario.options, kill=kill)
    yield "killed" if done.returncode < 0 else f"{FAULT}not killed"
    models = {_weights(scenario.before): "old model", _weights(whole): "new model"}
    yield models.get(_weights(killed), f"{FAULT}no whole model")
    foreign = killed.with_name("foreign")
    _copy(killed, foreign)
    done = train(foreign, *scenario.options, faces="others.npz")
    if done.returncode == 2 and "unfinished training" in done.stderr:
        yield "others refused"
    else:
        same = done.returncode == 0 and _weights(foreign) == _weights(others)
        yield "others as in a clean folder" if same else f"{FAULT}others wrong"
    done = train(killed, *scenario.options)
    same = done.returncode == 0 and _weights(killed) == _weights(whole)
    yield "same weights" if same else f"{FAULT}other weights"
    names = [sorted(path.name for path in folder.iterdir()) for folder in (killed, whole)]
    yield "nothing left behind" if names[0] == names[1] else f"{FAULT}files left behind"


def _weights(folder: Path | None) -> str:
    """Describe the model in a folder by its settings and weights."""
    if folder is None or not holds_model(folder):
        return "none"
    try:
        model = load_model(folder)
    except InputError as error:
        return str(error)
    return repr((model.settings, model.fingerprints()))


def _copy(folder: Path | None, copy: Path) -> None:
    """Replace a folder by a copy of another, or by nothing."""
    shutil.rmtree(copy, ignore_errors=True)
    if folder is not None and folder.is_dir():
        shutil.copytree(folder, copy)


def _well(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


def _log(output: Path) -> Path:
    return output.with_name(f"{output.name}.log")


if __name__ == "__main__":
    main()
