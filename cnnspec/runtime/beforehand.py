"""Which kernels a net will ask for, so that they can be compiled before anybody waits for them."""

from __future__ import annotations

from ..compiler import Compiler
from .answers import BATCH
from .runner import TAKERS, WALKERS


def kernels_of(compiler: Compiler) -> list[str]:
    """Return the kernels of training, evaluation and prediction of a net, in the order in which they are met.

    Plans of one picture are cut otherwise than those of many and may call other kernels, so both are looked at.
    """
    batch = compiler.model.train.batch
    names: dict[str, None] = {}
    for target in ("i32", "f32") if compiler.model.train.loss.word == "mse" else ("i32",):
        plans = [compiler.with_options(target=target, batch=batch).plan]
        for n in dict.fromkeys((batch, BATCH, 1)):
            plans.append(compiler.with_options(target=target, batch=n).inference_plan)
        names.update(dict.fromkeys(kernel for plan in plans for kernel in plan.kernels))
    return [*names, *WALKERS, *TAKERS]
