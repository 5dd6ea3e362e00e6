"""``cnnspec train``: from a spec to a run folder, or on with a run that was stopped."""

from __future__ import annotations

import math
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from ..options import Options
from ..text import duration, percent, to_json
from . import render
from .expects import Verdict, print_verdicts, verdicts
from .target import exact_option, no_run, open_target, set_option, threads_option

if TYPE_CHECKING:
    from ..model.model import Model
    from ..runtime.events import TrainResult

# options that stand for a setting, in the order in which they are made
SHORT = {"epochs": "train.epochs", "batch": "train.batch", "lr": "train.optimizer.lr", "seed": "train.seed"}


@click.command(name="train")
@click.argument("target", metavar="SPEC|RUN", type=click.Path(path_type=Path))
@set_option
@click.option("--resume", is_flag=True, help="Go on with the run folder RUN, exactly where it stopped.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Short for --set train.epochs=N.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Short for --set train.batch=N.")
@click.option("--lr", type=click.FloatRange(0), metavar="X", help="Short for --set train.optimizer.lr=X.")
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Short for --set train.seed=N.")
@click.option("--steps", type=click.IntRange(1), metavar="N", help="Stop after N steps, as Ctrl-C would.")
@click.option("--out", type=click.Path(path_type=Path), default="runs", show_default=True, metavar="DIR",
              help="Where the run folder is made.")  # fmt: skip
@threads_option
@exact_option
@click.option("--quiet", "-q", is_flag=True, help="Print the result only.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else.")
def command(
    target: Path,
    sets: tuple[str, ...],
    resume: bool,
    steps: int | None,
    out: Path,
    threads: int | None,
    options: Options,
    quiet: bool,
    as_json: bool,
    **shorts: float | None,
) -> int:
    """Train the net of SPEC as its `train` section says.

    The run folder holds the spec, the metrics of each epoch, and the weights: last.safetensors, and
    best.safetensors where the spec says `keep best`. Ctrl-C finishes the step, saves, and says how to go on.
    The exit code is 1 when an `expect` line of the spec fails.

    \b
      cnnspec train digits.cnn
      cnnspec train digits.cnn --epochs 5 --lr 0.1
      cnnspec train --resume runs/digits-20260102-030405
    """
    from .progress import CompileView, TrainingView

    if not math.isfinite(shorts["lr"] or 0):
        raise click.BadParameter(f"{shorts['lr']} is not a finite number.", param_hint="'--lr'")
    for name in ("batch", "lr", "seed"):
        if resume and shorts[name] is not None:
            raise click.UsageError(f"--{name} cannot change when a run goes on")
    changes = [f"{path}={shorts[name]}" for name, path in SHORT.items() if shorts[name] is not None]
    opened = open_target(target, (*sets, *changes), options)
    if resume and opened.run is None:
        raise no_run(target, "--resume goes on with a run folder")
    if resume and opened.run is not None and options.exact and not opened.run.exact:
        raise click.UsageError("--exact cannot change when a run goes on; it began without")
    from ..runtime.train import train

    render.print_diagnostics(opened.model.warnings)
    with CompileView(watched=quiet) as aside, TrainingView(quiet=quiet or as_json, aside=aside) as view:
        result = train(
            opened.model,
            out=out,
            resume=opened.weights or target if resume else None,
            reporter=view,
            threads=threads,
            options=opened.compiler.options,
            stop_after_steps=steps,
        )
    if as_json:
        render.show(to_json(as_dict(result, opened.model)))
    else:
        if not quiet:
            render.say()
        print_result(result, opened.model)
    return 128 + result.signal if result.signal else 0 if result.ok else 1


def as_dict(result: TrainResult, model: Model) -> dict[str, object]:
    """Return a run's result as JSON-ready values."""
    return {
        "status": result.status,
        "run": str(result.folder) if result.folder else None,
        "epochs": len(result.history),
        "seconds": round(result.seconds, 3),
        "history": list(result.history),
        "best": result.best,
        "test": result.test,
        "expects": [v.as_dict() for v in judged(result, model)],
        "warnings": [w.as_dict() for w in model.warnings],
        "notes": list(result.notes),
        "ok": result.ok,
    }


def judged(result: TrainResult, model: Model) -> list[Verdict]:
    """Judge the spec's ``expect`` lines by what is known of the final weights."""
    from ..runtime.metrics import measured_of

    known = measured_of(result.history, result.best, result.test)
    return verdicts(model, known, not_judged=result.not_judged)


def print_result(result: TrainResult, model: Model) -> None:
    """Print the results of the run, its folder, and the commands that may follow."""
    rows: list[tuple[str, str]] = []
    if result.status == "early_stop":
        rows.append(("stopped early", f"after {len(result.history)} epochs"))
    if result.best is not None:
        value = result.best["value"]
        text = percent(value) if result.best["metric"].endswith("accuracy") else f"{value:.4f}"
        rows.append(("best epoch", f"{result.best['epoch']}, {result.best['metric']} {text}"))
    if "test.accuracy" in result.test:
        rows.append(("test accuracy", percent(result.test["test.accuracy"])))
    if "test.loss" in result.test:
        rows.append(("test loss", f"{result.test['test.loss']:.4f}"))
    rows.append(("time", duration(result.seconds)))
    if result.folder is not None:
        rows.append(("run folder", str(result.folder)))
    width = max(len(title) for title, _ in rows)
    for title, text in rows:
        render.say(f"{title:<{width}}  {text}", "bold" if title == "test accuracy" else "", hang=width + 2)
    print_verdicts(judged(result, model))
    if result.folder is None:
        return
    folder = quote(str(result.folder))
    render.say()
    if result.status == "interrupted":
        render.say(f"next: cnnspec train --resume {folder}")
    else:
        render.say(f"next: cnnspec predict {folder} IMAGE...")
        data = result.dataset
        split = "" if data.test is not None else " --split val" if data.val is not None else " --split train"
        confusion = " --confusion" if data.train.labels.ndim == 1 else ""
        render.say(f"      cnnspec eval {folder}{split}{confusion}")
