"""How small a batch may be: batch norm over one value of a channel has no variance to learn from."""

from __future__ import annotations

import math

from ..errors import DataError
from ..model.model import Layer, Model


def fewest_samples(model: Model) -> int:
    """Return how many samples a batch of training needs: 2 where a batch norm sees one value a channel of each."""
    return 1 if _norm_over_one(model) is None else 2


def check_batches(model: Model, samples: int) -> str | None:
    """Refuse batches in which a batch norm would see one value; return a remark where the last two share their samples.

    Over one value the mean is the value and the variance is zero: each output is the bias, whatever the input, and
    the running statistics learn a variance of zero.

    Parameters
    ----------
    samples : in the training set.

    Raises
    ------
    DataError
        When the batch is 1, or a last batch of one cannot be helped.
    """
    layer = _norm_over_one(model)
    if layer is None:
        return None
    batch = min(model.train.batch, samples)
    if batch >= 2 and samples % batch != 1:
        return None
    if batch > 2:
        return (
            f"{samples:,} samples in batches of {batch} would leave a last one of 1, over which {layer.name} has no "
            f"variance: the last two batches hold {(batch + 2) // 2} and {(batch + 1) // 2}"
        )
    if samples == 1:
        hint = "train on more samples"
    else:
        hint = f"batch {min(32, samples)}" if batch == 1 else "batch 3, or any larger one"
    raise DataError(
        f"{layer.name} would normalise over one value of each channel, which leaves nothing of the input",
        path=model.source.name,
        field=f"train: batch {model.train.batch}",
        expected="two samples or more in each batch",
        found="batches of 1" if batch == 1 else f"a last batch of 1: {samples:,} samples in batches of {batch}",
        hint=hint,
    )


def _norm_over_one(model: Model) -> Layer | None:
    """Return the first batch norm that sees one value a channel of each sample, behind dense or a global pool."""
    return next((x for x in model.layers if x.op.name == "bn" and math.prod(x.in_shapes[0][:-1]) == 1), None)
