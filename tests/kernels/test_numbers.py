"""The kernels' arithmetic: exact sums on the tile, accurate functions, and NaN and infinity that nobody hides."""

from __future__ import annotations

import numpy as np
import pytest
from activations import BY_KIND, LINES, activate
from running import Run, layer_graph, loss_graph, with_gradients

from cnnspec.compiler import Compiler
from cnnspec.ir.fields import Shape
from cnnspec.ir.graph import Op
from cnnspec.ops import LAYERS
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.dropout import Dropout
from cnnspec.ops.linear import Dense
from cnnspec.ops.loss import CrossEntropyLoss, MeanSquaredErrorLoss
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.pool import AvgPool, MaxPool
from cnnspec.runtime.network import Network

# Around every border: one vector, two, a panel, a panel and a bit.
CHANNELS = (1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 48, 63, 64, 65, 70, 96, 100)


# ---- the tile ---------------------------------------------------------------------------------------
def whole_numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers: their sums are exact in float32, in any order."""
    return rng.integers(-4, 5, shape).astype(np.float64)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_convolution_is_exact_on_whole_numbers(channels: int, dtype: str) -> None:
    """Forward, with every remainder of rows, and both gradients; 1x1, so that NumPy's formula is a product."""
    rng = np.random.default_rng(channels)
    c_in, n = 1 + channels % 11, 3
    for height, width in ((1, 1), (1, 2), (3, 1), (2, 2), (1, 5), (2, 3), (7, 1), (3, 4)):
        graph = with_gradients(layer_graph(Conv(channels, (1, 1)), [(height, width, c_in)]))
        x, w = whole_numbers(rng, n, height, width, c_in), whole_numbers(rng, 1, 1, c_in, channels)
        b, target = whole_numbers(rng, channels), whole_numbers(rng, n, height * width * channels)
        run = Run(graph, dtype=dtype).run(n, {"x0": x, "weight": w, "bias": b, "target": target})
        y = x @ w[0, 0] + b
        assert np.array_equal(run.get("y", n), y)
        dy = (y - target.reshape(y.shape)) * (2 / y.size)
        tolerance = 1e-14 if dtype == "f64" else 2e-6
        for name, wanted in (
            ("x0", dy @ w[0, 0].T),
            ("weight", np.einsum("nhwc,nhwk->ck", x, dy)[None, None]),
            ("bias", dy.sum((0, 1, 2))),
        ):
            scale = max(1.0, np.abs(wanted).max())
            assert np.abs(run.gradient(name, n) - wanted).max() < tolerance * scale, name


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("units", CHANNELS)
def test_dense_is_exact_on_whole_numbers(units: int, dtype: str) -> None:
    rng = np.random.default_rng(units)
    for features in (1, 3, 8, 37, 129):
        graph = layer_graph(Dense(units), [(features,)], training=False)
        x, w, b = whole_numbers(rng, 6, features), whole_numbers(rng, features, units), whole_numbers(rng, units)
        for n in (1, 2, 5, 6):
            run = Run(graph, dtype=dtype).run(n, {"x0": x[:n], "weight": w, "bias": b})
            assert np.array_equal(run.get("y", n), x[:n] @ w + b)


# ---- long sums ----------------------------------------------------------------------------------------
# Net, shape of x, samples, what to look at, and the error in float32 that is allowed: root of the mean of squares,
# relative to the largest number. A sum in one register has three to a hundred times as much.
LONG: dict[str, tuple[Op, Shape, int, str, float]] = {
    "a mean of 50,176 pixels": (AvgPool(None), (224, 224, 5), 2, "y", 6e-8),
    "a mean of 49 pixels": (AvgPool(None), (7, 7, 64), 4, "y", 6e-8),
    "a mean of a large window": (AvgPool((61, 70), (30, 20), (9, 0)), (100, 130, 3), 2, "y", 6e-8),
    "dense of 25,088": (Dense(40), (25088,), 5, "y", 2.5e-7),
    "dense of 25,088, a few large outputs": (Dense(300), (25088,), 6, "y", 2.5e-7),
    "dense of 1,500": (Dense(9), (1500,), 6, "y", 2e-7),
    "dense to 25,088, gradient of x": (Dense(25088), (6,), 3, "x0", 2.5e-7),
    "conv of 512 channels": (Conv(16, (3, 3)), (6, 6, 512), 2, "y", 1.4e-7),
    "conv of 1,000 channels": (Conv(8, (1, 1)), (5, 5, 1000), 2, "y", 1.4e-7),
    "conv of 512 channels, dilated": (Conv(8, (3, 3), dilation=(2, 2)), (9, 9, 512), 2, "y", 1.4e-7),
    "conv to 512 channels, gradient of x": (Conv(512, (3, 3)), (6, 6, 8), 2, "x0", 1.4e-7),
    "conv, gradient of the filter": (Conv(32, (1, 1)), (112, 112, 64), 6, "weight", 2e-7),
    "dense, gradient of the bias": (Dense(200), (2,), 4096, "bias", 7e-8),
    "batch norm, mean": (BatchNorm(momentum=1.0), (224, 224, 16), 6, "running_mean", 6e-8),
}


@pytest.mark.parametrize("case", LONG)
def test_long_sums_keep_their_digits(case: str) -> None:
    """Sums of thousands of numbers, ours in float32 beside ours in float64."""
    op, shape, n, what, allowed = LONG[case]
    rng = np.random.default_rng(5)
    graph = with_gradients(layer_graph(op, [shape]))
    pixels = rng.random if isinstance(op, AvgPool | BatchNorm) else rng.standard_normal
    arrays = {"x0": pixels((n, *shape)), "target": 1e3 * rng.standard_normal((n, int(np.prod(op.infer(shape)))))}
    arrays |= {p.name: rng.standard_normal(p.shape) for p in op.params(shape)}
    arrays = {name: a.astype(np.float32) for name, a in arrays.items()}
    found = {}
    for dtype in ("f32", "f64"):
        run = Run(graph, dtype=dtype, batch=n).run(n, arrays)
        parameter = what.startswith("running")
        found[dtype] = run.get("y", n) if what == "y" else run.parameter(what) if parameter else run.gradient(what, n)
    d = (found["f32"] - found["f64"]) / np.abs(found["f64"]).max()
    assert np.sqrt((d * d).mean()) < allowed


def test_a_softmax_over_50_000_classes_keeps_its_digits() -> None:
    x = np.random.default_rng(6).standard_normal(50_000).astype(np.float32)
    y = apply(LAYERS["softmax"](), x, "f32")
    wanted = np.exp(x.astype(np.float64)) / np.exp(x.astype(np.float64)).sum()
    assert np.abs(y / wanted - 1).max() < 5e-7


# ---- functions --------------------------------------------------------------------------------------
GRID = np.concatenate(
    [np.linspace(-90, 90, 3001), np.linspace(-1, 1, 3001), np.geomspace(1e-30, 1e-3, 500), [0.0, -0.0]]
)


def apply(op: Op, x: np.ndarray, dtype: str) -> np.ndarray:
    run = Run(layer_graph(op, [(x.size,)], training=False), dtype=dtype)
    return run.run(1, {"x0": x[None]}).get("y", 1)[0]


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 2e-7), ("f64", 5e-16)])
@pytest.mark.parametrize("kind", BY_KIND)
def test_functions_are_accurate(kind: str, dtype: str, tolerance: float) -> None:
    """To an absolute error between -1 and 1, to a relative one beyond."""
    x = GRID.astype(np.float32).astype(np.float64)
    wanted = activate(kind, x)
    y = apply(BY_KIND[kind], x, dtype).astype(np.float64)
    assert (np.abs(y - wanted) / np.maximum(1, np.abs(wanted))).max() < tolerance
    if np.abs(wanted).max() <= 1.0:
        assert np.abs(y).max() <= 1.0
    assert y[-1] == y[-2] == wanted[-1], "exact at zero"


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 4e-7), ("f64", 1e-14)])
def test_exponential_is_accurate_far_down(dtype: str, tolerance: float) -> None:
    """Softmax of 0 and -d is e^-d, to a relative error, as long as float32 has numbers of that size."""
    run = Run(layer_graph(LAYERS["softmax"](), [(2,)], training=False), dtype=dtype, batch=400)
    d = np.linspace(0, 80, 400).astype(np.float32).astype(np.float64)
    y = run.run(400, {"x0": np.stack([0 * d, -d], 1)}).get("y", 400).astype(np.float64)
    wanted = np.exp(-d) / (1 + np.exp(-d))
    assert np.abs(y[:, 1] / wanted - 1).max() < tolerance


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_softmax_of_large_numbers_stays_finite(shift: float) -> None:
    x = np.array([0.0, 1.0, -300.0]) + shift
    y = apply(LAYERS["softmax"](), x, "f32")
    assert np.abs(y - np.array([0.26894142, 0.73105858, 0.0])).max() < 1e-4
    assert y.sum() == pytest.approx(1, abs=1e-6)


# ---- NaN and infinity ---------------------------------------------------------------------------------
IMAGE: tuple[Shape, ...] = ((5, 6, 9),)
EVERYWHERE: list[tuple[Op, tuple[Shape, ...]]] = [
    (Conv(10, (3, 3)), IMAGE),
    (Conv(33, (3, 3), (2, 2), groups=3), IMAGE),
    (Depthwise((3, 3)), IMAGE),
    (Dense(7), ((20,),)),
    (MaxPool((3, 3), (2, 2), (1, 1)), IMAGE),
    (MaxPool((2, 2), padding=(0, 0)), ((4, 6, 9),)),  # each pixel in one window only
    (AvgPool((2, 2)), IMAGE),
    (AvgPool(None), IMAGE),
    (BatchNorm(), IMAGE),
    (Dropout(0.3), IMAGE),
    *((op, IMAGE) for op in BY_KIND.values()),
    *((LAYERS[name](), IMAGE) for name in ("flatten", "identity")),
    (LAYERS["softmax"](), ((11,),)),
    *((LAYERS[name](), IMAGE * 2) for name in ("add", "multiply", "concat")),
]
# infinity has a finite value there
SQUASH = {op.name for kind, op in BY_KIND.items() if np.isfinite(activate(kind, np.array([np.inf]))).all()}


def test_every_layer_is_asked_about_nan() -> None:
    assert {op.name for op, _ in EVERYWHERE} == set(LAYERS)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(("op", "shapes"), EVERYWHERE, ids=lambda x: x.name if isinstance(x, Op) else "")
def test_what_is_not_finite_is_seen(op: Op, shapes: tuple[Shape, ...], training: bool, dtype: str, bad: float) -> None:
    """One bad number, the first of a window or a later one, is seen in the output and loss of its sample alone."""
    if bad == np.inf and op.name in SQUASH:
        return
    rng = np.random.default_rng(0)
    arrays = {f"x{i}": rng.standard_normal((3, *shape)) for i, shape in enumerate(shapes)}
    arrays |= {p.name: 0.5 + rng.random(p.shape) for p in op.params(*shapes)}
    arrays["keys"] = np.array([[1], [4], [9]])  # keys whose masks keep the first number
    run = Run(layer_graph(op, shapes, training=training), dtype=dtype)
    for place in (0, 1, 10, 70) if len(shapes[0]) == 3 and op.name != "dropout" else (0,):
        x = arrays["x0"].copy()
        x[1].flat[place] = bad
        run.run(3, {**arrays, "x0": x})
        finite = np.isfinite(run.get("y", 3)).reshape(3, -1).all(axis=1)
        assert not finite[1], place
        if training:
            assert not np.isfinite(run.loss(3))
        if not (training and op.name == "bn"):  # which sees the whole batch
            assert finite[0] and finite[2]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("channels", [1, 5, 8, 16, 17, 40])
@pytest.mark.parametrize(
    ("op", "window"),
    [
        *((op, 1) for op in BY_KIND.values()),
        *((Conv(1, (1, 1), bias=False, activation=kind), 1) for kind in BY_KIND),
        *((Conv(20, (1, 1), activation=kind), 1) for kind in BY_KIND),
        *((Depthwise((1, 1), activation=kind), 1) for kind in BY_KIND),
        (MaxPool((2, 2), padding=(0, 0)), 2),
        (MaxPool((3, 3), (3, 3), padding=(0, 0)), 3),
    ],
    ids=lambda x: f"{x.name} {getattr(x, 'activation', '')}" if isinstance(x, Op) else "",
)
def test_each_nan_stays_where_it_was(op: Op, window: int, channels: int, dtype: str) -> None:
    """The larger of a NaN and 0, or of a NaN and others, is a NaN: in whole vectors, in parts of them, one by one."""
    shape = (6, 12, channels)
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((2, *shape))
    bad = rng.random(x.shape) < 0.1
    x[bad] = np.nan
    arrays = {p.name: rng.standard_normal(p.shape) for p in op.params(shape)}
    y = Run(layer_graph(op, [shape], training=False), dtype=dtype).run(2, {"x0": x, **arrays}).get("y", 2)
    seen = bad.reshape(2, 6 // window, window, 12 // window, window, channels).any(axis=(2, 4))
    if isinstance(op, Conv):
        seen = np.broadcast_to(seen.any(axis=3, keepdims=True), y.shape)
    assert np.array_equal(np.isnan(y), seen)


@pytest.mark.parametrize("activation", LINES)
@pytest.mark.parametrize("layer", ["conv 9 3x3", "depthwise 3x3", "dense 9", "conv 9 3x3 -> bn"])
def test_fused_activations_do_not_hide_nan(layer: str, activation: str) -> None:
    flatten = "flatten\n" if layer.startswith("dense") else ""
    end = "" if flatten else "flatten\n"
    compiler = Compiler.from_text(f"input 5x5x2\n{flatten}{layer} -> {activation}\n{end}dense 3\n")
    network = Network(compiler.with_options(batch=4), threads=1)
    x = np.random.default_rng(0).standard_normal((4, 5, 5, 2), dtype=np.float32)
    target = np.array([0, 1, 2, 0])
    assert np.isfinite(network.eval_step(x, target).loss)
    x[2, 0, 0, 0] = np.nan
    assert not np.isfinite(network.eval_step(x, target).loss)
    assert np.isnan(network.predict(x)[2]).all() and np.isfinite(network.predict(x)[[0, 1, 3]]).all()
    before = network.parameters()
    result = network.train_step(x, target, lr=0.1)
    assert not np.isfinite(result.loss)
    for name, p in network.parameters().items():
        if "running" not in name:
            assert np.array_equal(p, before[name]), f"{name} changed in a step that failed"
    assert network.steps == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("op", [CrossEntropyLoss(0.0), CrossEntropyLoss(0.1), MeanSquaredErrorLoss()], ids=repr)
def test_losses_do_not_hide_what_is_not_finite(op: Op, place: int, bad: float) -> None:
    x = np.array([[0.5, 1.0, -1.0], [2.0, 0.1, 0.3]])
    x[1, place] = bad
    for dtype in ("f32", "f64"):
        run = Run(loss_graph(op, 3, "i32"), dtype=dtype).run(2, {"x0": x, "target": np.array([[0], [1]])})  # type: ignore[arg-type]
        assert np.isfinite(run.get("loss", 2)[:, 0]).tolist() == [True, False]
        assert not np.isfinite(run.loss(2))
