#!/usr/bin/env bash
# torch 2.13.0 (CPU), Keras 3.15.1 on the torch backend, Python 3.11.
# One value a channel has no deviation, so batch norm in training gives its bias whatever the input. torch refuses that:
#   BatchNorm2d, (1, 2, 1, 1)                 ValueError: Expected more than 1 value per channel when training
#   GroupNorm(2 groups), (1, 2, 1, 1)         ValueError: Expected more than 1 value per channel when training
# The same computation passes without a word in three other places:
#   GroupNorm(2 groups), (4, 2, 1, 1)         zeros (up to 6e-5): the guard counts the batch, group norm does not
#   BatchNorm2d traced on a batch of 2        zeros for a batch of 1: the guard is Python and is not traced
#   Keras BatchNormalization, (1, 1, 1, 2)    zeros: Keras calls torch's arithmetic, not its layer
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install -q torch==2.13.0 keras==3.15.1 numpy
KERAS_BACKEND=torch "$room/venv/bin/python" -W ignore - <<'PYTHON'
import keras
import torch
from torch import nn


def seen(act):
    try:
        y = act()
    except ValueError as error:
        return "refused" if "more than 1 value per channel" in str(error) else repr(error)
    return "zeros" if float(y.abs().max()) < 1e-3 else repr(y)


one, four = torch.tensor([5.0, 7.0]).reshape(1, 2, 1, 1), torch.arange(8.0).reshape(4, 2, 1, 1)
traced = torch.jit.trace(nn.BatchNorm2d(2), torch.rand(2, 2, 1, 1))
found = {
    "BatchNorm2d, batch 1": seen(lambda: nn.BatchNorm2d(2)(one)),
    "GroupNorm, batch 1": seen(lambda: nn.GroupNorm(2, 2)(one)),
    "GroupNorm, batch 4": seen(lambda: nn.GroupNorm(2, 2)(four)),
    "traced BatchNorm2d, batch 1": seen(lambda: traced(one)),
    "Keras, batch 1": seen(lambda: keras.layers.BatchNormalization()(one.reshape(1, 1, 1, 2), training=True)),
}
for name, outcome in found.items():
    print(f"{name}: {outcome}")
assert list(found.values()) == ["refused", "refused", "zeros", "zeros", "zeros"], "the behaviour has changed"
PYTHON
