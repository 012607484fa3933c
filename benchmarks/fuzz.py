"""Damaged files for every reader: each must be read, or refused in one sentence, within limits.

    python -m benchmarks.fuzz [--mutants COUNT] [--readers NAME ...] [--seed SEED] [--record FILE]
                              [--keep FOLDER]

Small valid files are damaged at random: bytes flipped, cut, repeated and spliced, numbers in headers
and settings replaced, arrays and columns of other types put in. Mutant i of a reader depends only on the
seed and i. Allowed is a value or an InputError of one printable line, in 10 seconds of processor time
and 2 GiB beside the libraries. Files are read in a process of their own, which the system ends beyond
the limits.

With --record, counts are written to a file as they come, and the same command continues after the last
of them. With --keep, mutants with another outcome are kept. The exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from nsrfc.errors import InputError
from nsrfc.storage.runs import write_json

from .mutants import READERS, Reader, mutated

MUTANTS = 20_000
SEED = 0
SECONDS = 10
ROOM = 2 << 30
LETTERS = 300
SILENCE = 300.0
"""Seconds of wall time after which a process that takes no processor time counts as hanging."""

RECORD_EVERY = 500


@dataclass
class Tally:
    """What became of the mutants of a reader.

    Attributes
    ----------
    done, values, refused : int
    faults : dict of str to list of int
        Other outcomes, and the first mutants that had them.
    slowest : float
        Processor seconds.
    peak : int
        Bytes beside the libraries.
    """

    done: int = 0
    values: int = 0
    refused: int = 0
    faults: dict[str, list[int]] = field(default_factory=dict)
    slowest: float = 0.0
    peak: int = 0

    def add(self, mutant: int, outcome: str, seconds: float, peak: int) -> None:
        """Count an outcome."""
        self.done = mutant + 1
        self.slowest, self.peak = max(self.slowest, seconds), max(self.peak, peak)
        if outcome == "value":
            self.values += 1
        elif outcome == "refused":
            self.refused += 1
        else:
            self.faults.setdefault(outcome, []).append(mutant)


def main() -> None:
    """Read the mutants that are asked for, and print what became of them."""
    arguments = parse()
    tallies = recorded(arguments.record, arguments.seed)
    for name in arguments.readers:
        tally = tallies.setdefault(name, Tally())
        for mutant, outcome, seconds, peak in outcomes(
            name, tally.done, arguments.mutants, arguments.seed, arguments.keep
        ):
            tally.add(mutant, outcome, seconds, peak)
            if tally.done % RECORD_EVERY == 0:
                show(name, tally, end="\r")
                record(arguments.record, arguments.seed, tallies)
        show(name, tally)
        record(arguments.record, arguments.seed, tallies)
    if any(tallies[name].faults for name in arguments.readers):
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--mutants", type=int, default=MUTANTS, metavar="COUNT", help="of each reader")
    parser.add_argument(
        "--readers", nargs="+", choices=READERS, default=list(READERS), metavar="NAME",
        help=f"of {', '.join(READERS)}",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--record", type=Path, metavar="FILE", help="continue after what it says")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for mutants with other outcomes")
    return parser.parse_args()


def recorded(path: Path | None, seed: int) -> dict[str, Tally]:
    """Return the counts of an earlier run with this seed, if there are any."""
    if path is None or not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["seed"] != seed:
        raise SystemExit(f"{path} is of the seed {found['seed']}: name another file.")
    return {name: Tally(**tally) for name, tally in found["readers"].items()}


def record(path: Path | None, seed: int, tallies: dict[str, Tally]) -> None:
    """Write the counts, if a file is named for them."""
    if path is not None:
        readers = {name: asdict(tally) for name, tally in tallies.items()}
        write_json(path, {"seed": seed, "readers": readers})


def show(name: str, tally: Tally, end: str = "\n") -> None:
    """Print a line."""
    if end == "\r" and not sys.stdout.isatty():
        return
    faults = sum(map(len, tally.faults.values()))
    print(
        f"{name:<20} {tally.done:>7,} read  {tally.values:>7,} values  {tally.refused:>7,} refused  "
        f"{faults:>4} faults  slowest {tally.slowest:.2f} s  peak {tally.peak / 2**20:,.0f} MiB",
        end=end,
        flush=True,
    )
    if end == "\n":
        for fault, mutants in tally.faults.items():
            print(f"    {fault}: {len(mutants)}, mutants {mutants[:8]}")


def outcomes(
    name: str, first: int, stop: int, seed: int, keep: Path | None
) -> Iterator[tuple[int, str, float, int]]:
    """Yield number, outcome, seconds and memory of mutants; a process that ends is replaced."""
    context = multiprocessing.get_context("spawn")
    mutant = first
    while mutant < stop:
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=work, args=(sender, name, mutant, stop, seed, keep))
        worker.start()
        sender.close()
        try:
            while mutant < stop:
                if not receiver.poll(SILENCE):
                    raise EOFError
                yield receiver.recv()
                mutant += 1
        except EOFError:
            worker.join(1)
            worker.kill()
            worker.join()
            ended = worker.exitcode or 0
            if ended > 0:
                raise SystemExit(f"The process that reads {name} failed.") from None
            slow = ended in (-signal.SIGPROF, -signal.SIGKILL)
            yield mutant, "too slow" if slow else f"crash {ended}", float(SECONDS), 0
            mutant += 1
        worker.join()


def work(sender: Connection, name: str, first: int, stop: int, seed: int, keep: Path | None) -> None:
    """Read mutants and send what became of them: the process of its own."""
    warnings.simplefilter("error")
    logging.disable()
    reader = READERS[name]
    with tempfile.TemporaryDirectory(prefix="nsrfc-fuzz-") as place:
        valid, folder = Path(place) / "valid", Path(place) / "mutant"
        valid.mkdir()
        reader.make(valid)
        # The first use loads libraries, which are no part of the limit.
        reader.read(valid)
        limit = _status("VmSize") + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for mutant in range(first, stop):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(valid, folder)
            damage(reader, folder, np.random.default_rng([seed, len(name), *name.encode(), mutant]))
            sender.send((mutant, *tried(reader, folder, keep and keep / f"{name}-{mutant}")))


def damage(reader: Reader, folder: Path, rng: np.random.Generator) -> None:
    """Damage one of the files of a reader."""
    files = [folder / file for file in reader.files]
    path = files[rng.integers(len(files))]
    others = [file.read_bytes() for file in files]
    path.write_bytes(mutated(path.read_bytes(), others, rng))


def tried(reader: Reader, folder: Path, keep: Path | None) -> tuple[str, float, int]:
    """Read a mutant, and return what became of it, the processor seconds and the memory."""
    Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
    before, started = _status("VmRSS"), time.process_time()
    if keep is not None:
        shutil.rmtree(keep, ignore_errors=True)
        shutil.copytree(folder, keep)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        reader.read(folder)
        outcome = "value"
    except InputError as error:
        message = str(error).replace(str(folder), "")
        clear = message.isprintable() and len(message) < LETTERS
        outcome = "refused" if clear else f"unclear: {ascii(message)[:400]}"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = [frame for frame in frames if "nsrfc" in Path(frame.filename).parts][-1:]
        at = f"{Path(place[0].filename).name}:{place[0].lineno}" if place else "?"
        outcome = f"{type(error).__name__} at {at}: {re.sub('[0-9]+', 'N', ascii(str(error)))[:120]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if keep is not None and outcome in ("value", "refused"):
        shutil.rmtree(keep)
    return outcome, time.process_time() - started, max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    found: Any = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found[1])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
