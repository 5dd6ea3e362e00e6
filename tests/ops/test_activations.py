"""The table of activations: each row has a layer, is one function fused and alone, and passes on a NaN."""

from __future__ import annotations

import numpy as np
import pytest
from activations import BY_KIND, KINDS, LINES, activate
from reference import REFERENCES
from running import Run, layer_graph, with_gradients

from cnnspec.activations import CODES, ROWS, is_of_input, split
from cnnspec.compiler import Compiler
from cnnspec.ir.fields import Shape
from cnnspec.ir.graph import Op
from cnnspec.lower.compile import compile_plan
from cnnspec.ops import LAYERS
from cnnspec.ops.activation import Activation
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.linear import Dense
from cnnspec.ops.merge import Add
from cnnspec.ops.norm import BatchNorm
from cnnspec.passes.base import run_pipeline
from cnnspec.passes.choose_algorithm import ChooseAlgorithm
from cnnspec.passes.pipelines import training_graph

every_kind = pytest.mark.parametrize("kind", BY_KIND)
both = pytest.mark.parametrize("dtype", ["f32", "f64"])

# Every kernel that applies a fused activation, on channels that leave a part of a vector.
FUSED: dict[str, tuple[type[Op], dict[str, object], tuple[Shape, ...]]] = {
    "tile": (Conv, {"out_channels": 37, "kernel_size": (3, 3)}, ((6, 7, 9),)),
    "tile in parts": (Conv, {"out_channels": 20, "kernel_size": (5, 5), "stride": (2, 2)}, ((6, 7, 160),)),
    "groups": (Conv, {"out_channels": 15, "kernel_size": (3, 3), "groups": 3}, ((5, 6, 9),)),
    "few channels": (Conv, {"out_channels": 5, "kernel_size": (3, 3)}, ((5, 20, 1),)),
    "winograd": (Conv, {"out_channels": 45, "kernel_size": (3, 3)}, ((9, 10, 19),)),
    "winograd in stages": (Conv, {"out_channels": 208, "kernel_size": (3, 3)}, ((6, 7, 176),)),
    "depthwise": (Depthwise, {"kernel_size": (5, 3), "stride": (2, 1)}, ((7, 8, 19),)),
    "depthwise by window": (Depthwise, {"kernel_size": (3, 3)}, ((7, 8, 19),)),
    "dense": (Dense, {"units": 21}, ((30,),)),
    "affine": (BatchNorm, {}, ((4, 5, 19),)),
    "sum": (Add, {}, ((4, 5, 19), (4, 5, 19))),
}


def test_every_row_has_a_layer_and_every_layer_a_row() -> None:
    assert {split(kind)[0] for kind in BY_KIND} == set(ROWS)
    assert {op.name for op in BY_KIND.values()} == {n for n, cls in LAYERS.items() if issubclass(cls, Activation)}
    assert list(CODES.values()) == list(range(1 + len(ROWS)))


def arrays_of(op: Op, shapes: tuple[Shape, ...], n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    arrays = {f"x{i}": 2 * rng.standard_normal((n, *shape)) for i, shape in enumerate(shapes)}
    arrays |= {p.name: 2 * rng.standard_normal(p.shape) / max(1, p.fan_in) ** 0.5 for p in op.params(*shapes)}
    return arrays | ({"running_var": np.full(shapes[0][-1], 0.5)} if "running_var" in arrays else {})


@both
@every_kind
@pytest.mark.parametrize("place", FUSED)
def test_fused_is_alone(place: str, kind: str, dtype: str) -> None:
    """The layer's reference, then the activation's; and a NaN in the input is one in just the same outputs."""
    cls, fields, shapes = FUSED[place]
    op = cls(**fields, activation=kind)
    graph = layer_graph(op, shapes, training=False)
    if place.startswith("winograd"):
        graph = run_pipeline(graph, [ChooseAlgorithm()])
        assert graph.nodes[0].op.algorithm == place.replace("in stages", "staged")  # type: ignore[attr-defined]
    n = 3
    arrays = arrays_of(op, shapes, n)
    xs = [arrays[f"x{i}"] for i in range(len(shapes))]
    linear = REFERENCES[op.name](op, xs, arrays)
    run = Run(graph, dtype=dtype).run(n, arrays)
    tolerance = (1e-12 if dtype == "f64" else 1e-5) * np.abs(linear).max()  # the sums' own error
    assert np.abs(run.get("y", n) - activate(kind, linear)).max() < tolerance
    assert np.abs(activate(kind, linear) - linear).max() > 0.1, "an activation that does nothing here shows nothing"
    xs[0][1].flat[-1] = np.nan
    bad = np.isnan(REFERENCES[op.name](op, xs, arrays))
    found = np.isnan(run.run(n, {**arrays, "x0": xs[0]}).get("y", n))
    assert found[bad].all()
    if not place.startswith("winograd"):  # whose squares share their numbers
        assert np.array_equal(found, bad)


@both
@every_kind
@pytest.mark.parametrize("size", [*range(1, 20), 31, 33, 100])
def test_each_nan_passes_alone(size: int, kind: str, dtype: str) -> None:
    """In whole vectors, in the numbers that are left, one by one."""
    x = np.random.default_rng(size).standard_normal((2, size))
    x[0, size // 2] = x[1, -1] = np.nan
    y = Run(layer_graph(BY_KIND[kind], [(size,)], training=False), dtype=dtype).run(2, {"x0": x}).get("y", 2)
    assert np.array_equal(np.isnan(y), np.isnan(x))


@both
@every_kind
def test_far_numbers(kind: str, dtype: str) -> None:
    """No overflow on the way makes a finite number infinite, or a NaN; slopes are those of far away."""
    x = np.array([-1e38, -3e5, -200.0, -90.0, -20.0, 20.0, 90.0, 200.0, 3e5, 1e38])
    op = BY_KIND[kind]
    run = Run(with_gradients(layer_graph(op, [(x.size,)])), dtype=dtype, batch=1)
    wanted = activate(kind, x)
    target = wanted - 0.5 * x.size  # so that dy is 1
    run.run(1, {"x0": x[None], "target": target[None]})
    y, slope = run.get("y", 1)[0], run.gradient("x0", 1)[0]
    scale = np.maximum(1, np.abs(wanted))
    assert (np.abs(y - wanted) / scale).max() < 1e-6
    near = np.abs(x) < 1e3  # further out the loss itself overflows, or rounds dy away
    step = (activate(kind, x + 1e-3) - activate(kind, x - 1e-3)) / 2e-3
    assert np.abs(slope - step)[near].max() < 1e-4


@pytest.mark.parametrize("line", LINES)
def test_training_fuses_where_the_output_tells_the_slope(line: str) -> None:
    text = f"input 6x6x2\nconv 3 3x3 -> {line}\nflatten -> dense 2\n"
    compiler = Compiler.from_text(text)
    op = compiler.model.layers[1].op
    assert isinstance(op, Activation)
    training = {n.op.name for n in training_graph(compiler.model).nodes}
    assert (op.name in training) == is_of_input(op.kind)
    assert op.name not in {n.op.name for n in compiler.inference.nodes}


class Cubed(Activation):
    """An activation whose row was forgotten."""

    name = "cubed"


def test_an_activation_without_a_row_is_not_compiled() -> None:
    words = r"the activation cubed has no row in cnnspec/activations.py"
    fused = Conv(3, (3, 3), activation="cubed"), Depthwise((3, 3), activation="cubed")
    for op in (Cubed(), *fused):
        with pytest.raises(NotImplementedError, match=words):
            compile_plan(layer_graph(op, [(4, 4, 2)], training=False), batch=2)
    with pytest.raises(NotImplementedError, match=words):
        with_gradients(layer_graph(Cubed(), [(5,)]))


def test_a_fused_op_that_lost_its_input_has_no_gradient() -> None:
    with pytest.raises(NotImplementedError, match="the gradient of silu needs its input"):
        with_gradients(layer_graph(Conv(3, (3, 3), activation="silu"), [(4, 4, 2)]))


def test_kinds_hold_parameters() -> None:
    assert {"relu", "leaky_relu:0.2", "elu:1.0", "elu:0.3", "gelu", "gelu_tanh"} <= set(KINDS)
