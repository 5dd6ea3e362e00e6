"""Batches made ahead: the same bits by kernel and by NumPy, by one thread and by many, and nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading

import numpy as np
import pytest
from PIL import Image, ImageOps
from runtime_fakes import FakeNetwork, digits_model

import cnnspec
from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.kernels.load import load_kernels
from cnnspec.model.settings import SGD, DataSettings, Folders, TrainSettings
from cnnspec.options import Options
from cnnspec.runtime.data import ahead as ahead_of
from cnnspec.runtime.data import decode, loader, normalize, open_data
from cnnspec.runtime.data import split as limits
from cnnspec.runtime.data.levels import Decoding
from cnnspec.runtime.data.loader import batches, epoch_order
from cnnspec.runtime.data.normalize import Normalizer
from cnnspec.runtime.data.split import ArraySplit
from cnnspec.runtime.evaluate import evaluate
from cnnspec.runtime.runner import TAKERS
from cnnspec.runtime.train import train
from cnnspec.runtime.trained import compare_spec, trained_on, weights_used

RNG = np.random.default_rng(0)


def pictures(folder, count=60, size=(8, 8), suffix=".png"):
    """Grey pictures of noise, two classes in turn."""
    for i in range(count):
        path = folder / ("cat" if i % 2 else "dog") / f"{i:03}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (size[1], size[0]), dtype=np.uint8)).save(path)
    return folder


def streamed(monkeypatch, folder, shape=(8, 8, 1), **more):
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", 0)
    return open_data(DataSettings(Folders(str(folder), **more)), shape, 2)


def threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("cnnspec-ahead")]


# ---- pixels become numbers of the net --------------------------------------------------------------
@pytest.fixture
def both(monkeypatch):
    """Make a batch by the kernel, and by NumPy."""
    load_kernels(TAKERS)
    real = normalize._kernel

    def make(images, normalizer, index):
        split = ArraySplit(images, np.zeros(len(images), np.int32), normalizer)
        monkeypatch.setattr(normalize, "_kernel", real)
        assert real(images.dtype) is not None or images.dtype not in (np.uint8, np.float32)
        one = split.batch(index)[0]
        monkeypatch.setattr(normalize, "_kernel", lambda dtype: None)
        return one, split.batch(index)[0]

    return make


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int16])
@pytest.mark.parametrize("shape", [(28, 28, 1), (7, 5, 3), (1, 1, 3), (3, 2000, 1), (13, 11, 12)])
def test_the_kernel_gives_the_bits_of_numpy(both, dtype, shape):
    images = RNG.integers(0, 256, (20, *shape)).astype(dtype)
    if dtype == np.float32:
        images = (images - 100) / 7
        images[0] = -0.0
    channels = shape[-1]
    mean, std = tuple(RNG.random(channels)), tuple(RNG.random(channels) + 0.1)
    index = np.array([3, 0, 19, 3, -1, -20])
    for normalizer in (
        Normalizer(255.0, mean, std),
        Normalizer(255.0, (0.3,), (0.7,)),
        Normalizer(16.0),
        Normalizer(1.0),
    ):
        one, two = both(images, normalizer, index)
        assert one.dtype == np.float32 and (one.view(np.uint32) == two.view(np.uint32)).all()


@pytest.mark.parametrize("index", [20, -21, 2**40])
def test_an_index_beyond_the_samples_reads_nothing(both, index):
    with pytest.raises(IndexError):
        both(np.zeros((20, 4, 4, 1), np.uint8), Normalizer(), np.array([0, index]))


def test_images_that_lie_otherwise_are_read_rightly(both):
    images = np.asfortranarray(RNG.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8))
    for other in (images, images[::2], images[:, ::-1]):
        one, two = both(other, Normalizer(255.0, (0.5,), (0.3,)), np.arange(4))
        assert (one == two).all()
        assert np.allclose(one, (other[:4] / 255 - 0.5) / 0.3, atol=1e-5)


# ---- several batches ahead --------------------------------------------------------------------------
@pytest.mark.parametrize("decoders", [1, 3])
@pytest.mark.parametrize("ahead", [0, 1 << 30])
def test_folders_give_the_batches_that_memory_gives(tmp_path, monkeypatch, decoders, ahead):
    pictures(tmp_path)
    at_once = open_data(DataSettings(Folders(str(tmp_path))), (8, 8, 1), 2)
    monkeypatch.setattr(loader, "THREADS", decoders)
    monkeypatch.setattr(ahead_of, "THREADS", decoders)
    monkeypatch.setattr(loader, "NBYTES", ahead)
    data = streamed(monkeypatch, tmp_path)
    order = epoch_order(len(data.train), 1, 1)
    for start in (0, 2):
        one, two = (list(batches(part, order, 7, start, fewest=7)) for part in (at_once.train, data.train))
        assert [b.step for b in one] == [b.step for b in two] and len(one) == 7 - start
        for a, b in zip(one, two, strict=True):
            assert (a.x.view(np.uint32) == b.x.view(np.uint32)).all()
            assert (a.y == b.y).all() and (a.sample_ids == b.sample_ids).all()
    assert not threads()


def test_no_more_is_made_ahead_than_memory_is_given(tmp_path, monkeypatch):
    data = streamed(monkeypatch, pictures(tmp_path, 100))
    filled, enough = [], threading.Event()
    real = type(data.train).fill

    def fill(self, indices, x):
        filled.append(len(indices))
        if sum(filled) >= 24:
            enough.set()
        real(self, indices, x)

    monkeypatch.setattr(type(data.train), "fill", fill)
    monkeypatch.setattr(loader, "THREADS", 2)
    monkeypatch.setattr(loader, "NBYTES", 2 * 8 * 8 * 8 * 4)  # two batches of 8
    coming = batches(data.train, np.arange(80), 8)
    next(coming)
    enough.wait()
    assert sum(filled) == 24  # the one at hand, and two
    coming.close()
    assert sum(filled) == 24 and not threads()


def test_a_picture_that_breaks_is_named_when_its_batch_is_due(tmp_path, monkeypatch):
    pictures(tmp_path)
    data = streamed(monkeypatch, tmp_path)
    order = epoch_order(len(data.train), 1, 1)
    broken = data.train.paths[order[25]]
    broken.write_bytes(broken.read_bytes()[:60])
    got = []
    with pytest.raises(DataError, match="cannot be read as an image") as caught:
        for batch in batches(data.train, order, 8):
            got.append(batch.step)
    assert got == [0, 1, 2] and caught.value.path == broken
    assert caught.value.expected == "a readable image" and "replace the file" in caught.value.hint
    assert not threads()


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    data = streamed(monkeypatch, pictures(tmp_path / "data"))
    model = dataclasses.replace(
        digits_model(TrainSettings(epochs=2, batch=8, optimizer=SGD(lr=0.05)), units=2), data=None
    )
    alone = train(model, data=data, out=None, make_network=FakeNetwork)
    stopped = train(model, data=data, out=tmp_path / "runs", make_network=FakeNetwork, stop_after_steps=8)
    assert not threads() and stopped.status == "interrupted"
    went_on = train(model, data=data, resume=stopped.folder, make_network=FakeNetwork)
    one, two = alone.network.parameters(), went_on.network.parameters()
    assert all((one[name] == two[name]).all() for name in one)


def test_ctrl_c_while_batches_are_made_saves_and_leaves_no_thread(tmp_path, monkeypatch):
    data = streamed(monkeypatch, pictures(tmp_path / "data"))
    model = dataclasses.replace(
        digits_model(TrainSettings(epochs=2, batch=8, optimizer=SGD(lr=0.05)), units=2), data=None
    )
    real = decode.read_picture
    seen = []

    def read(path, *more):
        seen.append(threading.current_thread().name.startswith("cnnspec-ahead"))
        if sum(seen) == 30 and seen[-1]:
            os.kill(os.getpid(), signal.SIGINT)
        return real(path, *more)

    monkeypatch.setattr(decode, "read_picture", read)
    result = train(model, data=data, out=tmp_path / "runs", make_network=FakeNetwork)
    assert result.status == "interrupted" and result.signal == signal.SIGINT
    assert (result.folder / "last.safetensors").exists() and not threads()


def test_an_evaluation_that_ends_early_leaves_no_thread(tmp_path, monkeypatch):
    """A traceback, as a notebook keeps it, would keep the threads and what they have made."""
    data = streamed(monkeypatch, pictures(tmp_path))

    def stop(done, of):
        raise KeyboardInterrupt

    network = FakeNetwork(Compiler.of(digits_model(units=2), Options(batch=4)))
    network.compile()
    with pytest.raises(KeyboardInterrupt) as caught:
        evaluate(network, data.train, 4, progress=stop)
    assert caught.tb and not threads()


# ---- drafted JPEGs ----------------------------------------------------------------------------------
def photographs(folder, size=(70, 66)):
    """Colour pictures of soft patches, two classes, as JPEG; one is turned by its EXIF, one a PNG."""
    for i in range(12):
        small = RNG.integers(0, 256, (size[1] // 4, size[0] // 4, 3), dtype=np.uint8)
        path = folder / ("cat" if i % 2 else "dog") / f"{i:02}{'.png' if i == 4 else '.jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 5 else 1
        Image.fromarray(small).resize(size).save(path, exif=exif)
    return folder


def test_a_drafted_jpeg_is_what_pillow_drafts_and_others_are_as_ever(tmp_path):
    for path in sorted(photographs(tmp_path).rglob("*.*")):
        plain, drafted = (decode.read_picture(path, (16, 12, 3), Decoding(draft=d)).pixels for d in (False, True))
        with Image.open(path) as opened:
            opened.draft(None, (16, 16))
            assert opened.size == ((70, 66) if path.suffix == ".png" else (18, 17))
            wanted = np.asarray(ImageOps.fit(ImageOps.exif_transpose(opened), (12, 16), Image.Resampling.BILINEAR))
        assert (drafted == wanted).all()
        assert (plain != drafted).any() == (path.suffix == ".jpg")
        near = decode.read_picture(path, (60, 60, 3), Decoding(draft=True)).pixels  # less than twice the size
        assert (near == decode.read_picture(path, (60, 60, 3), Decoding()).pixels).all()


def test_draft_is_off_unless_written_and_is_in_the_fingerprint(tmp_path, monkeypatch):
    photographs(tmp_path)
    assert not Folders("x").draft

    def opened(limit, **more):
        monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", limit)
        return open_data(DataSettings(Folders(str(tmp_path), **more)), (16, 16, 3), 2)

    memory, drafted = opened(1 << 30), opened(1 << 30, draft=True)
    stream, streamed_draft = opened(0), opened(0, draft=True)
    assert len({d.fingerprint for d in (memory, drafted, stream, streamed_draft)}) == 4
    every = np.arange(len(memory.train))
    assert (memory.train.batch(every)[0] == stream.train.batch(every)[0]).all()
    assert (drafted.train.batch(every)[0] == streamed_draft.train.batch(every)[0]).all()
    assert (memory.train.batch(every)[0] != drafted.train.batch(every)[0]).any()


def test_a_run_remembers_draft_and_what_reads_otherwise_is_told(tmp_path):
    photographs(tmp_path / "data")
    text = "input 8x8x3\nflatten\ndense 2\ndata { source folders %r draft=yes }\ntrain { epochs 1 }\n"
    net = cnnspec.parse((text % str(tmp_path / "data")).replace("'", '"'))
    result = net.train(out=tmp_path / "runs", progress=False)
    manifest = json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data"]["draft"] is True
    trained = weights_used(result.folder / "last.safetensors").trained
    assert trained.draft and trained_on(result.dataset).draft and not compare_spec(trained, net.model)
    other = cnnspec.parse(net.model.source.text.replace("draft=yes", "")).model
    assert compare_spec(trained, other) == [
        "the weights were trained on JPEGs decoded with draft=yes, and the spec says draft=no"
    ]
    picture = sorted((tmp_path / "data").rglob("*.jpg"))[0]
    pixels = decode.read_picture(picture, (8, 8, 3), Decoding(draft=True)).pixels
    assert np.allclose(net.predict(picture), net.predict(pixels[None]), atol=1e-6)
    plain = decode.read_picture(picture, (8, 8, 3), Decoding()).pixels
    assert not np.allclose(net.predict(picture), net.predict(plain[None]), atol=1e-6)
