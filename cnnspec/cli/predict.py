"""``cnnspec predict``: the classes of image files, with their probabilities as bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import DataError
from ..text import bar, percent, shorten, to_json
from . import render
from .target import Target, exact_option, open_target, threads_option, weights_option

if TYPE_CHECKING:
    import numpy as np

BATCH = 64


@click.command(name="predict")
@click.argument("target", metavar="RUN|SPEC", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1), metavar="K", help="Classes to show for each image (3; 1 for many).")
@click.option(
    "--invert",
    is_flag=True,
    help="Turn dark into light: for ink on paper, where the net knows light on dark.",
)
@weights_option
@threads_option
@exact_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    target: Path,
    images: tuple[Path, ...],
    top: int | None,
    invert: bool,
    weights: Path | None,
    threads: int | None,
    exact: bool,
    as_json: bool,
) -> int:
    """Classify image files, or all images of a folder, with the weights of RUN.

    Where a net was trained on numbers (`loss mse`), its outputs are printed as they are.

    Images are resized and normalised as in training. An image that cannot be read is reported, the others are
    classified all the same, and the exit code is 1.

    \b
      cnnspec predict runs/digits-20260102-030405 seven.png
      cnnspec predict runs/flowers-20260102-030405 photos/ --top 1
    """
    from ..runtime.evaluate import softmax

    opened = open_target(target, exact=exact)
    files = list(image_files(images))
    network = opened.open_network(weights, batch=min(BATCH, len(files)), threads=threads)
    names = class_names(opened)
    numbers = opened.model.train.loss.word == "mse" and not known_classes(opened)
    shown = min(top or (3 if len(files) <= 8 else 1), len(names))
    results: list[dict[str, object]] = []
    failed = 0
    for paths, pixels in read_batches(opened, files):
        bad = [(p, x) for p, x in zip(paths, pixels, strict=True) if isinstance(x, DataError)]
        good = [(p, x) for p, x in zip(paths, pixels, strict=True) if not isinstance(x, DataError)]
        for _, error in bad:
            render.print_error(error)
        failed += len(bad)
        if not good:
            continue
        outputs = infer(opened, network, [x for _, x in good], invert)
        if numbers:
            for (path, _), y in zip(good, outputs, strict=True):
                results.append({"file": str(path), "output": y.tolist()})
                if not as_json:
                    render.say(f"{shorten(str(path), 44):<44}  " + "  ".join(f"{v:9.5g}" for v in y.ravel()))
            continue
        for (path, _), p in zip(good, softmax(outputs), strict=True):
            best = p.argsort()[::-1][:shown]
            ranked = [(names[i], float(p[i])) for i in best]
            if as_json:
                results.append({"file": str(path), "top": [{"class": n, "probability": q} for n, q in ranked]})
            else:
                print_prediction(path, ranked)
    if as_json:
        render.show(to_json(results))
    return 1 if failed else 0


def image_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files named, and the pictures of folders and of the folders in them, in order."""
    from ..runtime.data.tree import pictures_below

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = pictures_below(path)
        if not found:
            raise DataError("the folder holds no image", path=path, expected="files such as .png or .jpg")
        yield from found


def read_batches(opened: Target, files: Sequence[Path]) -> Iterator[tuple[list[Path], list[np.ndarray | DataError]]]:
    """Yield files and their pixels uint8[H, W, C] (or the error) a batch at a time."""
    from ..runtime.data import load_image

    model = opened.model
    resize = getattr(model.data.source, "resize", "crop") if model.data is not None else "crop"
    for start in range(0, len(files), BATCH):
        paths = list(files[start : start + BATCH])
        pixels: list[np.ndarray | DataError] = []
        for path in paths:
            try:
                pixels.append(load_image(path, model.input_shape, resize))
            except DataError as error:
                pixels.append(error)
        yield paths, pixels


def infer(opened: Target, network: object, pixels: Sequence[object], invert: bool) -> np.ndarray:
    """Return the net's outputs float32[n, F] for images uint8[H, W, C]."""
    import numpy as np

    from ..runtime.data import normalizer_for

    model = opened.model
    x = np.stack([np.asarray(p) for p in pixels])
    if invert:
        x = 255 - x
    normalizer = normalizer_for(model.data.normalize if model.data else None, model.input_shape[-1])
    outputs: np.ndarray = network.predict(normalizer(x))  # type: ignore[attr-defined]
    return outputs


def class_names(opened: Target) -> Sequence[str]:
    """Return the names of the classes: those the run has seen, else their numbers."""
    outputs = opened.model.output_shape[-1]
    names = known_classes(opened)
    return names if len(names) == outputs else tuple(map(str, range(outputs)))


def known_classes(opened: Target) -> Sequence[str]:
    """Return the names of the classes that a run has seen; none where its targets were numbers."""
    return tuple(map(str, opened.run.manifest.get("class_names") or ())) if opened.run is not None else ()


def print_prediction(path: Path, ranked: Sequence[tuple[str, float]]) -> None:
    """Print one image's classes: a line where one is wanted, else a bar for each."""
    if len(ranked) == 1:
        name, p = ranked[0]
        render.say(f"{shorten(str(path), 44):<44}  {name:<20} {percent(p):>9}")
        return
    render.say(str(path), "bold")
    width = max(len(name) for name, _ in ranked)
    for name, p in ranked:
        render.say(f"  {name:<{width}}  {bar(p, 40, empty=' ')}  {percent(p):>8}")
