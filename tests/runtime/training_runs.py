"""Trainings of the digits with a fake network, for tests of the loop."""

from __future__ import annotations

from runtime_fakes import FakeNetwork

from cnnspec.model.settings import SGD, Cosine, DataSettings, Digits, KeepBest, TrainSettings
from cnnspec.runtime.events import Reporter
from cnnspec.runtime.train import train

VAL = DataSettings(Digits(), val=0.1)
FULL = TrainSettings(
    epochs=4,
    batch=100,
    optimizer=SGD(lr=0.5, momentum=0.9),
    schedule=Cosine(),
    warmup_epochs=1,
    keep=KeepBest(),
)


class Recorder(Reporter):
    def __init__(self):
        self.events, self.notes, self.steps = [], [], []

    def on_start(self, info):
        self.events.append(("start", info.epoch, info.step))

    def on_compile(self, done, total, left):
        self.events.append(("compile", done, total))

    def on_step(self, *values):
        self.steps.append(values)

    def on_epoch(self, row):
        self.events.append(("epoch", row["epoch"]))

    def on_note(self, text):
        self.notes.append(text)

    def on_end(self, result):
        self.events.append(("end", result.status))


def run(model, tmp_path=None, *, network=FakeNetwork, **more):
    return train(model, out=tmp_path, make_network=network, **more)


def untimed(history):
    return [{k: v for k, v in row.items() if k not in ("seconds", "waiting")} for row in history]


def same_weights(a, b):
    pa, pb = a.parameters(), b.parameters()
    return pa.keys() == pb.keys() and all((pa[k] == pb[k]).all() for k in pa)
