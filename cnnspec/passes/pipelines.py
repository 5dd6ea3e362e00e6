"""The pipelines: plain lists of passes."""

from __future__ import annotations

from .base import Pass
from .dead_code import DeadCode
from .fold_batchnorm import FoldNormalisation
from .fuse_activation import FuseActivation

INFERENCE: tuple[Pass, ...] = (FoldNormalisation(), FuseActivation(), DeadCode())
FORWARD: tuple[Pass, ...] = (FuseActivation(),)  # before differentiation
TRAINING: tuple[Pass, ...] = (DeadCode(),)  # after it
