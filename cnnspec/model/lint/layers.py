"""Rules about single layers and their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from ...ir.fields import Pair, dims
from ...text import count, percent, some
from ..model import INPUT, Layer
from ..summary import views_of
from .rule import Finding, Net, rule

HEAVY = 1_000_000  # parameters from which a dense layer that holds most of a net's is told of
SMALL_VIEW = 4  # a field below one in so many of height and width is far smaller than most objects


@rule("bias-before-bn")
def bias_before_bn(net: Net) -> Iterator[Finding]:
    """A bias in front of batch norm, which subtracts it again with the mean."""
    for layer in net.model.layers:
        readers = net.readers[layer.name]
        if getattr(layer.op, "bias", False) and readers and all(reader.op.name == "bn" for reader in readers):
            learned = sum(p.size for p in layer.params if p.name == "bias")
            yield Finding(
                layer.span,
                f"the bias of {layer.op.name} does nothing: the bn behind it subtracts it with the mean",
                f"{some(learned, 'number')} too many; bn has a bias of its own",
                f"write  bias=no  here, or once at the top  defaults {layer.op.name} bias=no",
                trail=layer.trail,
            )


@rule("dropout-before-bn")
def dropout_before_bn(net: Net) -> Iterator[Finding]:
    """Dropout in front of batch norm, whose running variance then is that of training only."""
    dropped: dict[str, Layer] = {}
    for layer in net.model.layers:
        behind = next((dropped[name] for name in layer.inputs if name in dropped), None)
        if layer.op.name == "dropout" and layer.op.fields().get("rate", 0) > 0:
            dropped[layer.name] = layer
        elif behind is not None and layer.op.name == "bn":
            label = f"the variance that the bn of line {layer.span.line} learns is that of training only"
            hint = "put dropout behind the last bn, such as before the last dense"
            yield Finding(behind.span, "dropout stands before bn", label, hint, trail=behind.trail)
        elif behind is not None:
            dropped[layer.name] = behind


@rule("skipped-pixels")
def skipped_pixels(net: Net) -> Iterator[Finding]:
    """A stride larger than the window, where no other layer reads the pixels between."""
    for name in [INPUT, *(layer.name for layer in net.model.layers)]:
        readers = net.readers[name]
        unread = [_unread(layer) for layer in readers]
        if not readers or not all(unread) or name == net.model.output:
            continue
        for layer, share in zip(readers, unread, strict=True):
            (kernel, stride), op = layer.op.window(layer.in_shapes[0]) or ((1, 1), (1, 1)), layer.op.name
            wanted = tuple(map(max, kernel, stride))
            yield Finding(
                layer.span,
                f"the stride of {op} is larger than its window, and nobody reads the pixels between",
                f"a window of {dims(kernel)} every {dims(stride)} pixels leaves {percent(share)} unread",
                f"use a window of {dims(wanted)} or more, or a stride of {dims(kernel)}",
                trail=layer.trail,
            )


def _unread(layer: Layer) -> float:
    """Return the share of an image that lies between the windows of a layer; 0 where it reads all or no image."""
    x = layer.in_shapes[0]
    window = layer.op.window(x) if len(x) == 3 else None
    if window is None:
        return 0.0
    kernel, stride = window
    return 1 - prod(k / s for k, s, size in zip(kernel, stride, x, strict=False) if k < min(s, size))


@rule("field-beyond-image")
def field_beyond_image(net: Net) -> Iterator[Finding]:
    """A convolution each of whose inputs has seen the whole picture already, along every path."""
    image = net.model.input_shape
    views = views_of(net.model, min)
    beyond = []
    for layer in net.model.layers:
        x = layer.in_shapes[0]
        window = layer.op.window(x) if len(x) == 3 and layer.macs else None
        if window is not None and max(window[0]) > 1:
            field = views[layer.inputs[0]].field
            if _covers(field, image):
                beyond.append((layer, field))
    if beyond:
        layer, field = beyond[0]
        yield Finding(
            layer.span,
            f"the layers from here on look beyond the picture: {some(len(beyond), 'convolution')}",
            f"one input of this sees {dims(field)} of {dims(image[:2])} already",
            "leave some out, shrink the picture later, take larger ones, or add a residual around them",
            trail=layer.trail,
        )


def _covers(field: Pair, image: tuple[int, ...]) -> bool:
    return field[0] >= image[0] and field[1] >= image[1]


@rule("small-field")
def small_field(net: Net) -> Iterator[Finding]:
    """A global pooling at the end whose inputs see but a small part of the picture."""
    image = net.model.input_shape
    layer = net.model.layer(net.model.output)
    while len(layer.inputs) == 1 and layer.inputs[0] != INPUT and not _pools_all(layer):
        layer = net.model.layer(layer.inputs[0])
    if not _pools_all(layer):
        return
    field = net.views[layer.inputs[0]].field
    if field[0] * SMALL_VIEW < image[0] and field[1] * SMALL_VIEW < image[1]:
        yield Finding(
            layer.span,
            "the net is blind to what is larger than a detail",
            f"each place that is pooled here sees {dims(field)} of {dims(image[:2])}",
            "add layers, strides or poolings before it until it sees at least the object",
            trail=layer.trail,
        )


def _pools_all(layer: Layer) -> bool:
    """Return whether a layer takes one number of each whole channel."""
    x = layer.in_shapes[0]
    return len(x) == 3 and x[:2] != (1, 1) and not layer.macs and (layer.op.window(x) or ((0, 0),))[0] == x[:2]


@rule("heavy-dense")
def heavy_dense(net: Net) -> Iterator[Finding]:
    """A dense layer that holds most parameters of the net, a million and more."""
    sizes = [sum(p.size for p in layer.params if p.trainable) for layer in net.model.layers]
    total = sum(sizes)
    if net.model.layers[0].op.name == "flatten":  # a perceptron, which is nothing but dense layers
        return
    for layer, size in zip(net.model.layers, sizes, strict=True):
        if layer.op.name == "dense" and size >= HEAVY and 2 * size > total:
            yield Finding(
                layer.span,
                f"one dense layer holds {percent(size / total)} of all parameters",
                f"{count(size)} of {count(total)}, for {count(layer.in_shapes[0][0])} inputs",
                "write  avgpool global -> flatten  before it, or shrink the image first",
                trail=layer.trail,
            )
