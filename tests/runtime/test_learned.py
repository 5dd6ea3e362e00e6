"""A net that has learned nothing is told so, with the reason that can be measured; one that learns is left alone."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.options import Options
from cnnspec.runtime.data import dataset_of_arrays, open_data
from cnnspec.runtime.evaluate import evaluate
from cnnspec.runtime.learned import Guess, after_evaluation, guess_of
from cnnspec.runtime.network import Network
from cnnspec.runtime.train import train

NET = """input 8x8x1
conv 8 3x3 -> relu
flatten -> dense 10{end}
data {{
  source digits
{data}}}
train {{
{train}
}}
"""


def spec(end="", data="", train="  epochs 5"):
    return Compiler.from_text(NET.format(end=end, data=data, train=train), name="net.cnn").model


def digits(model):
    return open_data(model.data, model.input_shape, 10, seed=1)


def shuffled(split, seed=3):
    """The same images under labels drawn anew."""
    mixed = split.subset(np.arange(len(split)))
    mixed.labels = np.random.default_rng(seed).permutation(split.labels)
    return mixed


def told(model, data=None):
    return [n for n in train(model, data=data, out=None).notes if "learned" in n or "likely cause" in n]


# ---- the best constant answer -----------------------------------------------------------------------
@pytest.mark.parametrize("smooth", [0.0, 0.1])
def test_the_loss_of_a_guess_is_that_of_the_best_constant_logits(smooth):
    model = spec(train=f"  loss cross_entropy smooth={smooth}")
    split = digits(model).train
    q = (1 - smooth) * np.bincount(split.labels) / len(split) + smooth / 10
    network = Network(Compiler.of(model, Options(batch=64)))
    logits = {name: np.zeros_like(v) for name, v in network.parameters().items()}
    network.load_parameters({**logits, "dense.bias": np.log(q).astype(np.float32)})
    found, guess = evaluate(network, split, 64), guess_of(model, split)
    assert guess.loss == pytest.approx(found.loss, rel=1e-5)
    assert guess.share == pytest.approx(found.accuracy)


def test_the_loss_of_a_guess_of_numbers_is_their_variance():
    model = Compiler.from_text("input 2x2x1\nflatten -> dense 2\ntrain { loss mse }\n").model
    y = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32) * [1, 3]
    data = dataset_of_arrays(np.zeros((50, 2, 2, 1), np.float32), y.astype(np.float32), input_shape=(2, 2, 1))
    guess = guess_of(model, data.train)
    assert guess.loss == pytest.approx(((y - y.mean(axis=0)) ** 2).mean(), rel=1e-5) and math.isnan(guess.share)
    classes = np.arange(50) % 5 // 4  # 40 of class 0, 10 of class 1
    data = dataset_of_arrays(np.zeros((50, 2, 2, 1), np.float32), classes, input_shape=(2, 2, 1), classes=2)
    assert guess_of(model, data.train) == Guess(0.8, pytest.approx(0.16))


@pytest.mark.parametrize(
    ("accuracy", "loss", "samples", "no_better"),
    [
        (0.10, 2.30, 1000, True),
        (0.118, 2.30, 1000, True),  # within two standard errors
        (0.125, 2.30, 1000, False),
        (0.10, 2.20, 1000, False),  # the loss has seen something
        (0.10, math.nan, 1000, True),
        (0.75, 9.0, 8, False),  # six of eight, sure of itself
        (0.014, 80.0, 359, True),
    ],
)
def test_no_better_than_guessing(accuracy, loss, samples, no_better):
    share = 0.5 if samples == 8 else 0.1
    assert Guess(share, math.log(1 / share)).explains(accuracy, loss, samples) == no_better


def test_first_weights_are_a_little_better_by_luck_and_their_loss_is_worse():
    guess = Guess(0.1, 2.30)
    assert not guess.explains(0.14, 2.38, 1000)
    assert guess.explains(0.14, 2.38, 1000, untrained=True)
    assert not guess.explains(0.14, 2.29, 1000, untrained=True)
    assert not guess.explains(0.20, 2.38, 1000, untrained=True)


# ---- whole runs -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "  epochs 5",
        "  epochs 1\n  optimizer sgd lr=0.001",
        "  epochs 1\n  optimizer sgd lr=1e-6",  # too early to say
        "  epochs 1\n  batch 16\n  optimizer sgd lr=0.001 momentum=0.9",
        "  epochs 2\n  optimizer adam lr=0.0003\n  batch 8",
        "  epochs 6\n  schedule warmup 5 -> cosine",
        "  epochs 5\n  loss mse",
        "  epochs 5\n  loss cross_entropy smooth=0.2",
    ],
)
def test_healthy_and_short_runs_are_told_nothing(text):
    assert told(spec(train=text)) == []


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (
            spec(data="  normalize mean=127 std=64\n"),
            "write  normalize mean=0.498 std=0.251",
        ),
        (spec(train="  epochs 5\n  optimizer sgd lr=1e-7"), "the weights have moved by 0.00 % only; try lr=1e-06"),
        (spec(train="  epochs 5\n  optimizer adam lr=3"), "too large"),
        (
            spec(data="  normalize mean=0.9 std=1e-4\n", train="  epochs 5\n  optimizer sgd lr=1e-9"),
            "and should be near 0 and 1: write  normalize mean=0.307 std=0.377",
        ),
        (spec(train="  epochs 5\n  optimizer sgd lr=0"), "the learning rate is 0"),
        (spec(train="  epochs 5\n  seed 2\n  optimizer sgd lr=1e-7"), "the weights have moved"),
        (spec(train="  epochs 5\n  seed 3\n  optimizer sgd lr=1e-7"), "the weights have moved"),
        (spec(train="  epochs 5\n  seed 4\n  optimizer sgd lr=1e-7"), "the weights have moved"),
        (
            spec(" -> sigmoid", train="  epochs 5\n  optimizer sgd lr=1e-7"),
            "the net ends in sigmoid, and the loss cross_entropy takes logits of any size (line 3)",
        ),
    ],
)
def test_a_net_that_has_learned_nothing_is_told_so_with_the_cause(model, cause):
    said, *causes = told(model)
    assert said.startswith("the net has learned nothing: test accuracy ")
    assert "always naming the largest class gives 10.31 %" in said
    assert any(cause in c and c.startswith("likely cause: ") for c in causes), causes


def test_a_loss_that_still_falls_wants_more_steps():
    text = "input 8x8x1\nflatten -> dense 10\ndata { source digits }\ntrain {\n  loss mse\n  epochs 2\n  batch 8\n"
    said, cause = told(Compiler.from_text(f"{text}  optimizer sgd lr=3e-4\n}}\n").model)
    assert "learned nothing" in said and "the loss still falls; train longer, or try lr=0.003" in cause


def test_labels_that_belong_to_other_images():
    model = spec(train="  epochs 5\n  optimizer sgd lr=0.01")
    data = digits(model)
    said, cause = told(model, dataclasses.replace(data, train=shuffled(data.train), test=shuffled(data.test)))
    assert "learned nothing" in said and "labels that do not belong to their images" in cause


def test_what_does_not_carry_over_is_another_thing_than_nothing():
    model = spec(train="  epochs 6")
    data = digits(model)
    said, cause = told(model, dataclasses.replace(data, test=shuffled(data.test)))
    assert "does not carry over: test accuracy" in said and "the test set has another scale or other labels" in cause


def test_running_statistics_that_do_not_fit_are_told_apart_from_a_test_set_that_does_not():
    text = "input 8x8x1\nconv 8 3x3 -> bn -> relu\nflatten -> dense 10\ndata { source digits }\n"
    model = Compiler.from_text(text).model
    data = digits(model)
    network = Network(Compiler.of(model, Options(batch=64)))
    network.load_parameters({**network.parameters(), "bn.running_mean": np.full(8, -50, np.float32)})
    mixed = dataclasses.replace(data, test=shuffled(data.test))
    notes = after_evaluation(model, mixed, network, "test", evaluate(network, mixed.test, 64))
    assert "bn takes its running statistics" in notes[1], notes
    result = train(model, data=mixed, out=None)
    notes = after_evaluation(model, mixed, result.network, "test", evaluate(result.network, mixed.test, 64))
    assert "the test set has another scale or other labels" in notes[1]
    assert re.search(r"of training images the net knows (9\d|100)\.\d\d %$", notes[1])


def test_numbers_that_do_not_follow_from_the_input():
    model = Compiler.from_text(
        "input 4x4x1\nflatten -> dense 2\ntrain {\n  loss mse\n  epochs 20\n  batch 20\n}\n"
    ).model
    rng = np.random.default_rng(0)
    x = rng.random((400, 4, 4, 1), dtype=np.float32)
    noise = rng.standard_normal((400, 2)).astype(np.float32)
    data = dataset_of_arrays(x, noise, input_shape=(4, 4, 1), val=0.25)
    assert "for always answering the mean" in told(model, data)[0]
    follows = x.reshape(400, 16)[:, :2] * 2
    assert told(model, dataset_of_arrays(x, follows, input_shape=(4, 4, 1), val=0.25)) == []


def test_a_dead_layer_is_named_with_its_line():
    model = spec()
    data = digits(model)
    network = Network(Compiler.of(model, Options(batch=64)))
    network.compile()
    x, y = data.train.batch(np.arange(64))
    assert network.dead_layer(x, y) is None
    dead = {**network.parameters(), "conv.bias": np.full(8, -100, np.float32)}
    network.load_parameters(dead)
    assert network.dead_layer(x, y) == "relu"
    notes = after_evaluation(model, data, network, "test", evaluate(network, data.test, 64))
    assert "no better than guessing" in notes[0] and "relu (line 2) gives 0 for every image" in notes[1]
    assert all(np.array_equal(v, dead[k]) for k, v in network.parameters().items())


def test_weights_that_are_not_finite_are_the_cause():
    model = spec()
    data = digits(model)
    network = Network(Compiler.of(model, Options(batch=64)))
    network.load_parameters({**network.parameters(), "conv.weight": np.full((3, 3, 1, 8), np.nan, np.float32)})
    notes = after_evaluation(model, data, network, "test", evaluate(network, data.test, 64))
    assert notes == ["the test loss is not finite", "likely cause: conv.weight holds values that are not finite"]
