"""One image file to pixels of the size a net wants."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import DataError
from ...ops.base import Shape


class UnreadableImage(Exception):
    """A file that Pillow cannot decode; the message says why."""


def image_suffixes() -> frozenset[str]:
    """Return the file name endings, lower case, that Pillow knows how to open."""
    from PIL import Image

    Image.init()
    return frozenset(suffix for suffix, kind in Image.EXTENSION.items() if kind in Image.OPEN)


def check_channels(input_shape: Shape, path: object) -> None:
    """Raise DataError unless image files can be turned into the spec's input."""
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise DataError(
            "image files give one channel (grey) or three (RGB)",
            path=path,
            field="channels",
            expected="an input of HxWx1 or HxWx3",
            found="x".join(map(str, input_shape)),
        )


def decode_image(path: Path, input_shape: Shape, resize: str = "crop") -> np.ndarray:
    """Return the pixels uint8[H, W, C] of an image file.

    Parameters
    ----------
    path : a file of any format that Pillow reads; its EXIF orientation is applied.
    input_shape : (H, W, C); C = 1 gives grey by ITU-R 601-2 luma, C = 3 gives RGB. Alpha is dropped.
    resize : ``crop`` fills and cuts evenly, ``fit`` keeps all and pads with black, ``stretch`` ignores
        the aspect. Bilinear, over all pixels that fall into a target pixel. An image of the right size is
        left as it is.

    Raises
    ------
    UnreadableImage
        When the file cannot be decoded.
    """
    from PIL import Image, ImageOps

    height, width, channels = input_shape
    try:
        with Image.open(path) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits a pixel: keep the upper eight, where Pillow would clip
                wide = np.asarray(image).clip(0, 65535)
                image = Image.fromarray((wide.astype(np.uint16) >> 8).astype(np.uint8))
            if image.mode == "P":  # the way on which transparent entries keep their colour
                image = image.convert("RGBA")
            image = image.convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise UnreadableImage("the file does not exist") from None
    except Exception as error:  # decoders of two dozen formats raise whatever they meet
        raise UnreadableImage(str(error) or type(error).__name__) from None
    if image.size != (width, height):
        bilinear = Image.Resampling.BILINEAR
        if resize == "stretch":
            image = image.resize((width, height), bilinear)
        elif resize == "fit":
            image = ImageOps.pad(image, (width, height), bilinear)
        else:
            image = ImageOps.fit(image, (width, height), bilinear)
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def load_image(path: Path, input_shape: Shape, resize: str = "crop") -> np.ndarray:
    """Return the pixels of one image file as :func:`decode_image` does, with DataError naming the file."""
    check_channels(input_shape, path)
    if not path.exists():
        raise DataError("the file does not exist", path=path)
    try:
        return decode_image(path, input_shape, resize)
    except UnreadableImage as error:
        raise DataError(
            f"cannot be read as an image: {error}", path=path, expected="a format that Pillow reads"
        ) from None


def check_header(path: Path) -> None:
    """Raise UnreadableImage when Pillow does not recognise the file; its pixels are not decoded."""
    from PIL import Image

    try:
        with Image.open(path):
            pass
    except Exception as error:
        raise UnreadableImage(str(error) or type(error).__name__) from None
