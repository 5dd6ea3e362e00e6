"""Damaged caches: kernels and grammar tables that are cut, flipped, swapped or in the way are made anew."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from .files import cut, flip, grow, lay_out
from .tally import Tally

ARGUMENTS = ["train", "npz.cnn", "--json", "--out", "out"]


def hunt(count: int, seed: int, folder: Path) -> Tally:
    """Damage ``count`` files of a cache, one at a time; the training must end with the same loss as before."""
    from cnnspec.places import cache_root

    rng, tally = random.Random(seed), Tally("caches", count)
    whole, place = folder / "cache", folder / "damaged"
    place.mkdir()
    lay_out(place)
    shutil.rmtree(place / "run")
    wanted = result(place, whole)
    assert cache_root()
    for _ in range(count):
        harmed = folder / "harmed-cache"
        shutil.rmtree(harmed, ignore_errors=True)
        shutil.copytree(whole, harmed)
        files = sorted(p for p in harmed.rglob("*") if p.is_file())
        path = rng.choice(files)
        harm = rng.choice((flip, flip, cut, grow, swapped, in_the_way))
        what = harm(path, rng)
        found = []
        got = result(place, harmed)
        if got != wanted:
            found.append(f"{path.name} {what}: {got!r} is not {wanted!r}")
        elif (again := result(place, harmed)) != wanted:
            found.append(f"{path.name} {what}, second run: {again!r}")
        tally.add(what.split(" ")[0], *found)
    return tally


def swapped(path: Path, rng: random.Random) -> str:
    """Put another kernel's file in its place."""
    others = [p for p in path.parent.iterdir() if p.is_file() and p != path]
    path.write_bytes(rng.choice(others).read_bytes() if others else b"")
    return "swapped"


def in_the_way(path: Path, rng: random.Random) -> str:
    """Put a folder in its place."""
    path.unlink()
    path.mkdir()
    return "folder in its place"


def result(folder: Path, cache: Path) -> object:
    """Return the losses of a training with a cache folder, or how it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "cnnspec", *ARGUMENTS],
        cwd=folder,
        env={**os.environ, "CNNSPEC_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr[-300:]}"
    found = json.loads(done.stdout)
    return [row["train.loss"] for row in found["history"]], found["test"]
