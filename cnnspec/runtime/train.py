"""The training loop. Everything that decides its course is a function of the spec, the seed and the step,
and all that it has reached is in one checkpoint, so that a killed and resumed run ends as one left alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, Diagnostic
from ..model.expects import judge
from ..model.model import Model
from ..model.settings import KeepBest, Patience
from . import threads as threading
from .checkpoint import Progress, load_checkpoint, save_checkpoint
from .data import Dataset, open_data
from .data.loader import Batch, batches, epoch_order
from .diverged import TrainingDiverged
from .evaluate import evaluate, target_dtype
from .events import Reporter, RunInfo, Silent
from .identity import train_settings
from .interrupt import Interrupt
from .resume import folder_to_resume, restore
from .run_folder import RunFolder, base_of, new_run_folder
from .schedule import learning_rate

REPORT_SECONDS = 0.05  # between two calls of on_step
CHECKPOINT_SECONDS = 60.0  # between two checkpoints inside an epoch


@dataclass(frozen=True)
class TrainResult:
    """What a run came to.

    Attributes
    ----------
    status : ``finished``, ``early_stop``, or ``interrupted`` (by Ctrl-C or ``stop_after_steps``).
    folder : the run folder, or None where nothing was written.
    history : one row for each finished epoch: ``epoch``, ``lr``, ``train.loss``, ``train.accuracy``,
        ``val.loss``, ``val.accuracy``, ``seconds``.
    best : {"metric", "value", "epoch"} where the spec says ``keep best``; ``network`` then holds its weights.
    test : ``test.loss`` and ``test.accuracy``, empty without a test split or when interrupted.
    unmet : a diagnostic for each ``expect`` line of the spec that does not hold; empty when interrupted.
    network : the trained network.
    """

    status: str
    folder: Path | None
    history: tuple[dict[str, Any], ...]
    best: dict[str, Any] | None
    test: dict[str, float]
    unmet: tuple[Diagnostic, ...]
    seconds: float
    network: Any = field(repr=False)
    dataset: Dataset = field(repr=False)

    @property
    def ok(self) -> bool:
        """True unless an ``expect`` line failed."""
        return not self.unmet


def train(
    model: Model,
    *,
    data: Dataset | None = None,
    out: Path | str | None = "runs",
    resume: Path | str | None = None,
    reporter: Reporter | None = None,
    threads: int | None = None,
    exact: bool = False,
    stop_after_steps: int | None = None,
    make_network: Callable[..., Any] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainResult:
    """Train a model as its ``train`` section says.

    Parameters
    ----------
    model : a checked spec.
    data : the data set; opened as the spec's ``data`` section says when None.
    out : where the run folder is made; None writes nothing.
    resume : a run folder, or a checkpoint in one, to go on from.
    reporter : told what happens; silent when None.
    threads : threads of the kernels; the network's default when None.
    exact : keep convolutions on their direct algorithms; a run that is resumed goes on as it began.
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
    reporter = reporter or Silent()
    folder = folder_to_resume(resume) if resume is not None else None
    if data is None:
        base = folder.base if folder is not None else base_of(model)
        data = open_data(
            model.data, model.input_shape, model.label_count, base, seed=model.train.seed, spec=model.source.name
        )
    _check_metrics(model, data)
    if folder is not None:
        exact = folder.exact
    if make_network is None:
        from .network import Network

        make_network = Network
    network = make_network(
        model,
        batch=model.train.batch,
        seed=model.train.seed,
        threads=threads,
        target=target_dtype(model, data.train),
        exact=exact,
    )
    progress = Progress(seed=model.train.seed, settings=train_settings(model.train, model.data), data=data.fingerprint)
    if folder is not None:
        file = Path(str(resume)) if str(resume).endswith(".safetensors") else folder.last
        progress = restore(file, model, network, progress, reporter)

    def make_folder() -> RunFolder | None:
        if folder is not None or out is None:
            return folder
        return new_run_folder(
            out, model, data_sha256=data.fingerprint, class_names=data.class_names, threads=threads, exact=exact
        )

    run = _Run(model, data, network, progress, make_folder, reporter, threads, checkpoint_seconds, resume is not None)
    result = run.go(stop_after_steps)
    reporter.on_end(result)
    return result


class _Run:
    """One session of a run: from its start or a checkpoint to its end or an interruption."""

    def __init__(
        self,
        model: Model,
        data: Dataset,
        network: Any,
        progress: Progress,
        make_folder: Callable[[], RunFolder | None],
        reporter: Reporter,
        threads: int | None,
        checkpoint_seconds: float,
        resumed: bool,
    ) -> None:
        self.model, self.data, self.network, self.progress = model, data, network, progress
        self.make_folder, self.reporter, self.threads = make_folder, reporter, threads
        self.folder: RunFolder | None = None  # made when the kernels are there: a run folder has a checkpoint
        self.settings = model.train
        self.steps = -(-len(data.train) // self.settings.batch)
        self.is_classes = data.train.labels.ndim == 1
        self.resumed = resumed
        self.checkpoint_seconds = checkpoint_seconds
        self.best_parameters: dict[str, np.ndarray] | None = None  # only where no folder keeps them
        self.started = self.saved = self.reported = time.monotonic()
        self.done = 0  # steps of this session

    def go(self, stop_after_steps: int | None) -> TrainResult:
        """Train to the end, or until interrupted."""
        progress = self.progress
        self.reporter.on_start(
            RunInfo(
                self.model,
                self.data,
                self.settings.epochs,
                self.steps,
                self.settings.batch,
                self.threads,
                progress.epoch,
                progress.step,
                self.resumed,
                tuple(progress.history),
            )
        )
        slow = threading.choose(self.threads).note
        for note in (*self.data.notes, *([slow] if slow else [])):
            self.reporter.on_note(note)
        self.network.compile(progress=self.reporter.on_compile)
        with Interrupt() as interrupt:
            self.folder = self.make_folder()
            if self.folder is not None:
                self.folder.write_history(progress.history)
                self._save()

            def stopping() -> bool:
                return interrupt.requested or (stop_after_steps is not None and self.done >= stop_after_steps)

            while progress.epoch <= self.settings.epochs and not has_stalled(progress.history, self.settings.stop):
                self._run_epoch(stopping)
                if stopping():
                    return self._interrupted()
                self._end_epoch()
        status = "finished" if progress.epoch > self.settings.epochs else "early_stop"
        return self._finish(status)

    def _run_epoch(self, stopping: Callable[[], bool]) -> None:
        """Take the steps that are left of the epoch, or as many as come before a stop."""
        progress, train = self.progress, self.data.train
        order = epoch_order(len(train), self.settings.seed, progress.epoch)
        clock = time.perf_counter()
        with closing(batches(train, order, self.settings.batch, progress.step)) as coming:
            for batch in coming:
                self._step(batch)
                now = time.perf_counter()
                progress.seconds += now - clock
                clock = now
                self._report()
                if stopping():
                    return
                if self.folder is not None and time.monotonic() - self.saved >= self.checkpoint_seconds:
                    self._save()

    def _step(self, batch: Batch) -> None:
        progress = self.progress
        lr = self._lr(batch.step)
        result = self.network.train_step(batch.x, batch.y, lr=lr, sample_ids=batch.sample_ids, epoch=progress.epoch)
        loss = float(result.loss)
        if not math.isfinite(loss):
            layer = self.network.diagnose(batch.x, batch.y, epoch=progress.epoch, sample_ids=batch.sample_ids)
            raise self._diverged(loss, batch.step, layer)
        progress.step = batch.step + 1
        progress.loss_sum += loss * len(batch.y)
        progress.correct += int(result.correct)
        progress.images += len(batch.y)
        self.done += 1

    def _report(self) -> None:
        progress, now = self.progress, time.monotonic()
        if progress.step < self.steps and now - self.reported < REPORT_SECONDS:
            return
        self.reported = now
        self.reporter.on_step(
            progress.epoch,
            progress.step,
            self.steps,
            progress.images,
            progress.loss_sum / progress.images,
            progress.correct / progress.images if self.is_classes else math.nan,
            progress.seconds,
        )

    def _end_epoch(self) -> None:
        """Validate, keep the best, add the row, and save with the next epoch about to begin."""
        progress = self.progress
        row: dict[str, Any] = {
            "epoch": progress.epoch,
            "lr": self._lr(self.steps - 1),
            "train.loss": progress.loss_sum / progress.images,
        }
        if self.is_classes:
            row["train.accuracy"] = progress.correct / progress.images
        if self.data.val is not None:
            validation = evaluate(self.network, self.data.val, self.settings.batch)
            if not math.isfinite(validation.loss):
                raise self._diverged(validation.loss, self.steps - 1, None, during="validation")
            row.update(validation.metrics("val"))
        row["seconds"] = round(progress.seconds, 3)
        progress.history.append(row)
        keep = self.settings.keep
        best = progress.best["value"] if progress.best is not None else None
        if keep is not None and is_better(keep.on, row[keep.on], best):
            progress.best = {"metric": keep.on, "value": row[keep.on], "epoch": progress.epoch}
            if self.folder is not None:
                save_checkpoint(self.folder.best, self.model, self.network.parameters())
            else:
                self.best_parameters = {k: np.array(v) for k, v in self.network.parameters().items()}
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.loss_sum, progress.correct, progress.images, progress.seconds = 0.0, 0, 0, 0.0
        if self.folder is not None:
            self._save()
            self.folder.add_row(row)
        self.reporter.on_epoch(row)

    def _finish(self, status: str) -> TrainResult:
        """Take the best weights, test them and judge what the spec expects."""
        if self.best_parameters is not None:
            self.network.load_parameters(self.best_parameters)
        elif self.folder is not None and self.progress.best is not None:
            self.network.load_parameters(load_checkpoint(self.folder.best, self.model).parameters)
        test: dict[str, float] = {}
        if self.data.test is not None:
            test = evaluate(self.network, self.data.test, self.settings.batch).metrics("test")
        result = self._result(
            status,
            test,
            judge(self.model.expects, measured_of(self.progress.history, self.progress.best, test)),
        )
        if self.folder is not None:
            self.folder.update_manifest(
                result={"status": status, "epochs": len(result.history), "best": result.best, **test}
            )
        return result

    def _interrupted(self) -> TrainResult:
        progress = self.progress
        if self.folder is not None:
            self._save()
            self.reporter.on_note(
                f"stopped in epoch {progress.epoch} after step {progress.step} of {self.steps}, and saved"
            )
        return self._result("interrupted", {}, ())

    def _result(self, status: str, test: dict[str, float], unmet: Sequence[Diagnostic]) -> TrainResult:
        return TrainResult(
            status,
            self.folder.path if self.folder else None,
            tuple(self.progress.history),
            self.progress.best,
            test,
            tuple(unmet),
            time.monotonic() - self.started,
            self.network,
            self.data,
        )

    def _save(self) -> None:
        assert self.folder is not None
        save_checkpoint(
            self.folder.last,
            self.model,
            self.network.parameters(),
            self.network.optimizer_state(),
            self.progress,
        )
        self.saved = time.monotonic()

    def _lr(self, step: int) -> float:
        return learning_rate(self.settings, (self.progress.epoch - 1) * self.steps + step, self.steps)

    def _diverged(self, loss: float, step: int, layer: str | None, during: str = "step") -> TrainingDiverged:
        return TrainingDiverged(
            self.model,
            loss=loss,
            epoch=self.progress.epoch,
            step=step + 1,
            steps=self.steps,
            lr=self._lr(step),
            layer=layer,
            checkpoint=self.folder.last if self.folder else None,
            during=during,
        )


def is_better(metric: str, value: float, than: float | None) -> bool:
    """Return whether a metric improved: a loss by falling, an accuracy by rising."""
    if than is None:
        return True
    return value < than if metric.endswith("loss") else value > than


def has_stalled(history: Sequence[Mapping[str, Any]], stop: Patience | None) -> bool:
    """Return whether the metric of ``stop`` has not improved in its last ``patience`` epochs."""
    if stop is None:
        return False
    best, best_epoch = None, 0
    for number, row in enumerate(history, 1):
        if is_better(stop.on, row[stop.on], best):
            best, best_epoch = row[stop.on], number
    return len(history) - best_epoch >= stop.patience


def measured_of(
    history: Sequence[Mapping[str, Any]], best: Mapping[str, Any] | None, test: Mapping[str, float]
) -> dict[str, float]:
    """Return what is known of the final weights: the metrics of their epoch, and those of the test."""
    row = history[best["epoch"] - 1] if best is not None else history[-1] if history else {}
    return {**{key: value for key, value in row.items() if "." in key}, **test}


def _check_metrics(model: Model, data: Dataset) -> None:
    """Refuse, before the first epoch, to watch a metric that will not be measured."""
    watched: list[tuple[str, KeepBest | Patience | None]] = [
        ("keep best", model.train.keep),
        ("stop", model.train.stop),
    ]
    for statement, setting in watched:
        if setting is None:
            continue
        if setting.on.startswith("val.") and data.val is None:
            raise DataError(
                f"there is no validation split to measure {setting.on} on",
                path=model.source.name,
                field=f"train: {statement} on={setting.on}",
                expected="a validation split, or a metric of train",
                found="no validation split",
                hint="data { split val=10% }",
            )
        if setting.on.endswith(".accuracy") and data.train.labels.ndim != 1:
            raise DataError(
                "targets that are numbers have no accuracy",
                path=model.source.name,
                field=f"train: {statement} on={setting.on}",
                hint=f"{statement} on={setting.on.split('.')[0]}.loss",
            )
