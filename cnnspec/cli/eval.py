"""``cnnspec eval``: loss and accuracy of trained weights on a split, and the spec's ``expect`` lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..options import Options
from ..text import columns, count, duration, percent, shorten, some, table, to_json, visible
from . import render
from .expects import print_verdicts, verdicts
from .target import exact_option, json_option, open_target, set_option, threads_option, weights_option

if TYPE_CHECKING:
    import numpy as np

    from ..runtime.evaluate import Evaluation, Mistake

SPLITS = ("test", "val", "train")


@click.command(name="eval")
@click.argument("target", metavar="RUN|SPEC", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Part of the data.")
@weights_option
@set_option
@click.option("--confusion", is_flag=True, help="Show which classes are taken for which.")
@click.option("--mistakes", is_flag=True, help="List the images that are taken for another class, the surest first.")
@threads_option
@exact_option
@json_option
def command(
    target: Path,
    split: str,
    weights: Path | None,
    sets: tuple[str, ...],
    confusion: bool,
    mistakes: bool,
    threads: int | None,
    options: Options,
    as_json: bool,
) -> int:
    """Measure the weights of RUN (or of SPEC with --weights) on a split of its data.

    Then judge the `expect` lines of the spec; the exit code is 1 when one of them fails.

    \b
      cnnspec eval runs/digits-20260102-030405
      cnnspec eval runs/flowers-20260102-030405 --split val --mistakes
      cnnspec eval digits.cnn --weights best.safetensors --confusion
    """
    from ..runtime.evaluate import evaluate, split_of, target_dtype
    from ..runtime.expected import why_not_judged
    from ..runtime.learned import after_evaluation
    from ..runtime.trained import compare_data, compare_spec
    from .progress import CountView

    opened = open_target(target, sets, options)
    used = opened.weights_used(weights)
    data = opened.open_data()
    before = (*data.notes, *compare_spec(used.trained, opened.model), *compare_data(used.trained, data))
    for line in before:
        render.note(line)
    part = split_of(data, split, "--split")
    if mistakes and part.labels.ndim != 1:
        raise click.UsageError("--mistakes lists images of classes; the targets of this data are numbers")
    network = opened.open_network(used.file, threads=threads, target=target_dtype(opened.model, part))
    classes = data.classes if part.labels.ndim == 1 and (confusion or mistakes or as_json) else None
    with CountView("image") as view:
        found = evaluate(network, part, opened.model.train.batch, classes, view)
    judged = verdicts(opened.model, found.metrics(split), not_judged=why_not_judged(opened.model, opened.run))
    judged = [v for v in judged if v.found is not None]  # lines about other splits are none of this
    ok = all(v.ok is not False for v in judged)
    notes = after_evaluation(opened.model, data, network, split, found)
    if as_json:
        result = {
            "split": split,
            "weights": used.as_dict(),
            **as_dict(found, data.class_names, mistakes),
            "expects": [v.as_dict() for v in judged],
            "notes": [*before, *notes],
            "ok": ok,
        }
        render.show(to_json(result))
        return 0 if ok else 1
    print_result(found, split, str(used))
    if mistakes:
        render.say()
        print_mistakes(found.mistakes, data.class_names)
    if confusion and found.confusion is not None:
        render.say()
        print_confusion(found.confusion, data.class_names)
    print_verdicts(judged)
    for note in notes:
        render.note(note)
    return 0 if ok else 1


def as_dict(found: Evaluation, names: Sequence[str], mistakes: bool) -> dict[str, object]:
    """Return the results as JSON-ready values, with the list of ``mistakes`` where it is asked for."""
    listed = [
        {
            **asdict(m),
            "file": str(m.file) if m.file is not None else None,
            "true": names[m.true],
            "predicted": names[m.predicted],
        }
        for m in (found.mistakes if mistakes else ())
    ]
    return {
        "images": found.images,
        "loss": found.loss,
        "accuracy": found.accuracy,
        "seconds": round(found.seconds, 4),
        "classes": list(names),
        "confusion": found.confusion.tolist() if found.confusion is not None else None,
        **({"mistakes": listed} if mistakes else {}),
    }


def print_result(found: Evaluation, split: str, weights: str) -> None:
    """Print accuracy, loss, time and the weights that were used."""
    if not math.isnan(found.accuracy):
        render.say(f"{split} accuracy  {percent(found.accuracy)}", "bold")
    render.say(f"{split} loss      {found.loss:.4f}")
    render.say(f"{some(found.images, 'image')} in {duration(found.seconds)}")
    render.say(f"{'weights':<{len(split) + 10}} {weights}", hang=len(split) + 11)


def print_mistakes(mistakes: Sequence[Mistake], names: Sequence[str]) -> None:
    """Print a line for each mistake: the file or sample, its class, and the one it is taken for.

    Where the terminal is too narrow for that, the file stands on a line of its own, so that its name can be read.
    """
    if not mistakes:
        render.say("no image is taken for another class")
        return
    here = Path.cwd()
    rows = []
    for m in mistakes:
        file = m.file.relative_to(here) if m.file is not None and m.file.is_relative_to(here) else m.file
        image = str(file) if file is not None else f"sample {m.sample}"
        rows.append((image, names[m.true], names[m.predicted], percent(m.probability)))
    head = ("image" if mistakes[0].file is not None else "sample", "true", "predicted", "probability")
    lines = table(head, rows, "lllr")
    if not sys.stdout.isatty() or max(map(columns, lines)) <= render.width():
        render.print_table(lines)
        return
    for image, true, predicted, probability in rows:
        render.say(shorten(visible(image), render.width()))
        render.say(shorten(f"    {visible(true)} taken for {visible(predicted)}, {probability}", render.width()))


def print_confusion(confusion: np.ndarray, names: Sequence[str]) -> None:
    """Print the matrix of true and predicted classes where there is room for it, and its largest errors."""
    lines = confusion_table(confusion, names, render.width())
    if lines is None:
        render.say(f"a matrix of {len(names)} classes is too wide to show here; --json prints it", "dim", hang=0)
    else:
        render.print_table(lines, dim=r"(?<= )\.(?= )")
    pairs = product(enumerate(names), repeat=2)
    wrong = [(int(confusion[i, j]), true, taken) for (i, true), (j, taken) in pairs if i != j and confusion[i, j]]
    render.say()
    for n, true, predicted in sorted(wrong, key=lambda item: -item[0])[:5]:
        render.say(f"{count(n):>6} of class {true} taken for {predicted}", hang=7)
    if not wrong:
        render.say("no image is taken for another class")


def confusion_table(confusion: np.ndarray, names: Sequence[str], width: int) -> list[str] | None:
    """Return the matrix with names above its columns, or with the numbers of the classes; None where it is too wide.

    Where numbers stand above, each name is a row's with its number.
    """
    rows = []
    for i, found in enumerate(confusion.tolist()):
        share = percent(found[i] / sum(found)) if any(found) else "-"
        rows.append([*(str(n) if n else "." for n in found), share])
    align = "l" + "r" * (len(names) + 1)
    numbers = [str(i) for i in range(len(names))]
    tail = max(map(len, numbers))
    numbered = [f"{number:>{tail}} {name}" for number, name in zip(numbers, names, strict=True)]
    corner = "true \\ predicted"
    forms = (corner, names, names, None), (corner, numbers, numbered, None), ("true \\ as", numbers, numbered, width)
    for corner, heads, labels, limit in forms:
        cells = [(label, *row) for label, row in zip(labels, rows, strict=True)]
        lines = table((corner, *heads, "right"), cells, align, width=limit, gap=1)
        if max(map(columns, lines)) <= width:
            return lines
    return None
