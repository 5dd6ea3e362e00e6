"""Pictures of more than 8 bits a channel to bytes: which number is black, and which is white."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

USUAL_WHITE = {"16 bits": 65535.0, "integers": 65535.0, "floats": 1.0}  # of each kind, where the spec says none

_BAND_PIXELS = 1 << 20  # converted at a time
_OVERSHOOT = 0.1  # of floats from 0 to 1, as resampling makes


class UnreadableImage(Exception):
    """A file that cannot be decoded; the message says why."""


class UnknownLevels(UnreadableImage):
    """A picture of numbers ``low`` to ``high``, of which nothing says which is black and which is white."""

    def __init__(self, kind: str, low: float, high: float) -> None:
        self.kind, self.low, self.high = kind, low, high
        super().__init__(
            f"it holds {kind} from {low:g} to {high:g}, and nothing says which of them is black and which is white"
        )


@dataclass(frozen=True)
class Decoding:
    """How files become pixels: what ``source folders`` says of it.

    Attributes
    ----------
    resize : ``crop`` fills and cuts evenly, ``fit`` keeps all and pads with black, ``stretch`` ignores the aspect.
        Bilinear, over all pixels that fall into a target pixel. An image of the right size is left as it is.
    ground : what transparent places show, ``white`` or ``black``.
    black, white : the numbers that become 0 and 255 in pictures of more than 8 bits a channel (integers or floats).
        Where both are None: 0 and 65,535 for 16 bits, of which the upper eight are kept; 0 and 4,095 for TIFF of
        12 bits; 0 and 1 for floats.
    draft : whether a JPEG far larger than the input is decoded at a half, a quarter or an eighth of its size.
    """

    resize: str = "crop"
    ground: str = "white"
    black: float | None = None
    white: float | None = None
    draft: bool = field(default=False, repr=False)  # the text of the others is part of fingerprints of older runs


def suggest_levels(low: float, high: float) -> str:
    """Return ``white=4095``, and ``black=`` where zero is not black, for pictures of numbers from low to high."""
    usual = next((n for n in (1, 255, 1023, 4095, 16383, 65535) if n >= high), None)
    white = f"white={usual if usual is not None and low >= 0 else high:.10g}"
    return white if low >= 0 else f"black={low:.10g} {white}"


def to_bytes(image: Image.Image, raw: str, decoding: Decoding) -> tuple[Image.Image, str, float]:
    """Return a picture of integers or floats as bytes, what its numbers are, and the largest."""
    from PIL import Image as PillowImage

    floats, twelve = image.mode == "F", "I;12" in raw
    kind = "floats" if floats else "16 bits" if ";16" in raw and "S" not in raw else "integers"
    low, high = np.inf, -np.inf
    for box in _bands(image):
        band = np.asarray(image.crop(box))
        if floats and not np.isfinite(band).all():
            raise UnreadableImage("a value is not finite")
        low, high = min(low, float(band.min())), max(high, float(band.max()))
    usual = 4095.0 if twelve else USUAL_WHITE[kind]
    if decoding.black is None and decoding.white is None:
        slack = _OVERSHOOT if floats else 0.0
        if low < -slack or high > usual + slack:
            raise UnknownLevels(kind, low, high)
    black = 0.0 if decoding.black is None else decoding.black
    white = usual if decoding.white is None else decoding.white
    if not black < white:
        raise UnreadableImage(f"its {kind} have white at {white:g}, which is not above the black={black:g} of the spec")
    tags: Any = getattr(image, "tag_v2", {})
    inverted = tags.get(262) == 0  # a TIFF whose zero is white: Pillow turns 8 bits around, but no more than these

    def convert(band: Image.Image) -> Image.Image:
        numbers = np.asarray(band)
        if (black, white) == (0.0, 65535.0):
            scaled = (np.clip(numbers, 0, 65535).astype(np.uint16) >> 8).astype(np.uint8)
        else:
            ramp = (numbers.astype(np.float64) - black) * (255.0 / (white - black))
            scaled = np.clip(np.rint(ramp), 0, 255).astype(np.uint8)
        return PillowImage.fromarray(255 - scaled if inverted else scaled)

    return in_bands(image, "L", convert), "" if twelve else kind, high


def in_bands(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return the image in another mode, converted some rows at a time: no third copy of a large one is made."""
    from PIL import Image as PillowImage

    if image.width * image.height <= _BAND_PIXELS:
        return convert(image)
    result = PillowImage.new(mode, image.size)
    for box in _bands(image):
        result.paste(convert(image.crop(box)), box[:2])
    return result


def _bands(image: Image.Image) -> Iterator[tuple[int, int, int, int]]:
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)
