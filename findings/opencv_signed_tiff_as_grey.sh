#!/usr/bin/env bash
# OpenCV (opencv-python-headless) 5.0.0.93, tifffile 2026.3.3, numpy 2.4.6, Python 3.11.
# An int16 TIFF (elevations, CT numbers) of -1000, -8, 0, 8, 1000, 32000, read with IMREAD_GRAYSCALE:
#   252, 255, 0, 0, 3, 125
# The sign bit is taken for the highest of 16 bits: just below zero is the brightest, and what lies above is divided by 256.
# IMREAD_UNCHANGED gives the numbers as they are.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install -q opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
cd "$room"
"$room/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import tifffile

values = [-1000, -8, 0, 8, 1000, 32000]
tifffile.imwrite("a.tif", np.array([values], np.int16))
grey = cv2.imread("a.tif", cv2.IMREAD_GRAYSCALE).ravel().tolist()
unchanged = cv2.imread("a.tif", cv2.IMREAD_UNCHANGED).ravel().tolist()
print(f"stored {values}\ngrey {grey}\nunchanged {unchanged}")
assert grey == [252, 255, 0, 0, 3, 125] and unchanged == values, "the behaviour has changed"
PYTHON
