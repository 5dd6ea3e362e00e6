"""Nets in another form, pasted as a spec: one message, and the first layer as it is written here."""

from __future__ import annotations

import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import Diagnostic, SpecError


def found(text: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        Compiler.from_text(text, name="model.cnn").model  # noqa: B018
    return list(caught.value.diagnostics)


DARKNET = """[net]
# Testing
batch=1
width=416
height=320
channels=3

[{}]
{}

[yolo]
mask = 6,7,8
anchors = 10,13, 16,30
"""
KERAS = """import tensorflow as tf
from tensorflow.keras import layers, models

# a small net
model = models.Sequential([
    layers.Conv2D(
        32, (3, 3), activation='relu', input_shape=(28, 28, 1)),
    layers.MaxPooling2D((2, 2)),
    layers.Dense(10, activation='softmax'),
])
model.compile(optimizer='adam', loss='sparse_categorical_crossentropy')
"""
FUNCTIONAL = """inputs = keras.Input(shape=(32, 32, 3))
x = layers.Conv2D(64, 3, padding="same")(inputs)
x = layers.BatchNormalization()(x)
outputs = layers.Dense(10)(x)
"""
ADDED = "model = Sequential()\nmodel.add(Dense(512, activation='relu', input_shape=(784,)))\nmodel.add(Dense(10))\n"
TORCH = """import torch
import torch.nn as nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.fc1 = nn.Linear(9216, 128)

    def forward(self, x):
        return F.relu(self.conv1(x))
"""
STACKED = """model = nn.Sequential(
    nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False),
    nn.BatchNorm2d(64),
)
"""


@pytest.mark.parametrize(
    ("text", "what", "layer", "opening"),
    [
        (DARKNET.format("convolutional", "batch_normalize=1\nfilters=32\nsize=3\nstride=1\npad=1\nactivation=leaky"),
         "a Darknet .cfg", "conv 32 3x3 bias=no -> bn -> leaky_relu 0.1", "input 320x416x3"),
        (DARKNET.format("convolutional", "filters=16\nsize=3\nstride=2\nactivation=linear"),
         "a Darknet .cfg", "conv 16 3x3 stride=2 pad=none", "input 320x416x3"),
        (DARKNET.format("connected", "output=10\nactivation=relu"),
         "a Darknet .cfg", "flatten -> dense 10 -> relu", "input 320x416x3"),
        (KERAS, "code of Keras", "conv 32 3x3 pad=none -> relu", "input 28x28x1"),
        (FUNCTIONAL, "code of Keras", "conv 64 3x3", "input 32x32x3"),
        (ADDED, "code of Keras", "dense 512 -> relu", "the size of a picture"),
        (TORCH, "code of PyTorch", "conv 32 3x3 pad=none", "the size of a picture"),
        (STACKED, "code of PyTorch", "conv 64 7x7 stride=2 pad=3 bias=no", "the size of a picture"),
    ],
)  # fmt: skip
def test_one_message(text: str, what: str, layer: str, opening: str) -> None:
    [told] = found(text)
    assert (told.code, told.message) == ("foreign", f"this is {what}, not a spec")
    assert told.notes[-1] == f"is written here:  {layer}"
    assert told.hint.startswith(f"begin with  {opening}")
    flat = "flatten -> " if layer.startswith("dense") else ""
    assert Compiler.from_text(f"input 32x32x3 -> {flat}{layer}").model.layers  # it is a layer indeed


@pytest.mark.parametrize(
    "text",
    [
        DARKNET.format("shortcut", "from=-3\nactivation=linear"),
        "[net]\n",
        "[convolutional]\nfilters=" + "9" * 5000,
        "import torch\n" + "nn.Conv2d(" * 20_000,
        "import torch\n" + "nn.Conv2d(1, 2, 3)\n" * 20_000,
        "import torch\nnn.Linear(-1, 0)\n",
        "import torch\n" + "a." * 200_000,
        "import torch\n" + "a" * 900_000,
    ],
)
def test_odd_ones_are_told_too(text: str) -> None:
    assert [d.code for d in found(text)] in (["foreign"], ["too-large"], ["nesting"])


@pytest.mark.parametrize(
    "line", ["Conv2D(8, 3)", "nn.ReLU()", "model = Sequential([relu])", "[convolutional]", "layers.Flatten(),"]
)
def test_a_spec_with_one_such_line_is_told_of_that_line(line: str) -> None:
    told = found(f"input 8x8x1\n{line}\nrelu\n")
    assert "foreign" not in {d.code for d in told}
    assert told[0].span.line == 2
