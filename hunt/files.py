"""Hostile files: data, pictures, weights and run folders cut, flipped, swapped, swollen, replaced by pipes.

A command may refuse them in words, or use them. It may not crash, hang, take more memory than is bounded, or give
another answer from a file whose format holds a checksum.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import room
from .tally import Tally

HEAD = "input 8x8x1\nclasses 2\nconv 4 3x3 -> relu\nflatten -> dense classes\n"
TRAIN = "train {\n  optimizer adam lr=0.01\n  epochs 1\n  batch 8\n}\n"
STEP = ("--steps", "1", "--json", "--out", "out")
GO_ON = ("train", "--resume", "run", "--epochs", "2", "--steps", "1", "--json")
CHECKED = {"npz", "checkpoint", "weights"}  # formats that hold a checksum


@dataclass(frozen=True)
class Victim:
    """A kind of file: the one that is harmed, and the command that meets it."""

    kind: str
    file: str
    arguments: tuple[str, ...]


VICTIMS = (
    Victim("npz", "data.npz", ("train", "npz.cnn", *STEP)),
    Victim("npz", "stored.npz", ("train", "stored.cnn", *STEP)),
    Victim("idx", "idx/train-images-idx3-ubyte", ("train", "idx.cnn", *STEP)),
    Victim("idx", "idx/train-labels-idx1-ubyte", ("train", "idx.cnn", *STEP)),
    Victim("idx.gz", "gz/train-images-idx3-ubyte.gz", ("train", "gz.cnn", *STEP)),
    Victim("csv", "table.csv", ("train", "csv.cnn", *STEP)),
    Victim("picture in a folder", "pictures/a/0.png", ("train", "folders.cnn", *STEP)),
    Victim("picture", "one.png", ("predict", "run", "one.png", "--json")),
    Victim("picture", "one.jpg", ("predict", "run", "one.jpg", "--json")),
    Victim("picture", "one.gif", ("predict", "run", "one.gif", "--json")),
    Victim("picture", "one.tif", ("predict", "run", "one.tif", "--json")),
    Victim("picture", "one.bmp", ("predict", "run", "one.bmp", "--json")),
    Victim("checkpoint", "run/last.safetensors", ("eval", "run", "--json")),
    Victim("checkpoint", "run/last.safetensors", GO_ON),
    Victim("weights", "bare.safetensors", ("predict", "run", "one.png", "--weights", "bare.safetensors", "--json")),
    Victim("manifest", "run/manifest.json", ("eval", "run", "--json")),
    Victim("manifest", "run/manifest.json", ("predict", "run", "one.png", "--json")),
    Victim("manifest", "run/manifest.json", GO_ON),
    Victim("metrics", "run/metrics.jsonl", GO_ON),
    Victim("spec", "npz.cnn", ("check", "npz.cnn")),
    Victim("spec of a run", "run/spec.cnn", ("eval", "run", "--json")),
)  # fmt: skip


def lay_out(folder: Path) -> None:
    """Write a whole file of each kind, and train a run."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    x = np.clip(rng.normal(np.where(y == 0, 60, 190)[:, None, None], 20, (40, 8, 8)), 0, 255).astype(np.uint8)
    np.savez_compressed(folder / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.savez(folder / "stored.npz", x_train=x / np.float32(255), y_train=y)
    (folder / "idx").mkdir()
    (folder / "gz").mkdir()
    for part in ("train", "t10k"):
        images = b"\0\0\x08\x03" + np.array(x.shape, ">i4").tobytes() + x.tobytes()
        labels = b"\0\0\x08\x01" + np.array(y.shape, ">i4").tobytes() + y.astype(np.uint8).tobytes()
        for name, content in (("images-idx3", images), ("labels-idx1", labels)):
            (folder / "idx" / f"{part}-{name}-ubyte").write_bytes(content)
            (folder / "gz" / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    rows = np.concatenate([y[:, None], x.reshape(len(x), -1)], axis=1)
    header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    np.savetxt(folder / "table.csv", rows, "%d", delimiter=",", header=header, comments="")
    for i in range(12):
        place = folder / "pictures" / "ab"[y[i]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[i]).save(place / f"{i}.png")
    for suffix in ("png", "jpg", "gif", "tif", "bmp"):
        Image.fromarray(x[0]).save(folder / f"one.{suffix}")
    sources = {
        "npz": 'npz "data.npz"',
        "stored": 'npz "stored.npz"',
        "idx": 'idx "idx"',
        "gz": 'idx "gz"',
        "csv": 'csv "table.csv"',
        "folders": 'folders "pictures"',
    }
    for name, source in sources.items():
        (folder / f"{name}.cnn").write_text(f"{HEAD}data {{ source {source} }}\n{TRAIN}")
    outcome = room.command(["train", "npz.cnn", "--json", "--out", "runs"], folder)
    assert outcome.code == 0, outcome.err
    Path(json.loads(outcome.out)["run"] if Path(json.loads(outcome.out)["run"]).is_absolute() else
         folder / json.loads(outcome.out)["run"]).rename(folder / "run")  # fmt: skip
    shutil.copy(folder / "run" / "last.safetensors", folder / "bare.safetensors")


# ---- harm -----------------------------------------------------------------------------------------
def flip(path: Path, rng: random.Random) -> str:
    content = bytearray(path.read_bytes())
    start = len(content) if rng.random() < 0.5 else min(200, len(content))
    for _ in range(rng.choice((1, 1, 2, 8))):
        content[rng.randrange(start)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return "bits flipped"


def cut(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    path.write_bytes(content[: rng.choice((0, 1, 7, rng.randrange(len(content)), len(content) - 1))])
    return "cut short"


def grow(path: Path, rng: random.Random) -> str:
    content = path.read_bytes()
    path.write_bytes(content + rng.choice((b"\0", b"\0" * 5000, content, os.urandom(100))))
    return "grown"


def numbers(path: Path, rng: random.Random) -> str:
    """Put an extreme number where a header may keep a size."""
    content = bytearray(path.read_bytes())
    size = rng.choice((2, 4, 8))
    place = rng.randrange(max(1, min(len(content), 300) - size))
    content[place : place + size] = rng.choice((b"\xff" * size, b"\x7f" + b"\xff" * (size - 1), b"\0" * size))
    path.write_bytes(content)
    return "numbers made extreme"


def swap(path: Path, rng: random.Random) -> str:
    folder = next(p for p in path.parents if (p / "one.png").is_file())
    other = folder / rng.choice([v.file for v in VICTIMS if folder / v.file != path])
    path.write_bytes(other.read_bytes() if other.is_file() else b"")
    return f"replaced by {other.name}"


def words(path: Path, rng: random.Random) -> str:
    """Replace a value of a JSON text, or a word of a text, by one of another kind."""
    content = path.read_bytes()
    try:
        value = json.loads(content)
    except ValueError:
        tokens = content.split(b" ")
        tokens[rng.randrange(len(tokens))] = rng.choice(
            (b"nan", b"-1", b"99999999999999999999", b"\xff\xfe", b"{}", b"'")
        )
        path.write_bytes(b" ".join(tokens))
        return "a word replaced"
    path.write_text(json.dumps(_other_kind(value, rng)))
    return "a value of another kind"


def _other_kind(value: Any, rng: random.Random) -> Any:
    odd = rng.choice((None, 5, -1, 1e300, "x", "\x1b[31m", [], {}, [1], {"a": 1}, True, "~nosuchuser/x", "\0"))
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        if rng.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: _other_kind(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.6:
        place = rng.randrange(len(value))
        return [*value[:place], _other_kind(value[place], rng), *value[place + 1 :]]
    return odd


def no_file(path: Path, rng: random.Random) -> str:
    """Put something that is no file in its place."""
    path.unlink()
    kind = rng.choice(("pipe", "folder", "a link to itself", "a link to a pipe", "nothing", "50 GB of nothing"))
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a link to a pipe":
        other = path.with_name(f"{path.name}-pipe")  # no device: a fault in writing would do it harm
        os.mkfifo(other)
        path.symlink_to(other.name)
    elif kind == "50 GB of nothing":
        path.touch()
        os.truncate(path, 50_000_000_000)
    return kind


HARM: Sequence[Callable[[Path, random.Random], str]] = (
    flip,
    flip,
    flip,
    cut,
    cut,
    grow,
    numbers,
    numbers,
    swap,
    words,
    no_file,
)


def hunt(count: int, seed: int, folder: Path) -> Tally:
    """Harm ``count`` files, one at a time, and run the command that meets each."""
    rng, tally = random.Random(seed), Tally("files", count + len(VICTIMS))
    model = folder / "whole"
    model.mkdir()
    room.warm_up()
    lay_out(model)
    answers: dict[Victim, object] = {}
    place = folder / "harmed"
    for number in range(-len(VICTIMS), count):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(model, place, symlinks=True)
        victim = VICTIMS[number % len(VICTIMS)]
        harm = rng.choice(HARM)(place / victim.file, rng) if number >= 0 else "whole"
        outcome = room.command(list(victim.arguments), place)
        found = outcome.faults()
        if number < 0:
            assert outcome.code == 0, outcome.err
            answers[victim] = answer(outcome.out)
        elif outcome.code == 0 and victim.kind in CHECKED and answer(outcome.out) != answers[victim]:
            found.append("gives another answer, and exits with 0")
        shown = f"{victim.kind} {victim.file}, {harm}: cnnspec {' '.join(victim.arguments)}"
        if found:
            keep = folder / f"finding-{number}"
            shutil.copytree(place, keep, symlinks=True)
            shown += f"    (kept in {keep})"
        tally.add("used" if outcome.code == 0 else "refused", *(f"{shown}: {finding}" for finding in found))
    return tally


def answer(text: str) -> object:
    """Return a command's JSON without what differs from run to run."""
    try:
        return _lasting(json.loads(text))
    except ValueError:
        return text


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in ("seconds", "run", "weights", "notes")}
    return [_lasting(v) for v in value] if isinstance(value, list) else value
