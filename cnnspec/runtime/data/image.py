"""One image file becomes pixels of the size that a net takes: in bounded memory, of formats that Pillow decodes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from ...errors import DataError, MachineError
from ...ir.fields import Shape, dims
from ...model.settings import DataSettings
from ...reading import check_room, open_file
from .levels import USUAL_WHITE, Decoding, UnknownLevels, UnreadableImage, in_bands, suggest_levels, to_bytes

if TYPE_CHECKING:
    from PIL import Image

# Left out are formats for which Pillow starts another program (EPS: Ghostscript) or needs one, and videos.
FORMATS = (
    *("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF", "QOI", "PSD", "ICO", "ICNS"),
    *("PCX", "SGI", "SUN", "DDS", "XBM", "XPM", "TGA"),
)
USUAL = ("PNG", "JPEG", "GIF", "BMP", "PPM")  # the formats that Pillow knows without a module for each of the others
MAX_PIXELS = 1 << 27  # of one picture, and of all that are decoded at a time: each takes up to 8 bytes
HEAVY = ("WEBP", "AVIF", "JPEG2000")  # whose decoders take twice as much, so that half as many are read
MAX_NBYTES = 1 << 30  # of one file
WITH_FRAMES = ("GIF", "TIFF", "WEBP", "PNG", "AVIF")  # whose further frames are pictures, not previews or layers

_ORIENTED = frozenset(("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"))  # where Pillow looks for it
_SMALL = 1 << 18  # bytes of a file that is read at once
_LARGE = 1 << 24  # pixels from which on there is asked whether memory has room
_SUSPECT = 0.25  # kept of a picture's longer side, below which cropping is told


@dataclass(frozen=True)
class Picture:
    """Pixels uint8[H, W, C] of a file, and what is odd about it.

    Attributes
    ----------
    kind : ``16 bits``, ``integers`` or ``floats`` where the file has more than 8 bits a channel, else empty.
    high : the largest of these numbers.
    remarks : keys of ``REMARKS``.
    """

    pixels: np.ndarray
    kind: str = ""
    high: float = 0.0
    remarks: tuple[str, ...] = ()


REMARKS = {  # what a person should know of pictures, after their number
    "frames": "more than one page or frame, of which the first is read",
    "blank": "one colour throughout, as read",
    "on-white": "one colour throughout on the white behind transparent places (ground=black tells them apart)",
    "on-black": "one colour throughout on the black behind transparent places (ground=white tells them apart)",
    "cropped": "less than a quarter of their length left by resize=crop; resize=fit keeps all",
    "coarse": "16 bits a channel in colour, of which the upper 8 are read, and these are nearly black: "
    "save with 8 bits a channel, white as 255",
}


def decoding_of(data: DataSettings | None) -> Decoding:
    """Return how the pictures of a spec are read; the defaults where its data are no folders of pictures."""
    source: Any = data.source if data is not None else None
    if not hasattr(source, "resize"):
        return Decoding()
    return Decoding(source.resize, source.ground, source.black, source.white, source.draft)


@cache
def image_suffixes() -> frozenset[str]:
    """Return the file name endings, lower case, of the formats that are read."""
    known = _formats()
    return frozenset(suffix for suffix, kind in _pillow().EXTENSION.items() if kind in known)


def check_channels(input_shape: Shape, path: object) -> None:
    """Raise DataError unless image files can be turned into the spec's input."""
    if len(input_shape) != 3 or input_shape[-1] not in (1, 3):
        raise DataError(
            "image files give one channel (grey) or three (RGB)",
            path=path,
            field="channels",
            expected="an input of HxWx1 or HxWx3",
            found=dims(input_shape),
        )


def read_picture(path: Path, input_shape: Shape, decoding: Decoding) -> Picture:
    """Return a file's pixels uint8[H, W, C], and what is odd about it.

    The EXIF orientation is applied; transparent places show the ground. C = 1 gives grey by ITU-R 601-2 luma, C = 3
    gives RGB.

    Raises
    ------
    UnreadableImage
        When the file cannot be decoded, is too large, or its numbers have no known black and white.
    MachineError
        When memory has no room for a large picture.
    """
    mode = "L" if input_shape[-1] == 1 else "RGB"
    with _opened(path) as opened, _ALLOWANCE.hold(_weight(opened)):
        if _weight(opened) >= _LARGE:
            check_room(8 * _weight(opened), path=path, field="image", hint="make the picture smaller")
        raw = " ".join(str(tile[3]) for tile in getattr(opened, "tile", ()))
        if decoding.draft and opened.format == "JPEG":
            opened.draft(None, (max(input_shape[:2]),) * 2)  # of both sides, as it may yet be turned
        _turn_upright(opened)
        image: Image.Image = opened
        kind, high = "", 0.0
        remarks = []
        clear: Image.Image | None = None  # as it was, where a ground shows through
        if image.mode[0] in "IF":
            image, kind, high = to_bytes(image, raw, decoding)
        unused = image.mode in ("LA", "RGBA") and _extrema(image)[-1][1] == 0  # nothing would be seen
        if image.has_transparency_data and not unused:
            clear = image
            image = _on_ground(image, decoding.ground, mode)
        elif image.mode != mode:
            image = in_bands(image, mode, lambda band: band.convert(mode))
        if ";16" in raw and not kind and max(high for _, high in _extrema(image)) < 64:
            remarks.append("coarse")
        content = _resized(image, input_shape, decoding.resize).tobytes()
        if decoding.resize == "crop" and _kept(image.size, input_shape) < _SUSPECT:
            remarks.append("cropped")
        if len(content) > len(mode) and _is_plain(content, len(mode)):
            other = "black" if decoding.ground == "white" else "white"  # may show what is on it
            shown = _resized(_on_ground(clear, other, mode), input_shape, decoding.resize) if clear else None
            hidden = shown is not None and not _is_plain(shown.tobytes(), len(mode))
            remarks.append(f"on-{decoding.ground}" if hidden else "blank")
        if opened.format in WITH_FRAMES and _has_more(opened):
            remarks.append("frames")
    pixels = np.frombuffer(content, np.uint8).reshape(input_shape)
    return Picture(pixels, kind, high, tuple(remarks))


def load_picture(path: Path, input_shape: Shape, decoding: Decoding) -> Picture:
    """Return one picture as :func:`read_picture` does, with DataError naming the file."""
    check_channels(input_shape, path)
    if not path.exists():
        raise DataError("the file does not exist", path=path)
    try:
        return read_picture(path, input_shape, decoding)
    except UnreadableImage as error:
        expected, hint = f"one of {', '.join(FORMATS[:6])}, ...", ""
        if isinstance(error, UnknownLevels):
            expected = f"{error.kind} from 0 to {USUAL_WHITE[error.kind]:,.10g}"
            levels = suggest_levels(error.low, error.high)
            hint = f"save it with 8 bits a channel, or train with  {levels}  behind  source folders"
        raise DataError(f"cannot be read as an image: {error}", path=path, expected=expected, hint=hint) from None


def check_header(path: Path) -> None:
    """Raise UnreadableImage when the file is in no known format or too large; its pixels are not decoded."""
    with _opened(path):
        pass


# ---- opening ------------------------------------------------------------------------------------
@cache
def _pillow() -> Any:
    """Return Pillow's module Image with the usual formats known, its own remarks silenced: ours say the same."""
    from PIL import Image

    Image.preinit()
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image


@cache
def _formats() -> list[str]:
    """Return the formats of FORMATS that this Pillow can read. It imports a module for each."""
    image = _pillow()
    image.init()
    return [name for name in FORMATS if name in image.OPEN]


def _open(stream: IO[bytes]) -> Image.Image:
    image = _pillow()
    try:
        return cast("Image.Image", image.open(stream, formats=USUAL))
    except image.UnidentifiedImageError:
        stream.seek(0)
        return cast("Image.Image", image.open(stream, formats=_formats()))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, its pixels not yet decoded; all that goes wrong inside is an UnreadableImage."""
    try:
        with open_file(path, limit=MAX_NBYTES, whole=_SMALL) as stream, _recognised(stream) as opened:
            yield opened
    except MachineError:  # no fault of the file
        raise
    except DataError as error:
        raise UnreadableImage(error.message + (f": {error.found}" if error.found else "")) from None


@contextmanager
def _recognised(stream: IO[bytes]) -> Iterator[Image.Image]:
    image = _pillow()
    try:
        with _open(stream) as opened:
            if _weight(opened) > MAX_PIXELS:
                raise _too_large(f"{opened.width:,} x {opened.height:,}", opened.format)
            yield opened
    except (UnreadableImage, DataError):
        raise
    except image.UnidentifiedImageError:
        raise UnreadableImage("its content is of no known format") from None
    except (image.DecompressionBombError, image.DecompressionBombWarning):  # the latter under python -W error
        raise _too_large("too many") from None
    except MemoryError:
        raise UnreadableImage("there is not enough memory to decode it") from None
    except Exception as error:  # decoders of two dozen formats raise whatever they meet
        raise UnreadableImage(str(error) or type(error).__name__) from None


def _weight(opened: Image.Image) -> int:
    return opened.width * opened.height * (2 if opened.format in HEAVY else 1)


def _too_large(pixels: str, kind: str | None = None) -> UnreadableImage:
    most = MAX_PIXELS // 2 if kind in HEAVY else MAX_PIXELS
    return UnreadableImage(f"it has {pixels} pixels, and at most {most:,} are read")


class _Allowance:
    """How many pixels may be decoded at a time, by all threads together; who wants more waits."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most
        self.waiting = 0
        self.changed = threading.Condition(threading.Lock())

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        pixels = min(pixels, self.most)
        with self.changed:
            while self.left < pixels:
                self.waiting += 1
                self.changed.wait()
                self.waiting -= 1
            self.left -= pixels
        try:
            yield
        finally:
            with self.changed:
                self.left += pixels
                if self.waiting:
                    self.changed.notify_all()


_ALLOWANCE = _Allowance(MAX_PIXELS)


def _has_more(opened: Image.Image) -> bool:
    if opened.format == "PNG" and not getattr(opened, "is_animated", True):
        return False
    try:
        opened.seek(1)
    except Exception:  # whatever a damaged second frame is worth: the first was read
        return False
    return True


# ---- colours ------------------------------------------------------------------------------------
def _on_ground(image: Image.Image, ground: str, mode: str) -> Image.Image:
    pillow = _pillow()

    def convert(band: Image.Image) -> Image.Image:
        behind = pillow.new("RGBA", band.size, ground)
        return pillow.alpha_composite(behind, band.convert("RGBA")).convert(mode)

    return in_bands(image, mode, convert)


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    found: Any = image.getextrema()
    return [found] if image.mode == "L" else list(found)


def _is_plain(content: bytes, channels: int) -> bool:
    """Return whether all pixels are one colour; of most pictures two tell that they are not."""
    first, middle = content[:channels], len(content) // (2 * channels) * channels
    if content[-channels:] != first or content[middle : middle + channels] != first:
        return False
    return content == first * (len(content) // channels)


# ---- sizes --------------------------------------------------------------------------------------
def _turn_upright(opened: Image.Image) -> None:
    """Decode a picture and apply its EXIF orientation, where it has one."""
    from PIL import ImageOps

    opened.load()
    if opened.format not in ("PNG", "JPEG") or not _ORIENTED.isdisjoint(opened.info):
        ImageOps.exif_transpose(opened, in_place=True)


def _resized(image: Image.Image, input_shape: Shape, resize: str) -> Image.Image:
    height, width = input_shape[:2]
    if image.size == (width, height):
        return image
    from PIL import ImageOps

    bilinear = _pillow().Resampling.BILINEAR
    if resize == "stretch":
        return image.resize((width, height), bilinear)
    if resize == "fit":
        return _fitted(image, width, height)
    return ImageOps.fit(image, (width, height), bilinear)


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return all of the image, in the middle of a black one; however thin it is, a row or column is left of it."""
    pillow = _pillow()
    if image.width * height > image.height * width:
        size = (width, max(1, round(image.height / image.width * width)))
    else:
        size = (max(1, round(image.width / image.height * height)), height)
    result = pillow.new(image.mode, (width, height))
    place = (round((width - size[0]) * 0.5), round((height - size[1]) * 0.5))
    result.paste(image.resize(size, pillow.Resampling.BILINEAR), place)
    return result


def _kept(size: tuple[int, int], input_shape: Shape) -> float:
    """Return the share of an image's longer side that is left when it is cut to the aspect of the input."""
    aspect, wanted = size[0] / size[1], input_shape[1] / input_shape[0]
    return min(aspect / wanted, wanted / aspect)
