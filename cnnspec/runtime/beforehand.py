"""Which kernels a net will ask for, so that they can be compiled before anybody waits for them."""

from __future__ import annotations

from ..compiler import Compiler
from ..passes.pipelines import inference_graph, training_graph
from ..plan.compile import compile_plan
from ..plan.optimizer import update_of
from .runner import WALKERS

PICTURES = 64  # that a prediction takes at a time, at most


def kernels_of(compiler: Compiler) -> list[str]:
    """Return the kernels of training, evaluation and prediction of a net, in the order in which they are met.

    Plans of one picture are cut otherwise than those of many and may call other kernels, so both are looked at.
    """
    model, exact = compiler.model, compiler.exact
    batch = model.train.batch
    names: dict[str, None] = {}
    for target in ("i32", "f32") if model.train.loss.word == "mse" else ("i32",):
        training = training_graph(model, target, exact)
        plans = [compile_plan(training, batch=batch, update=update_of(model.train.optimizer), given=("x",))]
        inference = inference_graph(model, target, exact)
        plans += [compile_plan(inference, batch=n, given=("x",)) for n in dict.fromkeys((batch, PICTURES, 1))]
        names.update(dict.fromkeys(kernel for plan in plans for kernel in plan.kernels))
    return [*names, *WALKERS]
