"""What ``trace`` hands out: activations and gradients of a batch, held against a net in plain NumPy float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from reference import REFERENCES, bn_training, cross_entropy, mean_squared_error

import cnnspec
from cnnspec.compiler import Compiler
from cnnspec.errors import DataError, SpecError
from cnnspec.model.model import Model
from cnnspec.ops import LAYERS
from cnnspec.ops.activation import Activation
from cnnspec.runtime.network import Draw, Network

SPEC = """input 8x9x3
stem: conv 6 3x3 -> bn -> relu
maxpool 2
residual {
  conv 6 3x3 bias=no -> bn -> relu -> conv 6 3x3 -> bn
}
relu
depthwise 3x3 -> relu6
concat {
  | conv 4 1x1
  | identity
  | avgpool 3 stride=1 pad=same -> conv 5 1x1 -> tanh
}
bn
flatten -> dense 5
"""
MSE = SPEC + "train {\n  loss mse\n}\n"
N = 4
Arrays = Mapping[str, np.ndarray]


def network_of(text: str = SPEC, **options: object) -> Network:
    """Return a net with running statistics and offsets that are no zeros and ones."""
    network = Network(
        Compiler.from_text(text).with_options(**{"batch": 6, "dtype": "f64", **options}), seed=2, threads=2
    )
    rng = np.random.default_rng(5)
    values = network.parameters()
    for name, value in values.items():
        if "bn" in name or "bias" in name:
            values[name] = value + rng.uniform(0.1, 0.5, value.shape)
    network.load_parameters(values)
    return network


def batch_of(model: Model, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, *model.input_shape)), rng.integers(0, model.output_shape[0], n).astype(np.int32)


def reference_net(model: Model, params: Arrays, x: np.ndarray, training: bool, fixed: Arrays) -> dict[str, np.ndarray]:
    """Return the output of every layer; ``fixed`` outputs stand in place of those that are computed."""
    made = {"input": fixed.get("input", x)}
    for layer in model.layers:
        xs = [made[name] for name in layer.inputs]
        own = {p.name: params[f"{layer.name}.{p.name}"] for p in layer.params}
        if layer.op.name == "bn" and training:
            y = bn_training(layer.op, xs, own)[0]
        else:
            y = REFERENCES[layer.op.name](layer.op, xs, own)
        made[layer.name] = fixed.get(layer.name, y)
    return made


def reference_loss(model: Model, params: Arrays, x: np.ndarray, y: np.ndarray, training: bool, fixed: Arrays) -> float:
    logits = reference_net(model, params, x, training, fixed)[model.output]
    if model.train.loss.word == "mse":
        return float(mean_squared_error(logits, y).mean())
    return float(cross_entropy(logits, y, 0.0).mean())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("with_target", [False, True])
def test_activations_are_those_of_the_reference_net(training: bool, with_target: bool) -> None:
    network = network_of()
    x, y = batch_of(network.model)
    found = network.trace(x, y if with_target else None, training=training)
    wanted = reference_net(network.model, network.parameters(), x, training, {})
    assert list(found.activations) == list(wanted) == ["input", *(layer.name for layer in network.model.layers)]
    for name, value in wanted.items():
        assert found.activations[name].shape == value.shape
        assert np.abs(found.activations[name] - value).max() < 1e-12, name
    if with_target:
        assert found.loss == pytest.approx(cross_entropy(wanted["dense"], y, 0.0).mean(), rel=1e-12)
    else:
        assert (found.gradients, found.loss) == ({}, None)


def check_gradients(network: Network, x: np.ndarray, y: np.ndarray, training: bool) -> None:
    """Hold every gradient of a trace against a difference of the reference loss along a random direction."""
    model, params = network.model, network.parameters()
    found = network.trace(x, y, training=training)
    trained = [name for name, p in model.params.items() if p.trainable]
    assert list(found.gradients) == ["input", *(layer.name for layer in model.layers), *trained]
    rng = np.random.default_rng(4)
    step = 1e-6
    same = {layer.name: layer.inputs[0] for layer in model.layers if layer.op.name == "identity"}
    for name, gradient in found.gradients.items():
        value = params[name] if name in params else found.activations[name]
        assert gradient.shape == value.shape
        if name in same:  # it hands its input on, and has the gradient of its input
            assert np.array_equal(gradient, found.gradients[same[name]])
            continue
        direction = rng.standard_normal(value.shape) * (value != 0)  # where a pooled window is all zeros, any may be it
        losses = []
        for sign in (1, -1):
            moved = {name: value + sign * step * direction}
            losses.append(reference_loss(model, {**params, **moved}, x, y, training, moved))
        difference, exact = (losses[0] - losses[1]) / (2 * step), float((gradient * direction).sum())
        size = max(abs(difference), abs(exact), 1e-3)
        assert abs(difference - exact) / size < 1e-6, f"gradient in {name}: {exact} is not {difference}"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_gradients_are_differences_of_the_reference_loss(loss: str, training: bool) -> None:
    """Of every parameter, of every pixel and of every layer's output."""
    network = network_of(MSE, target="f32") if loss == "mse" else network_of()
    x, y = batch_of(network.model)
    y = np.random.default_rng(3).standard_normal((N, 5)) if loss == "mse" else y
    check_gradients(network, x, y, training)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("activation", sorted(n for n, op in LAYERS.items() if issubclass(op, Activation)))
def test_gradients_behind_every_activation(activation: str, training: bool) -> None:
    """Also where it is fused with convolution, batch norm or a sum because nobody names it."""
    text = (
        f"input 5x4x2\nconv 3 3x3 -> bn -> {activation}\nresidual {{\ndepthwise 3x3 -> {activation}\n}}\n{activation}\n"
        f"avgpool 2 stride=1 -> bn -> {activation}\nflatten -> dense 6 -> {activation} -> dense 3\n"
    )
    network = network_of(text)
    x, y = batch_of(network.model)
    check_gradients(network, x, y, training)
    every = network.trace(x, y, training=training)
    trained = [name for name, p in network.model.params.items() if p.trainable]
    fused = network.trace(x, y, names=["input", *trained], training=training)
    for name in fused.gradients:
        assert np.abs(fused.gradients[name] - every.gradients[name]).max() < 1e-12, name


def test_named_ones_alone_are_bit_for_bit_those_of_a_plain_run() -> None:
    """In float32, where no fusion is undone: a step of plain descent at rate 1 shows its gradients."""
    network = network_of(SPEC + "train {\n  optimizer sgd lr=1 momentum=0\n}\n", dtype="f32")
    x, y = batch_of(network.model)
    x = x.astype(np.float32)
    end = network.model.output
    assert np.array_equal(network.trace(x, names=[end]).activations[end], network.predict(x))
    before = network.parameters()
    trained = [name for name, p in network.model.params.items() if p.trainable]
    found = network.trace(x, y, names=trained, training=True)
    assert list(found.gradients) == trained and found.activations == {}
    result = network.train_step(x, y, lr=1.0)
    assert found.loss == result.loss
    after = network.parameters()
    for name in trained:
        assert found.gradients[name].any(), name
        assert np.array_equal(before[name] - found.gradients[name], after[name]), name


def test_samples_traced_one_by_one_add_up_to_the_step() -> None:
    """Without batch norm a step's gradient is the mean of those of its samples, filter by filter."""
    network = network_of("input 8x8x2\nconv 5 3x3 -> relu\nmaxpool 2\nconv 4 3x3 -> tanh\nflatten -> dense 3\n")
    x, y = batch_of(network.model)
    together = network.trace(x, y, training=True)
    alone = [network.trace(x[i : i + 1], y[i : i + 1], training=True) for i in range(N)]
    for name, p in network.model.params.items():
        total = np.sum([one.gradients[name] for one in alone], axis=0) / N
        assert np.abs(total - together.gradients[name]).max() < 1e-14, name
        for k in range(p.shape[-1]):
            assert together.gradients[name][..., k].any(), f"filter {k} of {name}"
    for i, one in enumerate(alone):
        assert np.abs(one.gradients["input"][0] / N - together.gradients["input"][i]).max() < 1e-15
    outer = np.einsum("ni,no->io", together.activations["flatten"], together.gradients["dense"])
    assert np.abs(outer - together.gradients["dense.weight"]).max() < 1e-15
    biases = together.gradients["conv2"].sum(axis=(0, 1, 2))
    assert np.abs(biases - together.gradients["conv2.bias"]).max() < 1e-15


@pytest.mark.parametrize("training", [False, True])
def test_float32_is_near_float64_also_by_winograd(training: bool) -> None:
    text = "input 12x12x3\nconv 16 3x3 -> bn -> relu\nconv 16 3x3 -> relu\nmaxpool 2\nflatten -> dense 4\n"
    fast, exact = network_of(text, dtype="f32"), network_of(text)
    x, y = batch_of(fast.model)
    plan = fast.compiler.trace_plan(["relu2"], training=training)
    assert any("winograd" in kernel for kernel in plan.kernels)
    found, wanted = (net.trace(x.astype(net.dtype), y, training=training) for net in (fast, exact))
    for arrays, others in ((found.activations, wanted.activations), (found.gradients, wanted.gradients)):
        for name, value in others.items():
            assert arrays[name].dtype == np.float32 and arrays[name].flags.c_contiguous
            assert np.abs(arrays[name] - value).max() < 1e-4 * max(np.abs(value).max(), 1e-3), name


def test_a_trace_changes_nothing() -> None:
    traced, plain = network_of(), network_of()
    x, y = batch_of(traced.model)
    for _ in range(2):
        traced.trace(x, y, training=True)
        traced.trace(x[:2], y[:2])
        losses = [net.train_step(x, y, lr=0.1).loss for net in (traced, plain)]
        assert losses[0] == losses[1]
    for name, value in plain.parameters().items():
        assert np.array_equal(traced.parameters()[name], value), name
    arrays = traced.trace(x, y, training=True)
    kept = {name: value.copy() for name, value in arrays.activations.items()}
    traced.trace(-x, y, training=True)
    assert all(np.array_equal(arrays.activations[name], value) for name, value in kept.items())


def test_dropout_is_that_of_the_step() -> None:
    network = network_of("input 4x4x2\nflatten -> dense 40 -> dropout 0.5 -> dense 3\n")
    x, y = batch_of(network.model)
    ids = np.array([7, 3, 9, 1])
    found = network.trace(x, y, training=True, draw=Draw(2, ids))
    dropped = found.activations["dropout"] == 0
    assert 0.3 < dropped.mean() < 0.7
    assert np.array_equal(found.activations["dropout"][~dropped], 2 * found.activations["dense1"][~dropped])
    assert found.loss == network.train_step(x, y, lr=0.0, draw=Draw(2, ids)).loss
    inference = network.trace(x, y, training=False)
    assert np.array_equal(inference.activations["dropout"], inference.activations["dense1"])


def test_only_what_is_named_takes_memory() -> None:
    text = "input 32x32x8\n" + "conv 16 3x3 -> relu\n" * 8 + "flatten -> dense 4\n"
    compiler = Compiler.from_text(text).with_options(batch=32)
    names = [layer.name for layer in compiler.model.layers]
    sample = 4 * 32 * 32 * 32 * 16  # bytes of a layer's output for the batch
    every, one = (compiler.trace_plan(some).arena for some in (names, ["relu8"]))
    assert every > 16 * sample
    assert one < 4 * sample
    fused = compiler.trace_plan(["relu8"])
    kernels = {call.layer: call.kernel for segment in fused.segments for call in segment.calls}
    assert not {"relu1", "relu7"} & kernels.keys(), "what is not traced is fused as ever"


@pytest.mark.parametrize(
    ("names", "target", "words"),
    [
        (["stem.cnv"], None, "did you mean stem.conv?"),
        (["stem.conv.wieght"], True, "did you mean stem.conv.weight?"),
        (["stem.conv.weight"], None, "gradients need targets"),
        (["stem.bn.running_mean"], True, "no trainable parameter of this name"),
    ],
)
def test_names_that_cannot_be_traced(names: list[str], target: bool | None, words: str) -> None:
    network = network_of()
    x, y = batch_of(network.model)
    with pytest.raises(DataError) as caught:
        network.trace(x, y if target else None, names=names)
    assert words in str(caught.value)
    assert names[0] in str(caught.value)


def test_what_does_not_fit_is_refused() -> None:
    network = network_of()
    x, y = batch_of(network.model, 7)
    with pytest.raises(DataError, match="1 to 6 samples"):
        network.trace(x, y)
    image = network_of("input 4x4x1\nconv 2 3x3\n")
    x = np.zeros((1, 4, 4, 1))
    assert image.trace(x).activations["conv"].shape == (1, 4, 4, 2)
    with pytest.raises(SpecError, match="a training step needs a flat vector"):
        image.trace(x, np.zeros(1, np.int32))


def test_python_traces_pixels_as_training_reads_them() -> None:
    data = 'data {\n  source npz path="a.npz"\n  normalize mean=0.5 std=0.25\n}\n'
    net = cnnspec.parse("input 4x4x1\nconv 3 3x3 -> relu\nflatten -> dense 2\n" + data)
    x = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1)).astype(np.uint8)
    found = net.trace(x)
    assert np.abs(found.activations["input"] - (x / 255 - 0.5) / 0.25).max() < 1e-6
    e = np.exp(found.activations["dense"])
    assert np.abs(e / e.sum(axis=1, keepdims=True) - net.predict(x)).max() < 1e-6
    y = np.array([0, 1, 1, 0, 1])
    found = net.trace(x, y, names=["conv.weight", "input"])
    assert found.loss == pytest.approx(net.evaluate(x, y).loss, rel=1e-6)
    assert {name: value.shape for name, value in found.gradients.items()} == {
        "conv.weight": (3, 3, 1, 3),
        "input": (5, 4, 4, 1),
    }
    assert repr(found) == f"<Trace: 1 activation, 2 gradients, loss {found.loss:.4f}>"
    assert list(net.trace(x, names="conv").activations) == ["conv"]
    with pytest.raises(DataError, match="differ in length"):
        net.trace(x, y[:2])
    with pytest.raises(DataError, match="at most 3, the batch of the spec"):
        cnnspec.parse("input 4x4x1\nflatten -> dense 2\n", batch=3).trace(x)
    assert len(cnnspec.parse("input 4x4x1\nflatten -> dense 2\n", batch=5).trace(x).activations) == 3
