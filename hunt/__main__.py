"""The hunt's command: ``python -m hunt``, all of it or the parts that are named."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from . import caches, files, kills, specs, threads
from .tally import Tally

PARTS = {"specs": 10_000, "files": 1_500, "kills": 150, "caches": 50, "threads": 20}


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m hunt", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--share", type=float, default=1.0, help="of the full number of cases (1)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other cases (1)")
    parser.add_argument(
        "--folder", type=Path, help="where files are laid and findings kept; a temporary one unless said"
    )
    chosen = parser.parse_args()
    unknown = [part for part in chosen.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]}: {', '.join(PARTS)}")
    return chosen


def hunt(part: str, count: int, seed: int, folder: Path) -> list[Tally]:
    """Run one part on ``count`` cases, in a folder of its own."""
    folder = folder / f"{part}-{time.time_ns()}"
    folder.mkdir(parents=True)
    if part == "specs":
        return list(specs.hunt(count, seed))
    if part == "files":
        return [files.hunt(count, seed, folder)]
    if part == "kills":
        tally = kills.hunt(count, seed, folder)
        for finding in kills.two_at_once(folder):
            tally.find(finding)
        return [tally]
    if part == "caches":
        return [caches.hunt(count, seed, folder)]
    return [threads.hunt(count, 150, folder)]


def main() -> int:
    """Run the parts; exit code 1 where anything was found."""
    chosen = arguments()
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory(prefix="cnnspec-hunt-") as temporary:
        # Threads first and files before specs: a forked child must find no threads of kernels in its parent.
        for part in sorted(chosen.parts or PARTS, key=["threads", "files", "caches", "kills", "specs"].index):
            count = max(1, round(PARTS[part] * chosen.share))
            started = time.monotonic()
            tallies += hunt(part, count, chosen.seed, chosen.folder or Path(temporary))
            print(f"{tallies[-1].summary()}, {time.monotonic() - started:.0f} s", flush=True)
    print()
    for tally in tallies:
        print(tally.summary())
    return 1 if any(tally.findings for tally in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
