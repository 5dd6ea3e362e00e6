#!/usr/bin/env bash
# torch 2.13.0 (CPU), Python 3.11, float32.
# Activations of finite numbers whose true value is x and whose true derivative is 1:
#   gelu(approximate="tanh")  at 1e20: value 1e20, gradient NaN (the square of x overflows, and infinity is multiplied by 0)
#   hardswish                 at 1e38: value infinity (x is multiplied by x + 3 capped at 6 before it is divided by 6), gradient 1
#   gelu (erf), silu          at 1e38: value 1e38, gradient 1
# So one activation that has grown loses all gradients of a net by tanh's form of gelu, while the forward pass still looks sound.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install -q torch==2.13.0 numpy
"$room/venv/bin/python" -W ignore - <<'PYTHON'
import math

import torch
from torch.nn import functional as F


def value_and_gradient(function, number):
    x = torch.tensor(number, requires_grad=True)
    y = function(x)
    y.backward()
    return y.item(), x.grad.item()


def gelu_tanh(x):
    return F.gelu(x, approximate="tanh")


for function, number in ((gelu_tanh, 1e20), (F.hardswish, 1e38), (F.gelu, 1e38), (F.silu, 1e38)):
    value, gradient = value_and_gradient(function, number)
    print(f"{function.__name__} at {number:g}: value {value:g}, gradient {gradient:g}")
value, gradient = value_and_gradient(gelu_tanh, 1e20)
assert math.isclose(value, 1e20, rel_tol=1e-6) and math.isnan(gradient), "the behaviour has changed"
value, gradient = value_and_gradient(F.hardswish, 1e38)
assert math.isinf(value) and gradient == 1, "the behaviour has changed"
for function in (F.gelu, F.silu):
    value, gradient = value_and_gradient(function, 1e38)
    assert math.isclose(value, 1e38, rel_tol=1e-6) and gradient == 1, "the behaviour has changed"
PYTHON
