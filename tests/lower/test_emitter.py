"""What the emitter says of the calls that it collects."""

from __future__ import annotations

from cnnspec.compiler import Compiler


def test_calls_are_backward_from_the_loss_on() -> None:
    """Dropout's kernel runs in both directions, so its name cannot tell them apart."""
    text = "input 4x4x2\nclasses 3\nconv 4 3x3 -> dropout -> flatten -> dense classes\n"
    calls = [call for segment in Compiler.from_text(text).plan.segments for call in segment.calls]
    assert [call.backward for call in calls if call.kernel.startswith("random_drop")] == [False, True]
    (loss,) = (call for call in calls if call.kernel.startswith("cross_entropy.f32"))
    assert not loss.backward
