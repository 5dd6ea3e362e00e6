"""Graph -> kernel calls. Importing this package fills the registry of lowerings."""

from . import conv, copies, dense, depthwise, loss, norm, pointwise, pool, sums, weight_grad

__all__ = ["conv", "copies", "dense", "depthwise", "loss", "norm", "pointwise", "pool", "sums", "weight_grad"]
