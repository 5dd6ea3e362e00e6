"""Graphs run as arrays in, arrays out: what the tests of ops, passes and plans share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnspec.abi import STEP
from cnnspec.autodiff import differentiate
from cnnspec.ir.fields import Shape
from cnnspec.ir.graph import STEP_SIZE, Builder, Graph, Op, ParamValue, Value
from cnnspec.lower.compile import compile_plan
from cnnspec.ops.loss import Loss, MeanSquaredErrorLoss
from cnnspec.ops.reshape import Flatten
from cnnspec.runtime.pack import pack, unpack
from cnnspec.runtime.runner import Runner

BATCH = 6


def layer_graph(op: Op, shapes: Sequence[Shape], *, training: bool = True, loss: bool | None = None) -> Graph:
    """Return the graph of one layer: inputs ``x0``, ``x1``, ...; outputs ``y`` and, in training or asked for, its loss.

    The loss is the mean squared difference to the input ``target``, which any output shape allows.
    """
    y_shape = op.infer(*shapes)
    features = int(np.prod(y_shape))
    inputs = {f"x{i}": Value(f"x{i}", ("N", *shape)) for i, shape in enumerate(shapes)}
    xs = list(inputs.values())
    inputs |= {
        "target": Value("target", ("N", features)),
        "keys": Value("keys", ("N", 1), "i64"),
        "step": Value("step", (STEP_SIZE,)),
    }
    b = Builder(inputs)
    b.layer = "layer"
    params = {p.name: ParamValue(Value(p.name, p.shape), p) for p in op.params(*shapes)}
    y = op.build(b, xs, [p.value for p in params.values()], training)
    outputs = {"y": y}
    if training if loss is None else loss:
        flat = y if len(y.sample) == 1 else b.add(Flatten(), y)
        outputs["loss"], outputs["correct"] = b.add_all(MeanSquaredErrorLoss(), flat, inputs["target"])
    return Graph(tuple(inputs.values()), params, tuple(b.nodes), outputs, b.updates)


def with_gradients(graph: Graph) -> Graph:
    """Return the graph with the gradient of every trainable parameter and of every input ``x0``, ``x1``, ..."""
    wanted = [name for name, p in graph.params.items() if p.param.trainable]
    wanted += [v.name for v in graph.inputs if v.name[0] == "x"]
    return differentiate(graph, wanted=tuple(wanted))


def loss_graph(op: Loss, features: int, target: str) -> Graph:
    """Return the graph of a loss of the input ``x0`` [n, features] and its gradient; ``target`` is i32 or f32."""
    shape = ("N", 1) if target == "i32" else ("N", features)
    x, t, step = Value("x0", ("N", features)), Value("target", shape, target), Value("step", (STEP_SIZE,))
    b = Builder({"x0": x, "target": t, "step": step})
    loss, correct = b.add_all(op, x, t)
    return with_gradients(Graph((x, t, step), {}, tuple(b.nodes), {"loss": loss, "correct": correct}))


class Run:
    """A graph as a plan in memory: set arrays by name, run, get arrays by name.

    One thread unless told: results are the same, and tests share their cores with each other.
    """

    def __init__(self, graph: Graph, *, dtype: str = "f64", batch: int = BATCH, threads: int = 1) -> None:
        self.graph, self.batch = graph, batch
        self.plan = compile_plan(graph, batch=batch, dtype=dtype)
        self.runner = Runner(self.plan, threads_=threads)
        self.values = {v.name: v for node in graph.nodes for v in node.outputs} | {v.name: v for v in graph.inputs}

    def set(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Write inputs (any number of samples) and parameters."""
        for name, array in arrays.items():
            if name in self.graph.params:
                if name in self.plan.buffers:
                    memory = self.runner.view(self.plan.buffers[name])[0]
                    pack(np.asarray(array, memory.dtype), self.graph.params[name].param.groups, memory)
                continue
            value = self.values[name]
            if value.has_batch:
                image = self.runner.image(name) if name in self.plan.layouts else self._flat(name)
                image[: len(array)] = array.reshape(len(array), *image.shape[1:])
            else:
                self.runner.view(self.plan.inputs[name])[0, : array.size] = array

    def _flat(self, name: str) -> np.ndarray:
        return self.runner.view(self.plan.inputs[name])[:, : self.values[name].sample_size]

    def run(self, n: int, arrays: Mapping[str, np.ndarray] | None = None) -> Run:
        """Run the first ``n`` samples, after setting arrays."""
        self.set({"step": np.array([1 / n])} if any(v.name == "step" for v in self.graph.inputs) else {})
        assert STEP.inverse_batch == 0
        self.set(arrays or {})
        self.runner.run(n)
        return self

    def get(self, output: str, n: int) -> np.ndarray:
        """Return a batched result of the last run as an array [n, ...] of its own."""
        shape = self.graph.outputs[output].sample
        return self.runner.image(self.plan.outputs[output].name)[:n].reshape(n, *shape).copy()

    def gradient(self, name: str, n: int) -> np.ndarray:
        """Return the gradient of the mean loss in a parameter, or in an input [n, ...]."""
        buffer, copies = self.plan.gradients[name]
        if name in self.graph.params:
            param = self.graph.params[name].param
            return unpack(self.runner.view(buffer)[:copies].sum(0), param.shape, param.groups)
        return self.runner.image(buffer.name)[:n].reshape(n, *self.values[name].sample).copy()

    def parameter(self, name: str) -> np.ndarray:
        """Return a parameter as it now is."""
        param = self.graph.params[name].param
        return unpack(self.runner.view(self.plan.buffers[name])[0], param.shape, param.groups)

    def loss(self, n: int) -> float:
        """Return the mean loss of the last run."""
        return float(self.runner.view(self.plan.outputs["totals"])[0, 0]) / n


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative to the largest number expected (to 1 where that is smaller)."""
    assert found.shape == expected.shape, f"{found.shape} is not {expected.shape}"
    if expected.size == 0:
        return 0.0
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
