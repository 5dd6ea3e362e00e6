#!/usr/bin/env bash
# Pillow 13.0.0, OpenCV 5.0.0.93, tifffile 2026.3.3, numpy 2.4.6, Python 3.11.
# PhotometricInterpretation 0 (WhiteIsZero) says that 0 is white. The stored numbers 0, 100, 200 are read as:
#              8 bits            16 bits
#   Pillow     255, 155, 55      0, 100, 200
#   OpenCV     255, 155, 55      0, 100, 200
#   tifffile   0, 100, 200       0, 100, 200
# So one scanner's pictures come light on dark or dark on light by their depth, and by the library that reads them.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install -q pillow==13.0.0 opencv-python-headless==5.0.0.93 tifffile==2026.3.3 numpy==2.4.6
cd "$room"
"$room/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import tifffile
from PIL import Image

found = {}
for dtype in (np.uint8, np.uint16):
    tifffile.imwrite("a.tif", np.array([[0, 100, 200]], dtype), photometric="miniswhite")
    bits = 8 * np.dtype(dtype).itemsize
    found["Pillow", bits] = np.asarray(Image.open("a.tif")).ravel().tolist()
    found["OpenCV", bits] = cv2.imread("a.tif", cv2.IMREAD_UNCHANGED).ravel().tolist()
    found["tifffile", bits] = tifffile.imread("a.tif").ravel().tolist()
for (name, bits), pixels in found.items():
    print(f"{name}, {bits} bits: {pixels}")
turned, kept = [255, 155, 55], [0, 100, 200]
assert list(found.values()) == [turned, turned, kept, kept, kept, kept], "the behaviour has changed"
PYTHON
