"""Samples of a data set become the input of a net: gathered from where they lie, and normalised.

This is the one place where a pixel turns into a number of the net. What depends on chance would be keyed by the sample,
as ``random_drop`` is, so that no bit follows from threads or from the order of samples.
"""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic

from ._jit import i64_at, u8_at
from .pointwise import register

P = A = at = T = None
BYTES = False  # True in the kernels with this word in their name: pixels are uint8


@intrinsic
def scale_and_shift(typingctx: Any, x: Any, scale: Any, shift: Any) -> Any:
    """x * scale + shift, rounded after each of the two, as NumPy does.

    Numba gives the flags of all kernels, with which LLVM would fuse the two, to operations that have none: so these
    have one, which says nothing about them.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        flags = ("arcp",)  # a division may become a product
        return builder.fadd(builder.fmul(args[0], args[1], flags=flags), args[2], flags=flags)

    return x(x, x, x), codegen


def take_samples(p, a, n):
    """x[i] = images[index[i]] * scale + shift, [rows, row_elements] each; scale and shift lie as one row does.

    An index below zero counts from the end. Indices come from outside of the plan, so they are looked at: where one is
    no sample's, nothing is written for it, and ``wrong`` [1] becomes 1.
    """
    images = u8_at(p[P.images]) if BYTES else at(p[P.images])
    index, scale, shift, x = i64_at(p[P.index]), at(p[P.scale]), at(p[P.shift]), at(p[P.x])
    elements = a[A.rows] * a[A.row_elements]
    for i in range(n):
        sample = index[i] if index[i] >= 0 else index[i] + a[A.samples]
        if sample < 0 or sample >= a[A.samples]:
            i64_at(p[P.wrong])[0] = 1
            continue
        f, to = sample * elements, i * elements
        for _ in range(a[A.rows]):
            for k in range(a[A.row_elements]):
                x[to + k] = scale_and_shift(T(images[f + k]), scale[k], shift[k])
            f, to = f + a[A.row_elements], to + a[A.row_elements]


register(take_samples)
register(take_samples, flags=("BYTES",))
