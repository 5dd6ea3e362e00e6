"""The learning rate as a pure function of the step, so that a resumed run meets the same values."""

from __future__ import annotations

import math
from dataclasses import replace

from ..errors import InternalError
from ..model.settings import Constant, Cosine, Step, TrainSettings


def learning_rate(settings: TrainSettings, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    settings : the ``train`` section.
    step : number of the step in the whole run, from 0.
    steps_per_epoch : batches in an epoch, a short last one counted.

    Notes
    -----
    Over the first ``warmup_epochs`` the rate rises in a straight line and reaches its full value with their
    last step; a warm-up longer than the training ends with it. ``step`` counts its epochs from the start of the
    run; ``cosine`` runs over what is left after the warm-up: lr * (to + (1 - to) * (1 + cos(pi t)) / 2), t from 0
    to 1.

    References
    ----------
    Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 2.2 (warm-up); Loshchilov & Hutter 2017,
    "SGDR", equation 5 (cosine).
    """
    full = float(settings.optimizer.lr)
    warm = _warmup_steps(settings, steps_per_epoch)
    if step < warm:
        return full * (step + 1) / warm
    schedule = settings.schedule
    if isinstance(schedule, Constant):
        return full
    if isinstance(schedule, Step):
        return full * schedule.gamma ** (step // steps_per_epoch // schedule.every)
    if isinstance(schedule, Cosine):
        total = max(1, settings.epochs * steps_per_epoch - warm)
        t = min(1.0, (step - warm) / total)
        return full * (schedule.to + (1.0 - schedule.to) * 0.5 * (1.0 + math.cos(math.pi * t)))
    raise InternalError(f"no rule for schedule {schedule!r}")


def _warmup_steps(settings: TrainSettings, steps_per_epoch: int) -> int:
    return min(settings.warmup_epochs, settings.epochs) * steps_per_epoch


def learning_rate_jump(settings: TrainSettings, epochs_before: int, step: int, steps_per_epoch: int) -> list[str]:
    """Return a remark where the rate changes at once, since a run that goes on has another number of epochs.

    Parameters
    ----------
    settings : with the epochs of now.
    epochs_before : those that the run had up to this step.
    step : the next step of the whole run, from 0.
    """
    if step == 0:
        return []
    last = learning_rate(replace(settings, epochs=epochs_before), step - 1, steps_per_epoch)
    coming = learning_rate(settings, step, steps_per_epoch)
    planned = learning_rate(replace(settings, epochs=epochs_before), step, steps_per_epoch)
    if math.isclose(coming, planned, rel_tol=0.01):
        return []
    verb = "rises" if coming > last else "falls"
    part = "warmup" if step < _warmup_steps(settings, steps_per_epoch) else settings.schedule.word
    return [
        f"the learning rate {verb} at once from {last:.4g} to {coming:.4g}: {part} now ends with "
        f"epoch {settings.epochs}, and ended with {epochs_before}"
    ]
