#!/usr/bin/env bash
# safetensors 0.8.0, numpy 2.4.6, Python 3.11.
# safetensors.numpy.save takes an array's bytes from its address, whatever its strides. No error, no warning:
#   [[0, 1, 2], [3, 4, 5]].T  is read back as  [[0, 1], [2, 3], [4, 5]]  instead of [[0, 3], [1, 4], [2, 5]]
#   [0, 1, 2, 3, 4, 5][::2]   is read back as  [0, 1, 2]                 instead of [0, 2, 4]
# Weights that were transposed on their way from one layout to another are stored wrong. numpy.ascontiguousarray mends it.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.4.6
"$room/venv/bin/python" - <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

square, line = np.arange(6, dtype=np.float32).reshape(2, 3).T, np.arange(6, dtype=np.float32)[::2]
found = load(save({"square": square, "line": line}))
for name, array in (("square", square), ("line", line)):
    print(f"{name}: wrote {array.tolist()}, read {found[name].tolist()}")
assert found["square"].tolist() == [[0, 1], [2, 3], [4, 5]], "the behaviour has changed"
assert found["line"].tolist() == [0, 1, 2], "the behaviour has changed"
PYTHON
