"""Rules about data, training and the end of the net."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...text import plain
from ..settings import CrossEntropy
from .rule import Finding, Net, rule

SGD_RATE = 0.1  # of lr / (1 - momentum) for each sample of a batch, at most
SGD_STILL = 1e-5  # of lr / (1 - momentum), at least
ADAM_RATES = 1e-6, 0.02
FEW = 8  # samples of a batch below which the statistics of batch norm are noise


@rule("learning-rate")
def learning_rate(net: Net) -> Iterator[Finding]:
    """A learning rate far out of proportion to the optimizer, its momentum and the batch."""
    train = net.model.train
    span = net.statement("train", "optimizer") or train.span
    if span is None:
        return
    optimizer: Any = train.optimizer
    if optimizer.word == "sgd":
        step, words = optimizer.lr / (1 - optimizer.momentum), "lr / (1 - momentum)"
        low, high, usual = SGD_STILL, SGD_RATE * train.batch, "lr=0.1 momentum=0.9 with batch 128 is usual"
        most = f"lr={high * (1 - optimizer.momentum):.3g} or less for batch {train.batch}; "
    else:
        step, words, most, usual = optimizer.lr, "lr", "", "lr=0.001 is usual, whatever the batch"
        low, high = ADAM_RATES
    label = f"{words} is {plain(step)}, the batch {train.batch}"
    if step > high:
        message = "the learning rate is very large: the loss may rise or become NaN"
        yield Finding(span, message, label, most + usual)
    elif 0 < step < low:
        yield Finding(span, "the learning rate is very small: the net will hardly learn", label, usual)


@rule("small-batch")
def small_batch(net: Net) -> Iterator[Finding]:
    """A batch so small that batch norm's mean and variance are noise."""
    batch, span = net.model.train.batch, net.statement("train", "batch")
    norms = [layer for layer in net.model.layers if layer.op.name == "bn"]
    if span is not None and norms and batch < FEW:
        label = f"mean and variance of {batch} images each step, in {len(norms)} bn"
        yield Finding(span, "bn takes its statistics of very few images", label, f"write  batch {FEW}  or more")


@rule("unnormalized-data")
def unnormalized_data(net: Net) -> Iterator[Finding]:
    """Photographs whose pixels are not normalised, so that all inputs are positive."""
    data = net.model.data
    channels = net.model.input_shape[2]
    if data is None or data.normalize is not None or not (data.source.word == "folders" or channels == 3):
        return
    mean, std = (f"[{', '.join([number] * channels)}]" for number in ("0.5", "0.25"))
    span = net.statement("data", "source") or data.span
    if span is not None:
        message, label = "the pixels are not normalised", "they lie from 0 to 1, around 0.5 and not around 0"
        yield Finding(span, message, label, f"add  normalize mean={mean} std={std}  to the data section")


@rule("output-without-classes")
def output_without_classes(net: Net) -> Iterator[Finding]:
    """An end that says its number of outputs by itself, where it should follow the classes of the data."""
    model = net.model
    last = model.layer(model.output)
    if model.data is None or not isinstance(model.train.loss, CrossEntropy) or last.op.name != "dense" or last.trail:
        return
    units = last.span.text.split()[-1]
    if model.classes is None:
        message, label = "nobody says how many classes there are", f"{last.out_shape[0]} outputs, and no `classes` line"
        hint = f"add  classes {last.out_shape[0]}  and end with  dense classes"
        yield Finding(last.span, message, label, hint)
    elif units.isdigit():
        message = "the end writes a number that the data knows"
        label = f"it must be changed with the data, which has {model.classes} classes"
        yield Finding(last.span, message, label, "write  dense classes")
