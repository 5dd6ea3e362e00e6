"""First values of parameters, keyed by seed and name so that one layer never moves another's draw."""

from __future__ import annotations

import math

import numpy as np

from ..errors import InternalError
from ..ir.fields import Param
from ..model.model import Model
from .rng import keyed


def initial(param: Param, name: str, seed: int) -> np.ndarray:
    """Return the first value of a parameter.

    Parameters
    ----------
    param : its declaration; ``init`` names the initialiser.
    name : its full name, ``LAYER.weight``; part of the key of the draw.
    seed : the run's seed.

    Returns
    -------
    float32[param.shape]

    Of an output channel that is made by hand, a weight has the numbers of its filter, and a bias is 0.

    Raises
    ------
    InternalError
        When no initialiser has the name, or a uniform draw has no fan-in.

    Notes
    -----
    ``kaiming_uniform`` draws from (-b, b) with b = sqrt(6 / ((1 + a^2) fan_in)) and a = sqrt(5), so b is
    1 / sqrt(fan_in); weights and biases share the bound of their layer.

    References
    ----------
    He et al. 2015, "Delving Deep into Rectifiers", section 2.2.
    """
    if param.init == "zeros":
        return np.zeros(param.shape, np.float32)
    if param.init == "ones":
        return np.ones(param.shape, np.float32)
    if param.init == "kaiming_uniform":
        if param.fan_in < 1:
            raise InternalError(f"parameter {name}: kaiming_uniform needs a fan-in, found {param.fan_in}")
        bound = np.float32(1.0 / math.sqrt(param.fan_in))
        drawn = keyed(seed, "parameter", name).random(param.shape, dtype=np.float32)
        drawn *= 2 * bound
        drawn -= bound
        for channel, made in param.made:
            is_weight = len(param.shape) > 1  # [kH, kW, channels, or 1 for all]
            drawn[..., channel] = np.moveaxis(np.array(made.planes), 0, -1) if is_weight else 0
        return drawn
    raise InternalError(f"parameter {name}: no initialiser is called {param.init!r}")


def initial_parameters(model: Model, seed: int | None = None) -> dict[str, np.ndarray]:
    """Return the first value float32 of every parameter of a net; ``seed`` is the spec's when None."""
    return {name: initial(p, name, model.train.seed if seed is None else seed) for name, p in model.params.items()}
