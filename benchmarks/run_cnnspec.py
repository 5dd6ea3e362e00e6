"""cnnspec as a contender: through its library, as a user would call it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from cnnspec.compiler import Compiler
from cnnspec.options import Options
from cnnspec.runtime.network import Network

from .batches import batches
from .nets import NETS, TIMED_RATE, load_model


class Cnnspec:
    """A net trained and run by cnnspec."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        model = load_model(job["net"])
        self.net = Network(Compiler.of(model, Options(batch=job["batch"])), threads=job["threads"])
        self.reset()
        pool = batches(list(model.input_shape), model.output_shape[0], job["batch"])
        self.pool = [(x, y.astype(np.int32)) for x, y in pool]
        self.about = "cnnspec"

    def reset(self) -> None:
        with np.load(f"{self.job['folder']}/ours.npz", allow_pickle=False) as arrays:
            self.net.load_parameters({name: arrays[name] for name in arrays.files})

    def logits(self) -> np.ndarray:
        return self.net.predict(self.pool[0][0])

    def losses(self, steps: int) -> list[float]:
        rate = NETS[self.job["net"]].checked_rate
        taken = [self.net.train_step(*self.pool[i % len(self.pool)], lr=rate).loss for i in range(steps)]
        self.reset()
        return taken

    def variants(self) -> dict[str, Callable[[], object]]:
        turn = cycle(self.pool)
        if self.job["measure"] == "training":
            return {"": lambda: self.net.train_step(*next(turn), lr=TIMED_RATE)}
        return {"": lambda: self.net.predict(next(turn)[0])}
