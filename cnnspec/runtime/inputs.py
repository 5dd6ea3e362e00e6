"""The inputs of a net: their scale, and how many samples each class has, told where they look wrong."""

from __future__ import annotations

import numpy as np

from ..errors import Diagnostic
from ..model.model import Model
from .data import Dataset
from .data.split import Split

FAR, WIDE, FLAT = 10.0, 30.0, 50.0  # a mean, a standard deviation, a mean over a standard deviation: beyond, told
OUTLYING = 1000.0  # a number where mean and deviation are as they should be: beyond, told
NARROW = 0.05  # a standard deviation: below, told where the spec says how to normalise
UNEVEN = 10  # times as many samples in the largest class as in the smallest
IN_MEMORY, DECODED = 256, 32  # samples that are looked at, where they lie in memory and where each must be decoded
NUMBERS = 1 << 22  # of all of them


def samples_of(split: Split, most: int = IN_MEMORY) -> tuple[np.ndarray, np.ndarray]:
    """Return x float32[n, H, W, C] and y of some samples, evenly spread over a split."""
    size = split.batch(np.zeros(1, np.int64))[0].size
    count = min(len(split), most, DECODED if split.prefetch else IN_MEMORY, max(2, NUMBERS // size))
    return split.batch(np.linspace(0, len(split) - 1, count).astype(np.int64))


def scale_warnings(model: Model) -> list[Diagnostic]:
    """Return the warnings of the checker on the spec's ``normalize``."""
    return [w for w in model.warnings if w.span.text.lstrip().startswith("normalize")]


def input_remarks(model: Model, data: Dataset) -> list[str]:
    """Return a remark where normalised inputs, or a few of them, are far from mean 0 and standard deviation 1.

    The remark names the mend. Most often ``normalize`` was given in units of pixels, 0 to 255, though images are
    divided by 255 before it; or numbers of 0 to 255 that are no images are not normalised at all.
    """
    x, _ = samples_of(data.train)
    mean, std = float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))
    if std == 0:
        return [f"every number of the images that were looked at is {mean:.4g}: there is nothing to tell them apart"]
    written = model.data.normalize if model.data is not None else None
    narrow = written is not None and std < NARROW
    if not abs(mean) > FAR and not std > WIDE and not abs(mean) > FLAT * std and not narrow:
        largest = float(np.abs(x).max())
        if not largest > OUTLYING:
            return []
        return [  # docs/performance.md, Winograd
            f"the net's inputs hold numbers as large as {largest:.4g} where their standard deviation is {std:.4g}: "
            "fast 3x3 convolutions round away what lies beside them; clip the data, or train with --exact"
        ]
    normalizer, channels = data.train.normalizer, x.shape[-1]
    raw = x.astype(np.float64) * np.asarray(normalizer.std) + np.asarray(normalizer.mean)  # as normalize meets them
    means, stds = raw.mean(axis=(0, 1, 2)), raw.std(axis=(0, 1, 2))
    if channels > 4:
        means, stds = raw.mean(keepdims=True).ravel(), raw.std(keepdims=True).ravel()
    fitting = f"normalize mean={_numbers(means)} std={_numbers(np.maximum(stds, 1e-3))}"
    said = f"the net's inputs have mean {mean:.4g} and standard deviation {std:.4g}, and should be near 0 and 1"
    if written is None:
        return [f"{said}: add  {fitting}  to the data section"]
    pixels = max(map(abs, written.mean)) > 1 or max(written.std) > 1
    why = " (pixels are scaled to 0..1 before it)" if normalizer.white != 1 and pixels else ""
    return [f"{said}: write  {fitting}{why}"]


def large_inputs(model: Model, data: Dataset) -> str:
    """Return the remark on inputs that are so large that training diverges; "" where they are not."""
    x, _ = samples_of(data.train)
    mean, std = abs(float(x.mean(dtype=np.float64))), float(x.std(dtype=np.float64))
    if not (mean > FAR or std > WIDE or float(np.abs(x).max()) > OUTLYING):
        return ""
    return next(iter(input_remarks(model, data)), "")


def class_remarks(data: Dataset) -> list[str]:
    """Return a remark where classes have no training samples, or far fewer than others."""
    counts = data.class_counts.get("train", ())
    if len(counts) < 2:
        return []
    named = sorted(zip(counts, data.class_names, strict=True))
    empty = [name for count, name in named if count == 0]
    if empty:
        names = ", ".join(empty[:8]) + (", ..." if len(empty) > 8 else "")
        return [f"no training sample of {len(empty)} of {len(counts)} classes: {names}"]
    (fewest, small), (most, large) = named[0], named[-1]
    if most < UNEVEN * fewest:
        return []
    return [
        f"classes are uneven: {large} has {most:,} training samples, {small} {fewest:,}; always answering {large} "
        f"is right in {100 * most / sum(counts):.1f} %"
    ]


def _numbers(values: np.ndarray) -> str:
    """Return numbers as a spec writes them: 0.485, or [0.485, 0.456, 0.406]."""
    texts = [f"{float(f'{v:.3g}'):g}" for v in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
