#!/usr/bin/env bash
# torch 2.13.0 (CPU), Python 3.11.
# The average of one 2048x2048 image of numbers in [0, 1), relative error against float64:
#   adaptive_avg_pool2d(x, 1)                            5e-9 (it calls mean)
#   x.mean((2, 3))                                       5e-9
#   adaptive_avg_pool2d, 8 channels, channels_last       1e-7
#   avg_pool2d(x, 2048)                                  2e-5: one running float32 sum of 4 million numbers
# A net that is exported or rewritten from one form to the other changes its outputs by more than float32 rounds.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install -q torch==2.13.0 numpy
"$room/venv/bin/python" -W ignore - <<'PYTHON'
import torch
from torch.nn import functional as F

torch.manual_seed(0)
x = torch.rand(1, 1, 2048, 2048)
exact = x.double().mean().item()
wide = x.expand(1, 8, 2048, 2048).contiguous(memory_format=torch.channels_last)
found = {
    "adaptive_avg_pool2d": F.adaptive_avg_pool2d(x, 1),
    "mean": x.mean((2, 3)),
    "adaptive_avg_pool2d, channels_last": F.adaptive_avg_pool2d(wide, 1)[0, 0],
    "avg_pool2d": F.avg_pool2d(x, 2048),
}
errors = {name: abs(y.item() - exact) / exact for name, y in found.items()}
for name, error in errors.items():
    print(f"{name}: {error:.1e}")
assert errors["avg_pool2d"] > 100 * max(errors["mean"], errors["adaptive_avg_pool2d"], 1e-8), "the behaviour has changed"
PYTHON
