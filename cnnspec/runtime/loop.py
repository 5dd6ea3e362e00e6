"""The training loop: steps, epochs and checkpoints, from a start or a checkpoint to the end or an interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from ..model.expects import judge
from ..model.model import Model
from ..text import count
from . import threads as threading
from .batch_size import fewest_samples
from .checkpoint import Progress, load_checkpoint, save_checkpoint
from .data import Dataset
from .data.loader import Batch, batches, epoch_order
from .diverged import TrainingDiverged, not_finite
from .evaluate import evaluate
from .events import Reporter, RunInfo, TrainResult
from .expected import STOPPED, why_not_judged
from .inputs import large_inputs
from .interrupt import Interrupt
from .learned import after_training
from .metrics import has_stalled, is_better, measured_of
from .network import Draw
from .run_folder import RunFolder
from .schedule import learning_rate

REPORT_SECONDS = 0.05  # between two calls of on_step


class Run:
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
        notes: Sequence[str],
        trained_on: Mapping[str, Any],
    ) -> None:
        self.model, self.data, self.network, self.progress = model, data, network, progress
        self.make_folder, self.reporter, self.threads = make_folder, reporter, threads
        self.folder: RunFolder | None = None  # made when the kernels are there: a run folder has a checkpoint
        self.settings = model.train
        self.steps = -(-len(data.train) // self.settings.batch)
        self.fewest = fewest_samples(model)
        self.is_classes = data.train.labels.ndim == 1
        self.resumed, self.trained_on = resumed, trained_on
        self.remarks = tuple(notes)  # to be told at the start
        self.notes: list[str] = []  # all that were told
        self.checkpoint_seconds = checkpoint_seconds
        self.best_parameters: dict[str, np.ndarray] | None = None  # only where no folder keeps them
        self.started = self.saved = self.reported = time.monotonic()
        self.done = 0  # steps of this session
        self.last: Batch | None = None  # of its batches

    def go(self, stop_after_steps: int | None) -> TrainResult:
        """Train to the end, or until interrupted."""
        progress = self.progress
        self.reporter.on_start(
            RunInfo(
                self.model,
                self.data,
                self.settings.epochs,
                self.steps,
                progress.epoch,
                progress.step,
                self.resumed,
                tuple(progress.history),
            )
        )
        for note in filter(None, (*self.data.notes, *self.remarks, threading.choose(self.threads).note)):
            self._note(note)
        self.network.compile(progress=self.reporter.on_compile)
        with Interrupt() as interrupt:
            self.folder = self.make_folder()
            if self.folder is not None:
                if self.resumed:  # it is under way again, perhaps with more epochs
                    self.folder.update_manifest(set=[list(pair) for pair in self.model.settings], result=None)
                self.folder.write_history(progress.history)
                self._save()
                self.folder = self.folder.settle()

            def stopping() -> bool:
                return interrupt.signal != 0 or (stop_after_steps is not None and self.done >= stop_after_steps)

            while progress.epoch <= self.settings.epochs and not has_stalled(progress.history, self.settings.stop):
                self._run_epoch(stopping)
                if stopping():
                    return self._interrupted(interrupt.signal)
                self._end_epoch()
        status = "finished" if progress.epoch > self.settings.epochs else "early_stop"
        return self._finish(status)

    def _run_epoch(self, stopping: Callable[[], bool]) -> None:
        """Take the steps that are left of the epoch, or as many as come before a stop."""
        progress, train = self.progress, self.data.train
        order = epoch_order(len(train), self.settings.seed, progress.epoch)
        clock = asked = time.monotonic()
        with closing(batches(train, order, self.settings.batch, progress.step, self.fewest)) as coming:
            for batch in coming:
                progress.waited += time.monotonic() - asked
                self._step(batch)
                now = time.monotonic()
                progress.seconds += now - clock
                clock = now
                self._report()
                if stopping():
                    return
                if self.folder is not None and time.monotonic() - self.saved >= self.checkpoint_seconds:
                    self._save()
                asked = time.monotonic()

    def _step(self, batch: Batch) -> None:
        progress = self.progress
        lr = self._lr(batch.step)
        draw = Draw(progress.epoch, batch.sample_ids)
        result = self.network.train_step(batch.x, batch.y, lr=lr, draw=draw)
        loss = float(result.loss)
        if not math.isfinite(loss):
            layer = self.network.diagnose(batch.x, batch.y, draw=draw)
            raise self._diverged(loss, batch.step, layer)
        self.last = batch
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
            progress.waiting,
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
        self._check(tried=self.data.val is None)
        if self.data.val is not None:
            validation = evaluate(self.network, self.data.val, self.settings.batch)
            if not math.isfinite(validation.loss):
                raise self._diverged(validation.loss, self.steps - 1, None, during="validation")
            row.update(validation.metrics("val"))
        row["seconds"], row["waiting"] = round(progress.seconds, 3), round(progress.waiting, 4)
        progress.history.append(row)
        keep = self.settings.keep
        best = progress.best["value"] if progress.best is not None else None
        if keep is not None and is_better(keep.on, row[keep.on], best):
            progress.best = {"metric": keep.on, "value": row[keep.on], "epoch": progress.epoch}
            if self.folder is not None:
                weights = self.network.parameters()
                save_checkpoint(self.folder.best, self.model, weights, data=self.trained_on, best=progress.best)
            else:
                self.best_parameters = {k: np.array(v) for k, v in self.network.parameters().items()}
        progress.epoch, progress.step = progress.epoch + 1, 0
        learning = self.network.begin_epoch(progress.epoch)
        if learning and progress.epoch <= self.settings.epochs:
            self._note(f"from epoch {progress.epoch} on {count(learning)} more weights learn")
        progress.loss_sum, progress.correct, progress.images = 0.0, 0, 0
        progress.seconds = progress.waited = 0.0
        if self.folder is not None:
            self._save(checked=True)
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
        losses = [row["train.loss"] for row in self.progress.history]
        measured = measured_of(self.progress.history, self.progress.best, test)
        for note in after_training(self.model, self.data, self.network, measured, losses, len(losses) * self.steps):
            self._note(note)
        result = self._result(status, test, why_not_judged(self.model))
        if self.folder is not None:
            finite = {key: value if math.isfinite(value) else None for key, value in test.items()}
            self.folder.update_manifest(
                result={"status": status, "epochs": len(result.history), "best": result.best, **finite}
            )
        return result

    def _interrupted(self, signal: int) -> TrainResult:
        progress = self.progress
        if self.folder is not None:
            self._save()
            self._note(f"stopped in epoch {progress.epoch} after step {progress.step} of {self.steps}, and saved")
        return self._result("interrupted", {}, STOPPED, signal)

    def _result(self, status: str, test: dict[str, float], not_judged: str, signal: int = 0) -> TrainResult:
        measured = measured_of(self.progress.history, self.progress.best, test)
        unmet = () if not_judged else judge(self.model.expects, measured)
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
            not_judged,
            tuple(self.notes),
            signal,
        )

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.reporter.on_note(text)

    def _save(self, *, checked: bool = False) -> None:
        """Write last.safetensors, unless it would be no good: then TrainingDiverged, and the file stays."""
        assert self.folder is not None
        if not checked:
            self._check()
        parameters, states = self.network.parameters(), self.network.optimizer_state()
        save_checkpoint(self.folder.last, self.model, parameters, states, self.progress, data=self.trained_on)
        self.saved = time.monotonic()

    def _check(self, *, tried: bool = True) -> None:
        """Raise TrainingDiverged where a parameter or a state of the optimizer is not finite.

        A step whose loss is finite can still leave weights that are not: where gradients or the step overflow. And
        finite weights can be so large that every output overflows: they are ``tried`` on the last batch.
        """
        found = not_finite(self.network.parameters()) or not_finite(self.network.optimizer_state())
        if found is None and tried and self.last is not None:
            loss = float(self.network.eval_step(self.last.x, self.last.y).loss)
            if not math.isfinite(loss):
                raise self._diverged(loss, self.last.step, None, during="trial")
        if found is None:
            return
        progress = self.progress
        loss = progress.loss_sum / progress.images if progress.images else math.nan
        raise self._diverged(loss, max(0, progress.step - 1), None, array=found)

    def _lr(self, step: int) -> float:
        return learning_rate(self.settings, (self.progress.epoch - 1) * self.steps + step, self.steps)

    def _diverged(
        self, loss: float, step: int, layer: str | None, during: str = "step", array: str | None = None
    ) -> TrainingDiverged:
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
            array=array,
            inputs=large_inputs(self.model, self.data),
        )
