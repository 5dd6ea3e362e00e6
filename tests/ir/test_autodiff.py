"""Differentiation of whole nets: every gradient is a finite difference, wherever a value is read more than once."""

from __future__ import annotations

import numpy as np
import pytest
from running import Run

from cnnspec.autodiff import differentiate
from cnnspec.compiler import Compiler
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.build import build_graph
from cnnspec.passes.pipelines import FORWARD, TRAINING

# Smooth activations: near a kink a difference of losses is no gradient, and in a whole net some value is always near.
STEM = "input 9x8x4\nconv 6 3x3 -> tanh\n"
HEAD = "flatten -> dense 7\n"
BODIES = {
    "lenet": "avgpool 2 -> conv 10 3x3 pad=none -> tanh -> maxpool 2",
    "bn_before_everything": "bn -> conv 8 3x3 bias=no -> bn -> tanh -> depthwise 3x3 -> bn -> sigmoid",
    "residual": "residual {\nconv 6 3x3 -> bn -> tanh -> conv 6 3x3 -> bn\n}\ntanh",
    "residual_sum": "residual {\nconv 6 3x3 -> tanh -> conv 6 3x3 -> bn\n}",
    "projection": "residual {\nconv 12 3x3 stride=2 -> tanh\n} project {\nconv 12 1x1 stride=2\n}",
    "inception": "concat {\n| conv 3 1x1\n| identity\n| maxpool 3 stride=1 pad=same\n| conv 2 1x1 -> conv 4 5x5\n}",
    "squeeze_and_excite": "multiply {\n| identity\n| avgpool global -> conv 2 1x1 -> tanh -> conv 6 1x1 -> sigmoid\n}",
    "square": "multiply {\n| identity\n| identity\n}",
    "one_value_four_times": "add {\n| identity\n| identity\n| tanh\n| conv 6 1x1\n}",
    "groups_and_dilation": "conv 12 3x3 groups=3 dilation=2 -> sigmoid -> conv 33 3x3 stride=3x2 groups=3 -> tanh",
    "dropout": "dropout 0.3 -> conv 5 3x3 -> dropout 0.5 -> tanh",
    "wide": "conv 64 3x3 stride=2 -> tanh -> conv 70 2x2 pad=0x1 -> tanh",
    "dense_chain": "flatten -> dense 300 -> tanh -> dense 40 -> bn -> tanh",
}
LOSSES = {
    "cross_entropy": "train {\n  loss cross_entropy\n}\n",
    "smooth": "train {\n  loss cross_entropy smooth=0.1\n}\n",
    "mse": "train {\n  loss mse\n}\n",
}


def run_net(text: str, n: int, seed: int = 3) -> tuple[Run, dict[str, np.ndarray]]:
    model = Compiler.from_text(text).model
    forward = run_pipeline(build_graph(model, training=True), FORWARD)
    graph = run_pipeline(differentiate(forward), TRAINING)
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {
        "x": rng.standard_normal((n, *model.input_shape)),
        "target": rng.integers(0, model.output_shape[-1], (n, 1)),
        "keys": rng.integers(0, 2**62, (n, 1)),
    }
    for name, p in model.params.items():
        arrays[name] = rng.standard_normal(p.shape) * (0.3 if p.fan_in < 200 else 0.05) + (p.init == "ones")
    return Run(graph), arrays


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("body", BODIES)
def test_gradients_of_nets(body: str, loss: str) -> None:
    n = 5
    head = "dense 7\n" if body == "dense_chain" else HEAD
    run, arrays = run_net(f"{STEM}{BODIES[body]}\n{head}{LOSSES[loss]}", n)
    run.run(n, arrays)
    gradients = {name: run.gradient(name, n) for name in run.plan.gradients}
    assert set(gradients) == {name for name, p in run.graph.params.items() if p.param.trainable}
    rng = np.random.default_rng(4)
    step = 1e-5
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        high, low = (run.run(n, {**arrays, name: arrays[name] + sign * step * direction}).loss(n) for sign in (1, -1))
        run.set({name: arrays[name]})
        difference, exact = (high - low) / (2 * step), float((gradient * direction).sum())
        size = max(abs(difference), abs(exact), 1e-3 * np.linalg.norm(gradient), 1e-4)
        assert abs(difference - exact) / size < 1e-6, f"gradient in {name}: {exact} is not {difference}"


def test_gradient_of_a_short_batch_is_of_its_mean() -> None:
    """The gradient of three samples is the mean of the gradients of each."""
    run, arrays = run_net(STEM + "conv 5 3x3 -> tanh\n" + HEAD, 3)
    run.run(3, arrays)
    together = {name: run.gradient(name, 3) for name in run.plan.gradients}
    total = {name: np.zeros_like(g) for name, g in together.items()}
    for i in range(3):
        run.run(1, {name: arrays[name][i : i + 1] for name in ("x", "target", "keys")})
        for name in total:
            total[name] += run.gradient(name, 1) / 3
    for name, g in together.items():
        assert np.abs(total[name] - g).max() < 1e-12, name


def test_only_what_is_wanted_is_differentiated() -> None:
    model = Compiler.from_text("input 6x6x2\nconv 3 3x3 -> tanh\nflatten -> dense 2\n").model
    graph = build_graph(model, training=True)
    last = run_pipeline(differentiate(graph, wanted=("dense.bias",)), TRAINING)
    assert [name for name in last.outputs if name.startswith("grad:")] == ["grad:dense.bias"]
    assert not {"conv_weight_grad", "conv_input_grad", "dense_weight_grad"} & {n.op.name for n in last.nodes}
    whole = run_pipeline(differentiate(graph), TRAINING)
    assert "conv_input_grad" not in {n.op.name for n in whole.nodes}, "nobody asked for the gradient in the picture"
    pictures = run_pipeline(differentiate(graph, wanted=("x",)), TRAINING)
    assert "conv_input_grad" in {n.op.name for n in pictures.nodes}


def test_the_gradient_of_a_value_inside_costs_no_second_sum() -> None:
    """A value that is read more than once has its gradients added once, whether or not the sum is asked for."""
    model = Compiler.from_text("input 4x4x2\nconv 2 1x1\nresidual {\nconv 2 1x1 -> tanh\n}\nflatten -> dense 2\n").model
    graph = build_graph(model, training=True, watched=["conv1"])
    inside = graph.outputs["layer:conv1"].name
    both = differentiate(graph, wanted=("conv1.weight", inside))
    plain = differentiate(graph, wanted=("conv1.weight",))
    assert [node.op.name for node in both.nodes] == [node.op.name for node in plain.nodes]
    last = [node for node in both.nodes if node.op.name == "conv_weight_grad"][-1]
    assert both.outputs[f"grad:{inside}"] in last.inputs
