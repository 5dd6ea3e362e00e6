"""Going on with a run: only from a checkpoint of the same net, the same data and the same settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import DataError
from ..model.model import Model
from .checkpoint import Progress, load_checkpoint
from .diverged import not_finite
from .run_folder import BEST, RunFolder, open_run_folder
from .schedule import learning_rate_jump
from .state import check_progress


def run_to_resume(resume: Path | str) -> tuple[RunFolder, Path | None]:
    """Return (run folder, None), or (its folder, checkpoint) for a checkpoint in a run folder."""
    path = Path(resume)
    return (open_run_folder(path.parent), path) if path.suffix == ".safetensors" else (open_run_folder(path), None)


def is_unbegun(folder: RunFolder) -> bool:
    """Whether a run was stopped before its first checkpoint: it holds nothing but what it was to be."""
    return not (folder.last.exists() or folder.best.exists() or folder.history())


def restore(
    file: Path, model: Model, network: Any, fresh: Progress, steps_per_epoch: int, notes: list[str]
) -> Progress:
    """Load a checkpoint into the network and return its progress, or say why it cannot go on.

    What a person should know of settings that changed is added to ``notes``.
    """
    checkpoint = load_checkpoint(file, model)
    progress = checkpoint.progress
    if progress is None:
        raise DataError(
            "the file holds weights only, so training cannot go on from it exactly",
            path=file,
            expected="a checkpoint such as last.safetensors",
            hint=f"use {file.with_name('last.safetensors')}",
        )
    if progress.data != fresh.data:
        raise DataError(
            "the data has changed since the run began",
            path=file,
            field="data",
            expected=f"sha256 {progress.data[:16]}...",
            found=f"sha256 {fresh.data[:16]}...",
            hint="restore the data, or train anew",
        )
    watched = tuple(setting.on for setting in (model.train.keep, model.train.stop) if setting is not None)
    check_progress(file, progress, steps_per_epoch, watched)
    for key in sorted(progress.settings.keys() | fresh.settings.keys()):
        before, now = progress.settings.get(key, "nothing"), fresh.settings.get(key, "nothing")
        if before == now:
            continue
        if key != "epochs":
            raise DataError(
                "the train section is not the one that the run began with",
                path=file,
                field=key if key.startswith("data") else f"train: {key}",
                expected=before,
                found=now,
                hint="restore the setting, or train anew",
            )
        notes.append(f"train epochs was {before} and is now {now}")
        step = (progress.epoch - 1) * steps_per_epoch + progress.step
        least = -(-step // steps_per_epoch)
        if int(now) < least:
            raise DataError(
                "the run has trained for more epochs than that",
                path=file,
                field="train: epochs",
                expected=f"{least} or more",
                found=now,
                hint=f"--epochs {least} ends it here; without --resume a new run begins",
            )
        notes += learning_rate_jump(model.train, int(before), step, steps_per_epoch)
    bad = not_finite(checkpoint.parameters, checkpoint.optimizer)
    if bad is not None:
        raise DataError(
            "the checkpoint holds values that are not finite, so training cannot go on from it",
            path=file,
            field=bad,
            expected="finite numbers",
            found="NaN or infinite ones",
            hint="train anew, with a smaller learning rate",
        )
    if progress.best is not None:
        notes += _forget_a_lost_best(file.with_name(BEST), model, progress)
    network.begin_epoch(progress.epoch)
    network.load_parameters(checkpoint.parameters)
    network.load_optimizer_state(checkpoint.optimizer)
    progress.settings = fresh.settings
    return progress


def _forget_a_lost_best(file: Path, model: Model, progress: Progress) -> list[str]:
    """Where the weights of the best epoch cannot be read, keep the next best ones; return what to say of it."""
    assert progress.best is not None
    try:
        load_checkpoint(file, model)
        return []
    except DataError as error:
        epoch, progress.best = progress.best["epoch"], None
        return [f"{file}: {error.message}; the weights of epoch {epoch}, the best so far, are lost, and are kept anew"]
