"""Ctrl-C while kernels compile."""

from __future__ import annotations

import signal

import pytest

from cnnspec.compiler import Compiler
from cnnspec.kernels import load as kernels_load
from cnnspec.runtime import network
from cnnspec.runtime.heard import heard_interrupt


class Lost:
    """An exception in its destructor is dropped by Python."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)
        self.never = True


def test_an_interrupt_that_the_compiler_drops_ends_compiling(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def load(names, progress):
        for done in range(3):
            lost = Lost()
            del lost
            progress(done + 1, 3, 1.0)
            compiled.append(done)
        return {}

    monkeypatch.setattr(kernels_load, "load_kernels", load)
    net = network.Network(Compiler.from_text("input 4x4x1 -> flatten -> dense 2").with_options(batch=1))
    with pytest.raises(KeyboardInterrupt):
        net.compile()
    assert compiled == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capfd.readouterr().err == ""


def test_an_interrupt_after_the_last_kernel_is_heard_too() -> None:
    with pytest.raises(KeyboardInterrupt), heard_interrupt():
        lost = Lost()
        del lost


def test_a_handler_of_somebody_else_stays() -> None:
    mine = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with heard_interrupt() as check:
            signal.raise_signal(signal.SIGINT)
            check()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, mine)
