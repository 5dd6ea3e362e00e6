"""The built-in filters: named ones with fixed numbers, and families that are called with theirs.

Signs are those of cross-correlation, as convolutions here compute it: the first number stands top left.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..ir.fields import REQUIRED, Pair, attr, attrs_of, declared
from ..ir.filters import Filter, Rows

LARGEST_SIDE = 99


class BuiltIn:
    """Base of built-in filters: a class with its docstring for the manual, its fields for the call."""

    word: ClassVar[str]

    def shape(self) -> Pair:
        """Return rows and columns. Raises ValueError for fields that no filter has."""
        raise NotImplementedError

    def rows(self) -> Rows:
        """Return the numbers, row by row."""
        raise NotImplementedError


FILTERS: dict[str, type[BuiltIn]] = {}  # by name


def _register(word: str, cls: Any) -> None:
    cls.word = word
    FILTERS[word] = declared(cls)


def _fixed(word: str, doc: str, *rows: str, divisor: float = 1) -> None:
    numbers = tuple(tuple(float(n) / divisor for n in row.split()) for row in rows)
    size = len(numbers), len(numbers[0])
    _register(word, type(word, (BuiltIn,), {"__doc__": doc, "shape": lambda _: size, "rows": lambda _: numbers}))


PREWITT = 'Prewitt 1970, "Object enhancement and extraction".'
SOBEL = 'Sobel & Feldman 1968; Gonzalez & Woods, "Digital Image Processing", section 10.2.'
SCHARR = 'Scharr 2000, "Optimal operators in digital image processing".'
ROBERTS = 'Roberts 1963, "Machine perception of three-dimensional solids"; 2x2, so the convolution must say its pad.'

_fixed("vertical_edge", "A vertical edge, positive where the left side is brighter.", "1 0 -1", "1 0 -1", "1 0 -1")
_fixed("horizontal_edge", "A horizontal edge, positive where the upper side is brighter.", "1 1 1", "0 0 0", "-1 -1 -1")
for _name, _source, _a, _b in (("prewitt", PREWITT, 1, 1), ("sobel", SOBEL, 1, 2), ("scharr", SCHARR, 3, 10)):
    _doc = "{}'s derivative along {}, positive where it gets brighter {}.\n\n{}"
    _title = _name.capitalize()
    _across = [f"-{_n} 0 {_n}" for _n in (_a, _b, _a)]
    _fixed(f"{_name}_x", _doc.format(_title, "x", "to the right", _source), *_across)
    _fixed(
        f"{_name}_y",
        _doc.format(_title, "y", "downwards", _source),
        f"-{_a} -{_b} -{_a}",
        "0 0 0",
        f"{_a} {_b} {_a}",
    )
_fixed("roberts_x", f"Roberts's difference along the diagonal down to the right.\n\n{ROBERTS}", "-1 0", "0 1")
_fixed("roberts_y", f"Roberts's difference along the diagonal down to the left.\n\n{ROBERTS}", "0 -1", "1 0")
_fixed(
    "laplacian",
    "The sum of the second derivatives, 0 on flats and slopes, large at points.",
    "0 1 0",
    "1 -4 1",
    "0 1 0",
)
_fixed("sharpen", "The image minus its laplacian, so that edges stand out, flats stay.", "0 -1 0", "-1 5 -1", "0 -1 0")
_fixed("emboss", "Light from the upper left, where flats stay, slopes look raised.", "-2 -1 0", "-1 1 1", "0 1 2")


def _family(word: str) -> Any:
    def register(cls: Any) -> Any:
        _register(word, cls)
        return FILTERS[word]

    return register


def _side(size: float) -> Pair:
    if size != int(size) or not 1 <= size <= LARGEST_SIDE:
        raise ValueError(f"its size is a whole number from 1 to {LARGEST_SIDE}, not {size:g}")
    return int(size), int(size)


def _odd(size: float) -> Pair:
    if _side(size)[0] % 2 == 0:
        raise ValueError(f"its size is odd, so that it has a centre, not {size:g}")
    return _side(size)


@_family("identity")
class IdentityFilter(BuiltIn):
    """The image as it is, 1 in the centre, 0 around it."""

    size: float = attr("int", "rows and columns, odd", positional=True, default=3)

    def shape(self) -> Pair:
        return _odd(self.size)

    def rows(self) -> Rows:
        n, _ = self.shape()
        return tuple(tuple(float(i == j == n // 2) for j in range(n)) for i in range(n))


@_family("box")
class Box(BuiltIn):
    """The mean of size x size pixels. All numbers are 1 / size^2."""

    size: float = attr("int", "rows and columns", positional=True, default=3)

    def shape(self) -> Pair:
        return _side(self.size)

    def rows(self) -> Rows:
        n, _ = self.shape()
        return ((1 / n**2,) * n,) * n


@_family("gaussian")
class Gaussian(BuiltIn):
    """A mean that weighs near pixels more. The numbers fall off like a bell, and add up to 1.

    Without ``sigma`` they are binomial coefficients: 1 2 1 for size 3, so the numbers are those products over 16.
    """

    size: float = attr("int", "rows and columns", positional=True, default=3)
    sigma: float = attr("float", "width of the bell in pixels; 0 for the binomial one", positional=True, default=0)

    def shape(self) -> Pair:
        if not self.sigma >= 0:
            raise ValueError(f"its sigma is not negative, but {self.sigma:g}")
        return _side(self.size)

    def rows(self) -> Rows:
        n, _ = self.shape()
        if self.sigma == 0:
            line = [math.comb(n - 1, i) / 2 ** (n - 1) for i in range(n)]
        else:
            bell = [math.exp(-0.5 * min(((i - (n - 1) / 2) / self.sigma) ** 2, 1400)) for i in range(n)]
            line = [b / sum(bell) if sum(bell) > 0 else 1 / n for b in bell]
        return tuple(tuple(a * b for b in line) for a in line)


@_family("gabor")
class Gabor(BuiltIn):
    """Stripes under a bell, cos(2 pi u / wavelength) exp(-(u^2 + v^2/4) / 2s^2), as visual cells see them.

    u runs along ``angle``, v across, and s = 0.56 wavelength (a bandwidth of one octave). The mean is taken off, so
    that flat images give 0. ``gabor(0, 4)`` answers to vertical stripes 4 pixels apart, ``gabor(90, 4)`` to horizontal
    ones.

    Daugman 1985, "Uncertainty relation for resolution in space, spatial frequency, and orientation".
    """

    angle: float = attr("float", "degrees, counter-clockwise, in which the stripes follow one another", positional=True)
    wavelength: float = attr("float", "pixels from stripe to stripe, at least 2", positional=True)
    size: float = attr(
        "int", "rows and columns, odd; 0 for 2*wavelength + 1, rounded to odd", positional=True, default=0
    )

    def shape(self) -> Pair:
        if not 2 <= self.wavelength <= LARGEST_SIDE:
            raise ValueError(f"its wavelength is from 2 to {LARGEST_SIDE} pixels, not {self.wavelength:g}")
        return _odd(self.size or min(2 * round(self.wavelength) + 1, LARGEST_SIDE))

    def rows(self) -> Rows:
        n, _ = self.shape()
        turn, sigma, far = math.radians(self.angle % 360), 0.56 * self.wavelength, n // 2
        numbers = []
        for y in range(far, -far - 1, -1):  # rows go down
            for x in range(-far, far + 1):
                u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
                bell = math.exp(-(u * u + v * v / 4) / (2 * sigma * sigma))
                numbers.append(bell * math.cos(2 * math.pi * u / self.wavelength))
        mean = math.fsum(numbers) / len(numbers)
        return tuple(tuple(numbers[i * n + j] - mean for j in range(n)) for i in range(n))


def built_in(word: str, *numbers: float) -> Filter:
    """Return a filter of the library. Raises ValueError, which says what is wrong, for numbers that it cannot have."""
    name = f"{word}({', '.join(f'{n:g}' for n in numbers)})" if numbers else word
    made = FILTERS[word](*numbers)
    return Filter(name, made.shape(), made)


def counts(word: str) -> tuple[int, int]:
    """Return how many numbers a built-in filter takes, at least and at most."""
    fields = attrs_of(FILTERS[word]).values()
    return sum(a.default is REQUIRED for a in fields), len(fields)


def call_form(word: str) -> str:
    """Return how a built-in filter is written: ``sobel_x``, ``gabor(ANGLE, WAVELENGTH, [SIZE])``."""
    fields = attrs_of(FILTERS[word]).values()
    names = [a.key.upper() if a.default is REQUIRED else f"[{a.key.upper()}]" for a in fields]
    return f"{word}({', '.join(names)})" if names else word
