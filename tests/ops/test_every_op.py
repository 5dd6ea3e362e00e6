"""Laws that every layer obeys, on samples known by hand and on drawn ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from golden import SPECS
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import REFERENCES, bn_training, cross_entropy, mean_squared_error
from running import BATCH, Run, distance, layer_graph, loss_graph, with_gradients
from samples import IN_TRAINING_ONLY_TOGETHER, RANDOM_IN_TRAINING, SAMPLES, Bad, Good

from cnnspec.compiler import Compiler
from cnnspec.errors import ShapeRuleError
from cnnspec.ir.fields import Shape
from cnnspec.ir.graph import STEP_SIZE, Builder, Graph, Op, Value
from cnnspec.ir.verify import verify_graph
from cnnspec.ops import LAYERS, OPS
from cnnspec.ops.loss import CrossEntropyLoss, Loss, MeanSquaredErrorLoss

# The default draws the same samples each time; CNNSPEC_EXAMPLES=2000 goes further, with new ones each time.
EXAMPLES = int(os.environ.get("CNNSPEC_EXAMPLES", "0"))
drawn = settings(max_examples=EXAMPLES or 40, derandomize=not EXAMPLES, database=None)
seeds = st.integers(0, 2**32 - 1)
every_layer = pytest.mark.parametrize("name", sorted(LAYERS))

GOOD = [pytest.param(s, id=f"{n}{i}") for n, samples in SAMPLES.items() for i, s in enumerate(samples.good)]
BAD = [pytest.param(s, id=f"{n}{i}") for n, samples in SAMPLES.items() for i, s in enumerate(samples.bad)]

Arrays = dict[str, np.ndarray]


def draw_arrays(op: Op, shapes: Sequence[Shape], n: int, seed: int) -> Arrays:
    """Return inputs, parameters, target and keys for a layer."""
    rng = np.random.default_rng(seed)
    arrays = {f"x{i}": SAMPLES[op.name].numbers(rng, (n, *shape)) for i, shape in enumerate(shapes)}
    for p in op.params(*shapes):
        arrays[p.name] = rng.standard_normal(p.shape) / max(1.0, np.sqrt(p.fan_in))
    if "running_var" in arrays:
        arrays["running_var"] = np.abs(arrays["running_var"]) + 0.5
    arrays["target"] = rng.standard_normal((n, int(np.prod(op.infer(*shapes)))))
    arrays["keys"] = rng.integers(0, 2**62, (n, 1))
    return arrays


def expected_output(op: Op, arrays: Arrays) -> np.ndarray:
    xs = [arrays[f"x{i}"] for i in range(len([name for name in arrays if name[0] == "x"]))]
    return REFERENCES[op.name](op, xs, arrays)


def test_every_layer_has_samples_and_a_reference() -> None:
    assert set(SAMPLES) == set(LAYERS), "add samples to tests/ops/samples.py"
    assert set(REFERENCES) == set(LAYERS), "add a formula to tests/ops/reference.py"


def test_laws_reach_every_op() -> None:
    """Ops that only graphs hold are reached through the layers: each must be in some sample's graph."""
    seen = set()
    for samples in SAMPLES.values():
        for good in samples.good:
            seen |= {node.op.name for node in with_gradients(layer_graph(good.op, good.inputs)).nodes}
            inference = layer_graph(good.op, good.inputs, training=False, loss=True)
            seen |= {node.op.name for node in with_gradients(inference).nodes}
    for loss in ("cross_entropy", "mse"):  # what passes make of the two nets with the most to rewrite
        for spec in (SPECS / "zoo" / "resnet20.cnn", SPECS.parent / "benchmarks" / "specs" / "densenet40.cnn"):
            compiler = Compiler.from_text(spec.read_text(encoding="utf-8"), settings={"train.loss": loss})
            seen |= {node.op.name for graph in (compiler.backward, compiler.inference) for node in graph.nodes}
    elsewhere = {name for name, cls in OPS.items() if cls.build is not Op.build}  # may build no node of their own
    assert set(OPS) - elsewhere - seen == set()


# ---- shapes and counts ------------------------------------------------------------------------------
@pytest.mark.parametrize("sample", GOOD)
def test_known_sizes(sample: Good) -> None:
    op, inputs = sample.op, sample.inputs
    assert op.infer(*inputs) == sample.output
    assert sum(p.size for p in op.params(*inputs)) == sample.params
    assert op.macs(inputs, sample.output) == sample.macs


@pytest.mark.parametrize("sample", BAD)
def test_bad_inputs_are_refused(sample: Bad) -> None:
    with pytest.raises(ShapeRuleError) as caught:
        sample.op.infer(*sample.inputs)
    assert sample.words in str(caught.value)
    assert getattr(caught.value, "field", "") == sample.at


@every_layer
@drawn
@given(data=st.data())
def test_macs_and_params_are_counted(name: str, data: st.DataObject) -> None:
    """With ones everywhere, padding included, and no bias, the sum of all outputs counts the multiplications.

    Each weight is used once at each output position, so the first position alone counts the weights.
    """
    op, shapes = data.draw(SAMPLES[name].drawn)
    found = op.macs(shapes, op.infer(*shapes))
    weights = {p.name: np.ones(p.shape) for p in op.params(*shapes) if p.name == "weight"}
    if name == "bn" or not weights:
        assert found == 0, "only layers with filters multiply and add"
        return
    xs = [np.ones((1, *shape)) for shape in shapes]
    y = REFERENCES[name](op, xs, weights, 1.0)  # type: ignore[call-arg]
    assert found == y.sum()
    bias = y.shape[-1] if op.bias else 0  # type: ignore[attr-defined]
    assert sum(p.size for p in op.params(*shapes)) == y.reshape(-1, y.shape[-1])[0].sum() + bias


# ---- values -----------------------------------------------------------------------------------------
@every_layer
@drawn
@given(data=st.data(), seed=seeds, n=st.integers(1, BATCH))
def test_inference(name: str, data: st.DataObject, seed: int, n: int) -> None:
    """Shape as inferred, values as the reference, and a batch is its samples one by one."""
    op, shapes = data.draw(SAMPLES[name].drawn)
    arrays = draw_arrays(op, shapes, n, seed)
    wanted = expected_output(op, arrays)
    assert wanted.shape == (n, *op.infer(*shapes))
    graph = layer_graph(op, shapes, training=False)
    verify_graph(graph)
    for dtype, tolerance in (("f64", 1e-12), ("f32", 1e-5)):
        run = Run(graph, dtype=dtype)
        found = run.run(n, arrays).get("y", n)
        assert distance(found, wanted) < tolerance, dtype
        for i in range(n):
            alone = run.run(1, {k: v[i : i + 1] for k, v in arrays.items() if k[0] == "x"}).get("y", 1)
            assert distance(alone[0], found[i]) < tolerance / 10, f"{dtype}, sample {i} of {n}"


@every_layer
@drawn
@given(data=st.data(), seed=seeds, n=st.integers(1, BATCH))
def test_training(name: str, data: st.DataObject, seed: int, n: int) -> None:
    """Forward and loss as the reference, and every gradient as finite differences, with float32 near float64.

    Batch norm is no function of one sample while it trains, so it is checked against its own formula, and is exempt
    from one by one. Dropout's mask depends on the sample's key alone.
    """
    op, shapes = data.draw(SAMPLES[name].drawn)
    arrays = draw_arrays(op, shapes, n, seed)
    graph = with_gradients(layer_graph(op, shapes))
    verify_graph(graph)
    run = Run(graph).run(n, arrays)
    y = run.get("y", n)
    if name == "bn":
        wanted, mean, var = bn_training(op, [arrays["x0"]], arrays)
        assert distance(run.parameter("running_mean"), mean) < 1e-12
        assert distance(run.parameter("running_var"), var) < 1e-12
        assert distance(y, wanted) < 1e-12
    elif name not in RANDOM_IN_TRAINING:
        wanted = expected_output(op, arrays)
        assert distance(y, wanted) < 1e-12
    assert run.loss(n) == pytest.approx(mean_squared_error(y.reshape(n, -1), arrays["target"]).mean(), rel=1e-12)

    check_gradients(run, arrays, n, seed)

    if name == "bn" and n * int(np.prod(shapes[0][:-1])) < 3:
        return  # one or two numbers come out as 0 or +-1 whatever they are: the gradient is all rounding
    single = Run(graph, dtype="f32").run(n, arrays)
    run.run(n, arrays)
    for parameter in run.plan.gradients:
        exact = run.gradient(parameter, n)
        scale = max(np.abs(exact).max(), 1e-2)
        assert np.abs(single.gradient(parameter, n) - exact).max() / scale < 2e-4, f"float32 gradient in {parameter}"

    if name not in IN_TRAINING_ONLY_TOGETHER:
        batched = [name for name, array in arrays.items() if name[0] == "x" or name in ("target", "keys")]
        for i in range(n):
            alone = run.run(1, {k: arrays[k][i : i + 1] for k in batched})
            assert distance(alone.get("y", 1)[0], y[i]) < 1e-13, f"sample {i} of {n}"


@pytest.mark.parametrize("activation", ["", "tanh", "relu6"])
@drawn
@given(data=st.data(), seed=seeds, n=st.integers(1, BATCH))
def test_gradients_of_batch_norm_in_inference(activation: str, data: st.DataObject, seed: int, n: int) -> None:
    """The running statistics are numbers like others there: a sample's gradient is its own."""
    op, shapes = data.draw(SAMPLES["bn"].drawn)
    arrays = draw_arrays(op, shapes, n, seed)
    op = replace(op, activation=activation)
    run = Run(with_gradients(layer_graph(op, shapes, training=False, loss=True))).run(n, arrays)
    plain = Run(layer_graph(op, shapes, training=False)).run(n, arrays)
    assert np.array_equal(run.get("y", n), plain.get("y", n))
    if activation == "relu6":
        y = run.get("y", n)
        inside = (y > 0) & (y < 6)
        assert not run.gradient("x0", n)[~inside].any()
        return  # near a kink a difference of losses is no gradient
    check_gradients(run, arrays, n, seed)


def check_gradients(run: Run, arrays: Mapping[str, np.ndarray], n: int, seed: int) -> None:
    """Compare each gradient with a difference of fourth order along a random vector: one scalar for each array."""
    rng = np.random.default_rng(seed + 1)
    run.run(n, arrays)
    gradients = {name: run.gradient(name, n) for name in run.plan.gradients}
    step = 1e-3
    for name, gradient in gradients.items():
        direction = np.clip(rng.standard_normal(gradient.shape), -2, 2)
        losses = []
        for k in (-2, -1, 1, 2):
            losses.append(run.run(n, {**arrays, name: arrays[name] + k * step * direction}).loss(n))
        difference = (losses[0] - 8 * losses[1] + 8 * losses[2] - losses[3]) / (12 * step)
        exact = float((gradient * direction).sum())
        size = max(abs(difference), abs(exact), 1e-3 * abs(losses[0]), 1e-4)  # below that, rounding of the loss
        assert abs(difference - exact) / size < 1e-6, f"gradient in {name}: {exact} is not {difference}"
        run.set({name: arrays[name]})


# ---- dropout ----------------------------------------------------------------------------------------
def test_dropout_keeps_the_mean_and_follows_the_keys() -> None:
    op, shape = LAYERS["dropout"](0.3), (16, 16, 16)
    run = Run(layer_graph(op, [shape]))
    keys = np.array([[5], [6], [5]])
    y = run.run(3, {"x0": np.ones((3, *shape)), "keys": keys, "target": np.zeros((3, 4096))}).get("y", 3)
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    dropped = (y == 0).mean(axis=(1, 2, 3))
    assert np.abs(dropped - 0.3).max() < 0.03  # four standard deviations of 4096 draws
    assert np.array_equal(y[0], y[2]), "one key, one mask"
    together = ((y[0] == 0) & (y[1] == 0)).mean()
    assert abs(together - 0.09) < 0.02, "another key, an independent mask"


def test_two_dropouts_draw_apart() -> None:
    shape = (16, 16, 16)
    x, keys, step = Value("x0", ("N", *shape)), Value("keys", ("N", 1), "i64"), Value("step", (STEP_SIZE,))
    b = Builder({"x0": x, "keys": keys, "step": step})
    first = LAYERS["dropout"](0.5).build(b, [x], [], True)
    second = LAYERS["dropout"](0.5).build(b, [x], [], True)
    run = Run(Graph((x, keys, step), {}, tuple(b.nodes), {"a": first, "b": second}))
    run.run(1, {"x0": np.ones((1, *shape)), "keys": np.array([[7]])})
    both = ((run.get("a", 1) == 0) & (run.get("b", 1) == 0)).mean()
    assert abs(both - 0.25) < 0.04


# ---- losses -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("op", [CrossEntropyLoss(0.0), CrossEntropyLoss(0.1), MeanSquaredErrorLoss()], ids=repr)
@drawn
@given(features=st.integers(1, 40), n=st.integers(1, BATCH), seed=seeds, scale=st.sampled_from((1.0, 30.0)))
def test_losses_on_class_numbers(op: Loss, features: int, n: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    arrays = {"x0": scale * rng.standard_normal((n, features)), "target": rng.integers(0, features, (n, 1))}
    labels = arrays["target"][:, 0]
    if isinstance(op, CrossEntropyLoss):
        wanted = cross_entropy(arrays["x0"], labels, op.smooth)
    else:
        wanted = mean_squared_error(arrays["x0"], np.eye(features)[labels])
    graph = loss_graph(op, features, "i32")
    for dtype, tolerance in (("f64", 1e-12), ("f32", 1e-5)):
        run = Run(graph, dtype=dtype).run(n, arrays)
        assert distance(run.get("loss", n)[:, 0], wanted) < tolerance
        assert np.array_equal(run.get("correct", n)[:, 0], arrays["x0"].argmax(axis=1) == labels)
        if dtype == "f64":
            check_gradients(run, arrays, n, seed)


@drawn
@given(features=st.integers(1, 40), n=st.integers(1, BATCH), seed=seeds)
def test_mean_squared_error_on_arrays(features: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = {"x0": rng.standard_normal((n, features)), "target": rng.standard_normal((n, features))}
    run = Run(loss_graph(MeanSquaredErrorLoss(), features, "f32")).run(n, arrays)
    assert distance(run.get("loss", n)[:, 0], mean_squared_error(arrays["x0"], arrays["target"])) < 1e-12
    hits = arrays["x0"].argmax(axis=1) == arrays["target"].argmax(axis=1)
    assert np.array_equal(run.get("correct", n)[:, 0], hits)
    check_gradients(run, arrays, n, seed)
