"""The settings of graphs and plans that no spec holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """How a net is compiled: one value from the command line to the kernels.

    Attributes
    ----------
    batch : most samples of a run; the spec's ``train: batch`` when None.
    dtype : ``f32``, or ``f64`` for checks of gradients.
    target : dtype of targets, ``i32`` for class numbers [N] or ``f32`` for arrays [N, F] (mse only).
    exact : keep convolutions as they are written: no Winograd, whose sums round a little more, and no other order.
    """

    batch: int | None = None
    dtype: str = "f32"
    target: str = "i32"
    exact: bool = False


DEFAULT = Options()
