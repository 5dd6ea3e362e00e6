"""``cnnspec eval``: loss and accuracy of trained weights on a split, and the spec's ``expect`` lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import DataError
from ..text import count, duration, percent, shorten, table, to_json
from .expects import print_verdicts, verdicts
from .target import exact_option, open_target, set_option, threads_option, weights_option

if TYPE_CHECKING:
    import numpy as np

SPLITS = ("test", "val", "train")


@click.command(name="eval")
@click.argument("target", metavar="RUN|SPEC", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Part of the data.")
@weights_option
@set_option
@click.option("--confusion", is_flag=True, help="Show which classes are taken for which.")
@threads_option
@exact_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(
    target: Path,
    split: str,
    weights: Path | None,
    sets: tuple[str, ...],
    confusion: bool,
    threads: int | None,
    exact: bool,
    as_json: bool,
) -> int:
    """Measure the weights of RUN (or of SPEC with --weights) on a split of its data.

    Then judge the `expect` lines of the spec; the exit code is 1 when one of them fails.

    \b
      cnnspec eval runs/digits-20260102-030405
      cnnspec eval digits.cnn --weights best.safetensors --confusion
    """
    from ..runtime.evaluate import evaluate, target_dtype
    from ..runtime.expected import why_not_judged
    from . import render

    opened = open_target(target, sets, exact)
    weights = opened.weights_file(weights)
    data = opened.open_data()
    part = getattr(data, split)
    if part is None:
        there = [name for name in SPLITS if getattr(data, name) is not None]
        raise DataError(
            f"the data has no {split} split",
            path=data.name,
            expected=" or ".join(there),
            hint=f"--split {there[0]}",
        )
    network = opened.open_network(weights, threads=threads, target=target_dtype(opened.model, part))
    classes = data.classes if part.labels.ndim == 1 and (confusion or as_json) else None
    found = evaluate(network, part, opened.model.train.batch, classes)
    metrics = found.metrics(split)
    judged = verdicts(opened.model, metrics, not_judged=why_not_judged(opened.model, opened.run))
    judged = [v for v in judged if v.found is not None]  # lines about other splits are none of this
    ok = all(v.ok is not False for v in judged)
    if as_json:
        result = {
            "split": split,
            "images": found.images,
            "loss": found.loss,
            "accuracy": metrics.get(f"{split}.accuracy"),
            "seconds": round(found.seconds, 4),
            "classes": list(data.class_names),
            "confusion": found.confusion.tolist() if found.confusion is not None else None,
            "expects": [v.as_dict() for v in judged],
            "ok": ok,
        }
        click.echo(to_json(result))
        return 0 if ok else 1
    if f"{split}.accuracy" in metrics:
        render.say(f"{split} accuracy  {percent(found.accuracy)}", "bold")
    render.say(f"{split} loss      {found.loss:.4f}")
    render.say(f"{count(found.images)} images in {duration(found.seconds)}")
    if found.confusion is not None:
        render.say()
        print_confusion(found.confusion, data.class_names)
    print_verdicts(judged)
    return 0 if ok else 1


def print_confusion(confusion: np.ndarray, names: Sequence[str]) -> None:
    """Print the matrix of true and predicted classes, or only its largest errors where it is wide."""
    from . import render

    if len(names) <= 12:
        head = ("true \\ predicted", *(shorten(name, 7) for name in names), "right")
        rows = []
        for i, name in enumerate(names):
            total = int(confusion[i].sum())
            share = percent(confusion[i, i] / total) if total else "-"
            rows.append((name, *(str(n) if n else "." for n in confusion[i]), share))
        lines = table(head, rows, "l" + "r" * (len(names) + 1), width=render.width(), gap=1)
        render.print_table(lines, dim=r"(?<= )\.(?= )")
    wrong = [
        (int(confusion[i, j]), names[i], names[j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j and confusion[i, j]
    ]
    render.say()
    for n, true, predicted in sorted(wrong, key=lambda item: -item[0])[:5]:
        render.say(f"{count(n):>6} of class {true} taken for {predicted}")
    if not wrong:
        render.say("no image is taken for another class")
