"""Estimates of how long kernels take to compile."""

from __future__ import annotations

from cnnspec.by_type import import_modules
from cnnspec.kernels._jit import TEMPLATES
from cnnspec.kernels.effort import SECONDS, Estimate, seconds_of

NAMES = ["conv2d_weight_grad.16.f32", "fill.f32", "winograd_conv2d.16.f32", "copy.f32", "sgd.f32"]


def test_every_family_with_a_time_of_its_own_is_one_of_kernels() -> None:
    import_modules("cnnspec.kernels")  # registers its kernels
    families = {name.partition(".")[0] for name in TEMPLATES}
    assert set(SECONDS) <= families


def test_an_estimate_follows_the_pace_of_the_kernels_that_are_done() -> None:
    now = 0.0
    estimate = Estimate(NAMES, clock=lambda: now)
    first = estimate.left(0)
    assert first > sum(map(seconds_of, NAMES))  # the compiler is loaded, too
    now = 10 * first / 2  # ten times slower than where the table was measured
    assert first < estimate.left(1) < 10 * first
    assert estimate.left(len(NAMES)) == 0.0


def test_an_estimate_weighs_kernels_by_their_kind() -> None:
    heavy_first, heavy_last = Estimate(NAMES, clock=float), Estimate(NAMES[::-1], clock=float)
    assert round(heavy_first.left(0), 9) == round(heavy_last.left(0), 9)
    assert heavy_first.left(1) < heavy_last.left(1)


def test_one_slow_file_does_not_make_an_hour_of_a_minute() -> None:
    now = 0.0
    estimate = Estimate(["fill.f32", *NAMES], clock=lambda: now)
    now = 8.0  # the disk was asleep
    assert estimate.left(1) < 60
