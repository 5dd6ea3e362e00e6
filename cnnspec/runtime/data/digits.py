"""The embedded UCI digits: 1,797 images of 8 x 8, so that everything can be tried without a download."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import numpy as np

from ...ir.fields import Shape
from ...model.settings import DataSettings, Digits
from .labels import class_numbers
from .normalize import normalizer_for
from .pixels import PixelScale, check_image_shape
from .registry import source
from .split import ArraySplit, Dataset

WHITE = 16.0  # the largest pixel value; it becomes 1


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return (images uint8[1797, 8, 8, 1] with values 0 to 16, labels int32[1797]), as in the source.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998; CC BY 4.0.
    """
    resource = files("cnnspec") / "datasets" / "digits.npz"
    with resource.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return archive["images"][..., None], archive["labels"].astype(np.int32)


@source(Digits)
def open_digits(settings: DataSettings, input_shape: Shape, classes: int | None, base: Path) -> Dataset:
    """Open the digits. Sorted by class, then by their order in the source, every fifth is a test image.

    That makes 1,438 training and 359 test images, each class in both alike. The same people wrote both parts.
    """
    images, labels = load_digits()
    check_image_shape(images.shape[1:], input_shape, path="digits")
    class_numbers(labels, classes or 10, path="digits", field="labels")
    normalizer = normalizer_for(settings.normalize, 1, WHITE)
    order = np.argsort(labels, kind="stable")
    is_test = np.arange(len(order)) % 5 == 4
    whole = ArraySplit(images, labels, normalizer, origin="digits")
    return Dataset(
        "digits",
        whole.subset(np.sort(order[~is_test])),
        None,
        whole.subset(np.sort(order[is_test])),
        tuple("0123456789"),
        hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(),
        scale=PixelScale(WHITE, 0.0, WHITE, "uint8"),
    )
