"""Training as the spec says. Everything that decides its course is a function of the spec, the seed and the step,
and all that it has reached is in one checkpoint, so that a killed and resumed run ends as one left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler import Compiler
from ..model.model import Model
from ..options import DEFAULT, Options
from .batch_size import check_batches
from .checkpoint import Progress
from .data import Dataset, data_of
from .data.pixels import AS_IT_IS
from .evaluate import target_dtype
from .events import Reporter, TrainResult
from .identity import sha256_of_arrays, train_settings
from .inputs import class_remarks, input_remarks, scale_warnings
from .loop import Run
from .metrics import check_metrics
from .network import Network
from .resume import is_unbegun, restore, run_to_resume
from .run_folder import RunFolder, check_writable, new_run_folder, run_around
from .run_lock import RunLock
from .trained import trained_on

CHECKPOINT_SECONDS = 60.0  # between two checkpoints inside an epoch


def train(
    model: Model,
    *,
    data: Dataset | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    out: Path | str | None = "runs",
    resume: Path | str | None = None,
    reporter: Reporter | None = None,
    threads: int | None = None,
    options: Options = DEFAULT,
    stop_after_steps: int | None = None,
    make_network: Callable[..., Any] = Network,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainResult:
    """Train a model as its ``train`` section says.

    Parameters
    ----------
    model : a checked spec.
    data : the data set; opened as the spec's ``data`` section says when None.
    weights : those to begin with, by name; the spec's initial ones when None.
    out : where the run folder is made; None writes nothing.
    resume : a run folder, or a checkpoint in one, to go on from.
    reporter : told what happens; silent when None.
    threads : threads of the kernels; the network's default when None.
    options : how the net is compiled; ``batch`` and ``target`` follow from the spec and the data, and a run that is
        resumed goes on as ``exact`` as it began.
    stop_after_steps : stop as Ctrl-C would after so many steps of this session.
    make_network : called like ``runtime.network.Network``, for tests.
    checkpoint_seconds : time between two checkpoints inside an epoch.

    Raises
    ------
    DataError
        When the data or the checkpoint do not fit the spec.
    MachineError
        When a checkpoint cannot be written; the previous one is kept.
    TrainingDiverged
        When the loss is not finite; the last checkpoint is kept.
    """
    reporter = reporter or Reporter()
    folder, checkpoint = run_to_resume(resume) if resume is not None else (None, None)
    if folder is not None or out is not None:
        check_writable(folder.path if folder is not None else str(out))
    with ExitStack() as held:  # the lock of the run, and what removes a run that has come to nothing
        if folder is not None:
            held.enter_context(RunLock(folder.path))
            folder.clear_up()
        if data is None:
            data = data_of(model, folder.base if folder is not None else None)
        check_metrics(model, data)
        notes = _remarks(model, data, anew=folder is None and weights is None)
        exact = options.exact if folder is None else folder.exact
        options = replace(options, batch=None, target=target_dtype(model, data.train), exact=exact)
        network = make_network(Compiler.of(model, options), threads=threads)
        progress = _start(network, model, data, weights, folder, checkpoint, notes)
        record = trained_on(data).as_dict()

        def make_folder() -> RunFolder | None:
            if folder is not None or out is None:
                return folder
            begun = {"initial_weights": sha256_of_arrays(weights)} if weights is not None else {}
            return new_run_folder(out, model, record, held=held, threads=threads, exact=exact, **begun)

        resumed = folder is not None
        run = Run(
            model, data, network, progress, make_folder, reporter, threads, checkpoint_seconds, resumed, notes, record
        )
        result = run.go(stop_after_steps)
        reporter.on_end(result)
        return result


def _start(
    network: Any,
    model: Model,
    data: Dataset,
    weights: Mapping[str, np.ndarray] | None,
    folder: RunFolder | None,
    checkpoint: Path | None,
    notes: list[str],
) -> Progress:
    """Give a network the weights to begin with, the optimizer's states too where a run goes on; return the progress.

    Remarks on the start are added to ``notes``.
    """
    progress = Progress(seed=model.train.seed, settings=train_settings(model), data=data.fingerprint)
    if weights is not None:
        network.load_parameters(weights)
        notes.append("training goes on from the weights that the net has; restart=True begins anew")
    if folder is None:
        return progress
    if checkpoint is None and is_unbegun(folder):
        notes.append("the run was stopped before its first checkpoint, and begins from its start")
        return progress
    return restore(checkpoint or folder.last, model, network, progress, -(-len(data.train) // model.train.batch), notes)


def _remarks(model: Model, data: Dataset, *, anew: bool) -> list[str]:
    """Return remarks for a person before the first step; DataError where no step can be taken."""
    old = run_around(model) if anew else None
    found = [check_batches(model, len(data.train)), *class_remarks(data)]
    if old is not None:
        begins = "a new run begins with new weights; to go on with the old one: cnnspec train --resume"
        found.insert(0, f"{begins} {old.path}")
    if model.sweep is not None:
        values = "the values that the spec writes outside of `sweep`"
        found.append(f"sweeps are not run yet: this is one run of {model.sweep.runs:,}, with {values}")
    if not scale_warnings(model) and not any(AS_IT_IS in note for note in data.notes):
        found += input_remarks(model, data)
    return [remark for remark in found if remark]


__all__ = ["TrainResult", "train"]
