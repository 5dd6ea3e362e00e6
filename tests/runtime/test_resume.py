"""Going on with a run: what a folder may hold when it is opened again, and who may write in it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from runtime_fakes import FakeNetwork, digits_model

from cnnspec.drafts import part_name
from cnnspec.errors import DataError, MachineError
from cnnspec.model.settings import SGD, DataSettings, Digits, KeepBest, TrainSettings
from cnnspec.runtime.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.runtime.run_lock import LOCK, RunLock
from cnnspec.runtime.train import train

HERE = os.path.dirname(__file__)
MODEL = digits_model(
    TrainSettings(epochs=3, batch=100, optimizer=SGD(lr=0.5, momentum=0.9), keep=KeepBest()),
    DataSettings(Digits(), val=0.1),
)


def run(out: Path | None = None, *, network=FakeNetwork, **more):
    return train(MODEL, out=out, make_network=network, **more)


def rewrite(file: Path, **changes):
    """Write a checkpoint anew with another progress, as a program may that knows the format."""
    kept = load_checkpoint(file, MODEL)
    save_checkpoint(file, MODEL, kept.parameters, kept.optimizer, dataclasses.replace(kept.progress, **changes))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("step", {"step": 500}),
        ("images", {"images": 0}),
        ("images", {"step": 0}),
        ("correct", {"correct": 10**6}),
        ("epoch", {"epoch": 10**9}),
        ("epoch", {"epoch": 1}),
        ("epoch", {"history": []}),
        ("history 1", {"history": [{"epoch": 1}]}),
        ("history 1", {"history": [{"epoch": 7, "lr": 1, "train.loss": 1, "val.accuracy": 1, "seconds": 1}]}),
        ("history 1", {"history": [{"epoch": 1, "lr": 1, "train.loss": 1, "seconds": 1}]}),
        ("best", {"best": {"metric": "val.accuracy", "value": 0.5, "epoch": 2}}),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(tmp_path, field, changes):
    stopped = run(tmp_path, stop_after_steps=17)  # in the second epoch of 13 steps
    rewrite(stopped.folder / "last.safetensors", **changes)
    with pytest.raises(DataError, match="state of training") as caught:
        run(resume=stopped.folder)
    assert caught.value.field == f"progress.{field}"


def test_fewer_epochs_than_were_trained_are_refused_and_the_run_stays_as_it_was(tmp_path):
    whole = run(tmp_path)
    shorter = dataclasses.replace(MODEL, train=dataclasses.replace(MODEL.train, epochs=2))
    before = (whole.folder / "last.safetensors").read_bytes()
    with pytest.raises(DataError, match="more epochs than that") as caught:
        train(shorter, resume=whole.folder, make_network=FakeNetwork)
    assert (caught.value.expected, caught.value.found) == ("3 or more", "2")
    assert (whole.folder / "last.safetensors").read_bytes() == before
    stopped = run(tmp_path, stop_after_steps=26)  # two epochs of 13 steps
    assert train(shorter, resume=stopped.folder, make_network=FakeNetwork).status == "finished"


@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_where_the_best_weights_are_lost_it_says_so_and_keeps_the_next_best(tmp_path, how):
    stopped = run(tmp_path, stop_after_steps=17)
    best = stopped.folder / "best.safetensors"
    best.unlink() if how == "missing" else best.write_bytes(best.read_bytes()[:-9])
    resumed = run(resume=stopped.folder)
    assert any("the weights of epoch 1, the best so far, are lost" in note for note in resumed.notes)
    assert resumed.status == "finished" and resumed.best["epoch"] in (2, 3)
    load_checkpoint(best, MODEL)


# ---- one at a time ----------------------------------------------------------------------------------
# Trains until the folder OUT holds a file "go"; argument 2: "new" or a run to resume.
TRAINS = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import test_resume
from runtime_fakes import FakeNetwork
out = Path(sys.argv[1])
class Waits(FakeNetwork):
    def after_step(self):
        if len(self.calls) == 3:
            print("under way", flush=True)
            while not (out / "go").exists():
                time.sleep(0.01)
more = {} if sys.argv[2] == "new" else {"resume": sys.argv[2]}
print("status", test_resume.run(out / "runs", network=Waits, **more).status)
"""


def start(out: Path, what: str) -> subprocess.Popen:
    command = [sys.executable, "-c", TRAINS, str(out), what, HERE]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdout.readline() == "under way\n"
    return running


def finish(out: Path, running: subprocess.Popen) -> None:
    (out / "go").write_text("")
    assert running.communicate()[0] == "status finished\n"


@pytest.mark.parametrize("what", ["new", "resumed"])
def test_a_run_that_another_process_trains_cannot_be_resumed(tmp_path, what):
    running = start(tmp_path, "new" if what == "new" else str(run(tmp_path / "runs", stop_after_steps=17).folder))
    [folder] = (tmp_path / "runs").iterdir()
    before = (folder / "last.safetensors").read_bytes()
    with pytest.raises(DataError, match="another process is training this run") as caught:
        run(resume=folder)
    assert caught.value.path == folder and caught.value.found.startswith(f"process {running.pid} on ")
    assert caught.value.hint.endswith(f"kill {running.pid}")
    assert (folder / "last.safetensors").read_bytes() == before
    finish(tmp_path, running)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 3
    assert run(resume=folder).status == "finished" and not (folder / LOCK).exists()


def test_the_lock_goes_with_a_killed_process(tmp_path):
    running = start(tmp_path, "new")
    running.kill()
    running.communicate()
    [folder] = (tmp_path / "runs").iterdir()
    (folder / ".last.safetensors.another-host-12-0.part").write_bytes(b"half")
    assert run(resume=folder).status == "finished"
    names = {p.name for p in folder.iterdir()}
    assert names == {"spec.cnn", "manifest.json", "metrics.jsonl", "last.safetensors", "best.safetensors"}


def test_two_trainings_of_one_run_in_one_process(tmp_path):
    stopped = run(tmp_path, stop_after_steps=3)
    with RunLock(stopped.folder), pytest.raises(DataError, match="one training of a run at a time") as caught:
        run(resume=stopped.folder)
    assert "this process" in caught.value.found
    assert run(resume=stopped.folder).status == "finished"


def test_many_that_want_the_lock_get_it_one_by_one(tmp_path):
    """Each holder removes the file when it is done, while others are opening it."""
    holders, most, tries = [], [], iter(range(400))

    def want():
        for _ in tries:
            try:
                with RunLock(tmp_path):
                    holders.append(1)
                    most.append(len(holders))
                    holders.pop()
            except DataError:
                continue

    threads = [threading.Thread(target=want) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most and max(most) == 1 and list(tmp_path.iterdir()) == []


def test_an_error_releases_the_lock(tmp_path):
    class Fails(FakeNetwork):
        def after_step(self):
            raise ZeroDivisionError

    stopped = run(tmp_path, stop_after_steps=3)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(resume=stopped.folder, network=Fails)
    assert run(resume=stopped.folder).status == "finished"


# ---- runs without a checkpoint ----------------------------------------------------------------------
def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(tmp_path):
    class Fails(FakeNetwork):
        def optimizer_state(self):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, network=Fails)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_once_is_told_of_the_run_that_would_have_been(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("time.strftime", lambda form, *now: "20260101-120000")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MachineError, match="the disk is full") as caught:
        run(tmp_path)
    assert caught.value.path.parent == tmp_path / "digits-20260101-120000"
    assert list(tmp_path.iterdir()) == []


DIES = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import test_resume
from runtime_fakes import FakeNetwork
class Dies(FakeNetwork):
    def optimizer_state(self):
        os.kill(os.getpid(), signal.SIGKILL)
test_resume.run(Path(sys.argv[1]), network=Dies)
"""


def test_a_run_killed_before_its_first_checkpoint_is_cleared_away_by_the_next(tmp_path):
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path), HERE])
    assert done.returncode == -signal.SIGKILL
    [draft] = tmp_path.iterdir()
    assert draft.name.startswith(".digits-") and draft.name.endswith(".part")
    mine, foreign = tmp_path / part_name("digits"), tmp_path / ".mine.another-host-1-1.part"
    kept = draft.with_name("x" + draft.name)
    for folder in (mine, foreign, kept):
        folder.mkdir()
    result = run(tmp_path)
    assert set(tmp_path.iterdir()) == {result.folder, mine, foreign, kept}


def test_what_a_person_put_into_a_draft_stays(tmp_path):
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path), HERE])
    [draft] = tmp_path.iterdir()
    (draft / "notes.txt").write_text("mine")
    run(tmp_path)
    assert [p.name for p in draft.iterdir()] == ["notes.txt"]


def test_a_run_without_a_checkpoint_begins_from_its_start(tmp_path):
    """Such as one of an older version that was killed at once."""
    whole = run(tmp_path / "whole")
    empty = run(tmp_path / "empty", stop_after_steps=1).folder
    (empty / "last.safetensors").unlink()
    resumed = run(resume=empty)
    assert "the run was stopped before its first checkpoint, and begins from its start" in resumed.notes
    assert [row["train.loss"] for row in resumed.history] == [row["train.loss"] for row in whole.history]


def test_a_run_whose_last_checkpoint_was_lost_does_not_begin_anew(tmp_path):
    folder = run(tmp_path).folder
    (folder / "last.safetensors").unlink()
    with pytest.raises(DataError, match="the checkpoint does not exist") as caught:
        run(resume=folder)
    assert caught.value.hint.startswith(f"use {folder / 'best.safetensors'} (weights for eval and predict")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EXDEV])
def test_where_folders_cannot_be_moved_the_files_are(tmp_path, monkeypatch, number):
    """As where Linux works on a disk of Windows."""
    whole = run(tmp_path / "whole")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "rename", refuse)
    monkeypatch.setattr("time.strftime", lambda form, *now: "20260101-120000")
    first, second = (run(tmp_path / "runs") for _ in range(2))
    assert [r.folder.name for r in (first, second)] == ["digits-20260101-120000", "digits-20260101-120000-2"]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert {p.name for p in second.folder.iterdir()} == {p.name for p in whole.folder.iterdir()}
    assert run(resume=second.folder).status == "finished"


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="this system does not list open files")
def test_no_file_of_a_draft_is_open_when_it_gets_its_name(tmp_path, monkeypatch):
    """Some systems move no folder with an open file in it."""
    moved, rename = [], os.rename

    def look(draft, path):
        for handle in range(256):
            with contextlib.suppress(OSError):
                if str(draft) in (name := os.readlink(f"/proc/self/fd/{handle}")):
                    moved.append(name)
        rename(draft, path)
        moved.append(path)

    monkeypatch.setattr(os, "rename", look)
    folder = run(tmp_path).folder
    assert moved == [folder]


def test_processes_that_begin_runs_at_once_have_a_folder_each(tmp_path):
    running = [start(tmp_path, "new") for _ in range(2)]
    runs = list((tmp_path / "runs").iterdir())
    (tmp_path / "go").write_text("")
    assert [one.communicate()[0] for one in running] == ["status finished\n"] * 2
    assert len(runs) == 2
    for folder in runs:
        assert json.loads((folder / "manifest.json").read_text())["result"]["epochs"] == 3


# ---- signals ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_finishes_the_step_and_saves(tmp_path, name, monkeypatch):
    monkeypatch.setattr("cnnspec.runtime.interrupt._leave_terminal", lambda: None)
    number = getattr(signal, name)

    class Signalled(FakeNetwork):
        def after_step(self):
            if len(self.calls) == 5:
                os.kill(os.getpid(), number)

    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    result = run(tmp_path, network=Signalled)
    assert (result.status, result.signal) == ("interrupted", number)
    assert load_checkpoint(result.folder / "last.safetensors", MODEL).progress.step == 5
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_second_signal_of_any_kind_ends_at_once(tmp_path):
    class Impatient(FakeNetwork):
        def after_step(self):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path, network=Impatient)
    assert caught.value.number == signal.SIGINT


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    """As under nohup."""

    class Signalled(FakeNetwork):
        def after_step(self):
            os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(tmp_path, network=Signalled).status == "finished"
    finally:
        signal.signal(signal.SIGHUP, before)
