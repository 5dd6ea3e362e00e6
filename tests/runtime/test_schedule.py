from __future__ import annotations

import itertools
import math

import pytest

from cnnspec.model.settings import SGD, Constant, Cosine, Step, TrainSettings
from cnnspec.runtime.schedule import learning_rate, learning_rate_jump


def rates(schedule, *, warmup=0, epochs=4, steps=5, lr=0.2):
    settings = TrainSettings(optimizer=SGD(lr=lr), schedule=schedule, warmup_epochs=warmup, epochs=epochs)
    return [learning_rate(settings, i, steps) for i in range(epochs * steps)]


def test_constant():
    assert rates(Constant()) == [0.2] * 20


def test_step_falls_every_two_epochs():
    assert rates(Step(2, gamma=0.5)) == [0.2] * 10 + [0.1] * 10


def test_a_warmup_longer_than_the_training_ends_with_it():
    assert rates(Cosine(), warmup=3, epochs=1) == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])


def test_cosine_starts_full_is_half_in_the_middle_and_falls_throughout():
    found = rates(Cosine())
    assert found[0] == 0.2
    assert found[10] == pytest.approx(0.1)
    assert all(a > b for a, b in itertools.pairwise(found))
    assert 0 < found[-1] < 0.01


def test_cosine_ends_at_its_last_factor():
    settings = TrainSettings(optimizer=SGD(lr=0.2), schedule=Cosine(to=0.25), epochs=4)
    assert learning_rate(settings, 20, 5) == pytest.approx(0.05)
    assert min(rates(Cosine(to=0.25))) > 0.05


def test_warmup_rises_in_a_line_to_the_full_rate_then_the_schedule_starts():
    found = rates(Cosine(), warmup=1)
    assert found[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert found[5] == 0.2
    assert found[12] == pytest.approx(0.2 * 0.5 * (1 + math.cos(math.pi * 7 / 15)))


@pytest.mark.parametrize(
    ("schedule", "before", "now", "step", "said"),
    [
        (Cosine(), 2, 4, 20, "rises at once from 0.0006156 to 0.05: cosine now ends with epoch 4, and ended with 2"),
        (Cosine(), 4, 2, 15, "falls at once from 0.0727 to 0.01464: cosine now ends with epoch 2"),
        (Cosine(), 2, 4, 0, None),  # nothing was done yet
        (Cosine(), 4, 4, 20, None),
        (Constant(), 2, 4, 20, None),
        (Step(2), 2, 4, 20, None),
    ],
)
def test_a_jump_of_the_rate_is_told_where_a_run_goes_on_with_other_epochs(schedule, before, now, step, said):
    settings = TrainSettings(optimizer=SGD(lr=0.1), schedule=schedule, epochs=now)
    notes = learning_rate_jump(settings, before, step, 10)
    assert len(notes) == (said is not None)
    if said is not None:
        assert f"the learning rate {said}" in notes[0]
