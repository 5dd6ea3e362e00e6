"""Settings of graphs and plans that are not part of a spec."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The settings of a compilation. One object is handed from the command line to the lowering.

    Attributes
    ----------
    batch : largest number of samples of a run; the spec's ``train: batch`` when None.
    dtype : dtype of activations and parameters: ``f32``, or ``f64`` for checks of gradients.
    target : dtype of targets, ``i32`` for class numbers [N] or ``f32`` for arrays [N, F] (mse only).
    exact : True keeps convolutions direct and in the order of the spec: no Winograd, whose sums round more, no
        overlapping windows, and no pooling before a 1x1 convolution.
    epoch : the epoch whose training steps are compiled. Parameters that are frozen in it have no gradient.
    """

    batch: int | None = None
    dtype: str = "f32"
    target: str = "i32"
    exact: bool = False
    epoch: int = 1


DEFAULT = Options()
