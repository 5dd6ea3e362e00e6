"""Pictures as people have them: deep, transparent, thin, of many pages, hostile."""

from __future__ import annotations

import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from cnnspec.errors import DataError, MachineError
from cnnspec.model.settings import DataSettings, Folders
from cnnspec.runtime.data import decode, image, open_data
from cnnspec.runtime.data import split as limits
from cnnspec.runtime.data.image import MAX_PIXELS, image_suffixes, load_picture, read_picture
from cnnspec.runtime.data.levels import Decoding, UnknownLevels, UnreadableImage, suggest_levels

RAMP = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))


def save(path, array, **more):
    Image.fromarray(array).save(path, **more)
    return path


def read(path, channels=1, **more):
    return read_picture(path, (16, 16, channels), Decoding(**more))


def load_image(path, shape, resize="crop"):
    return load_picture(path, shape, Decoding(resize)).pixels


def write_classes(root, make, suffix, n=3):
    """Two classes of ``n`` pictures; ``make(i)`` gives the array of the i-th."""
    for c, name in enumerate("ab"):
        (root / name).mkdir(parents=True)
        for i in range(n):
            save(root / name / f"{i}{suffix}", make(c * n + i))
    return root


def open_folder(root, **more):
    return open_data(DataSettings(Folders(str(root), **more)), (16, 16, 1))


# ---- more than 8 bits ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "array", "levels"),
    [
        ("full.png", RAMP.astype(np.uint16) * 257, {}),
        ("full.tif", RAMP.astype(np.uint16) * 257, {}),
        ("twelve.png", RAMP.astype(np.uint16) * 16, {"white": 4080}),
        ("eight.png", RAMP.astype(np.uint16), {"white": 255}),
        ("unit.tif", (RAMP / 255).astype(np.float32), {}),
        ("counts.tif", (RAMP * 257.0).astype(np.float32), {"white": 65535}),
        ("scan.tif", RAMP.astype(np.int32) * 257 - 32768, {"black": -32768, "white": 32767}),
        ("integers.tif", RAMP.astype(np.int32) * 257, {}),
    ],
)
def test_deep_pictures_come_out_as_their_bytes(tmp_path, name, array, levels):
    found = read(save(tmp_path / name, array), **levels)
    assert (found.pixels[..., 0] == RAMP).all()
    assert (read(tmp_path / name, 3, **levels).pixels == RAMP[..., None]).all()


def test_large_pictures_are_converted_in_bands_to_the_same(tmp_path, monkeypatch):
    deep = save(tmp_path / "deep.png", np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)
    clear = np.random.default_rng(0).integers(0, 256, (16, 16, 4), np.uint8)
    save(tmp_path / "clear.png", clear)
    whole = [read(deep).pixels, read(tmp_path / "clear.png", 3).pixels]
    monkeypatch.setattr("cnnspec.runtime.data.levels._BAND_PIXELS", 48)
    for before, after in zip(whole, [read(deep).pixels, read(tmp_path / "clear.png", 3).pixels], strict=True):
        assert (before == after).all()


@pytest.mark.parametrize(
    ("array", "words", "mend"),
    [
        ((RAMP * 257.0).astype(np.float32), "floats from 0 to 65535", "white=65535"),
        (RAMP.astype(np.float32), "floats from 0 to 255", "white=255"),
        (RAMP.astype(np.int32) * 16 - 1024, "integers from -1024 to 3056", "black=-1024 white=3056"),
        (RAMP.astype(np.int32) * 1000, "integers from 0 to 255000", "white=255000"),
    ],
)
def test_numbers_without_a_known_white_are_refused_with_the_mend_that_works(tmp_path, array, words, mend):
    with pytest.raises(UnknownLevels, match=words):
        read(save(tmp_path / "x.tif", array))
    with pytest.raises(DataError) as caught:
        load_image(tmp_path / "x.tif", (16, 16, 1))
    assert mend in caught.value.hint
    write_classes(tmp_path / "data", lambda i: array if i == 4 else array // 2, ".tif")
    with pytest.raises(DataError) as caught:
        open_folder(tmp_path / "data")
    assert f"write  {mend} " in caught.value.hint and "6 pictures" in caught.value.found
    assert caught.value.expected == f"0 to {'1 for floats' if 'floats' in words else '65,535 for integers'}"
    levels = {key: float(value) for key, value in (pair.split("=") for pair in mend.split())}
    x, _ = open_folder(tmp_path / "data", **levels).train.batch(np.arange(4))
    assert x.max() > 0.4


def test_a_float_that_overshoots_a_little_is_cut(tmp_path):
    found = read(save(tmp_path / "x.tif", np.linspace(-0.05, 1.05, 256, dtype=np.float32).reshape(16, 16)))
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)


def test_a_value_that_is_no_number_is_refused(tmp_path):
    with pytest.raises(UnreadableImage, match="not finite"):
        read(save(tmp_path / "x.tif", np.full((16, 16), np.nan, np.float32)))


@pytest.mark.parametrize("limit", [1, 1 << 30])
def test_16_bits_that_hold_less_are_told_for_the_whole_data_set(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(limits, "IN_MEMORY_NBYTES", limit)
    write_classes(tmp_path / "twelve", lambda i: RAMP.astype(np.uint16) * (i + 9), ".png")
    notes = [note for note in open_folder(tmp_path / "twelve").notes if "16 bits" in note]
    assert len(notes) == 1 and "no number above 3,570 of 65,535" in notes[0] and "white=4095 " in notes[0]
    write_classes(tmp_path / "floats", lambda i: RAMP.astype(np.float32) * (i + 9) / 65535, ".tif")
    notes = [note for note in open_folder(tmp_path / "floats").notes if "of floats" in note]
    assert len(notes) == 1 and " of 1, which look dark" in notes[0] and "white=0.054 " in notes[0]
    assert not [n for n in open_folder(tmp_path / "twelve", white=4095).notes if "16 bits" in n]
    write_classes(tmp_path / "full", lambda i: RAMP.astype(np.uint16) * (257 if i == 0 else 3), ".png")
    assert not [n for n in open_folder(tmp_path / "full").notes if "of 65,535" in n]


def test_twelve_bits_of_a_tiff_are_known_by_its_header(tmp_path):
    """Two numbers in three bytes, as scanners write them; the file is made by hand, since Pillow does not write it."""
    numbers = (RAMP.astype(np.uint16) * 16 + 15).ravel()
    packed = bytearray()
    for a, b in zip(numbers[::2].tolist(), numbers[1::2].tolist(), strict=True):
        packed += bytes((a >> 4, (a & 15) << 4 | b >> 8, b & 255))
    tags = [(256, 3, 16), (257, 3, 16), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 16)]
    tags.append((279, 4, len(packed)))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    body = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    (tmp_path / "x.tif").write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(packed)) + bytes(packed) + body)
    found = read(tmp_path / "x.tif")
    assert abs(found.pixels[..., 0].astype(int) - RAMP).max() <= 1 and found.kind == ""  # nothing that is dark


def test_a_tiff_whose_zero_is_white_is_turned_around(tmp_path):
    save(tmp_path / "x.tif", RAMP.astype(np.uint16) * 257, tiffinfo={262: 0})
    assert (read(tmp_path / "x.tif").pixels[..., 0] == 255 - RAMP).all()


def png(width, height, color, bits, row=None):
    """A PNG of equal rows, small however large the picture is."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    line = b"\0" + (row or bytes((width * channels * bits + 7) // 8))
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_16_bit_colours_that_hold_less_are_told(tmp_path):
    row = np.repeat(np.linspace(0, 4095, 16).astype(">u2"), 3).tobytes()
    (tmp_path / "x.png").write_bytes(png(16, 16, 2, 16, row))
    assert "coarse" in read(tmp_path / "x.png", 3).remarks
    row = np.repeat(np.linspace(0, 65535, 16).astype(">u2"), 3).tobytes()
    (tmp_path / "y.png").write_bytes(png(16, 16, 2, 16, row))
    assert read(tmp_path / "y.png", 3).remarks == ()


def test_levels_that_are_suggested():
    assert suggest_levels(0, 200) == "white=255" and suggest_levels(0, 4095) == "white=4095"
    assert suggest_levels(3, 70000) == "white=70000" and suggest_levels(-5, 9) == "black=-5 white=9"


# ---- transparency -------------------------------------------------------------------------------
def ink(shade, mode):
    """A square of ink on transparent ground, whose colour under the ground is that of the ink."""
    pixels = np.full((16, 16, 4), shade, np.uint8)
    pixels[..., 3] = 0
    pixels[4:12, 4:12, 3] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_shows_the_ground(tmp_path, mode, channels):
    ink(0, mode).save(tmp_path / "black.png")
    ink(255, mode).save(tmp_path / "white.png")
    found = read(tmp_path / "black.png", channels).pixels
    assert (found[4:12, 4:12] == 0).all() and (found[:4] == 255).all() and (found[12:] == 255).all()
    assert read(tmp_path / "white.png", channels).remarks == ("on-white",)
    found = read(tmp_path / "white.png", channels, ground="black").pixels
    assert (found[4:12, 4:12] == 255).all() and (found[:4] == 0).all()


def test_transparent_entries_of_a_palette_and_a_transparent_colour_show_the_ground(tmp_path):
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.paste(1, (4, 4, 12, 12))
    palette.save(tmp_path / "p.png", transparency=0)
    palette.save(tmp_path / "p.gif", transparency=0)
    keyed = Image.new("RGB", (16, 16), (0, 0, 0))
    keyed.paste((10, 20, 30), (4, 4, 12, 12))
    keyed.save(tmp_path / "k.png", transparency=(0, 0, 0))
    for name in ("p.png", "p.gif", "k.png"):
        found = read(tmp_path / name, 3).pixels
        assert (found[0, 0] == 255).all() and found[8, 8].tolist() == [10, 20, 30], name


def test_a_picture_that_is_transparent_everywhere_shows_its_colours(tmp_path):
    save(tmp_path / "x.png", np.dstack([RAMP, RAMP, RAMP, RAMP * 0]))
    save(tmp_path / "y.png", np.dstack([RAMP, RAMP * 0]))
    for name in ("x.png", "y.png"):
        assert (read(tmp_path / name).pixels[..., 0] == RAMP).all()


def test_ink_on_transparent_ground_trains_on_ink(tmp_path):
    for name, size in (("a", 4), ("b", 8)):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = np.zeros((16, 16, 4), np.uint8)
            pixels[i : i + size, :size, 3] = 255
            save(tmp_path / name / f"{i}.png", pixels)
    data = open_folder(tmp_path)
    x, _ = data.train.batch(np.arange(4))
    assert all(len(np.unique(picture)) == 2 for picture in x)
    assert not [note for note in data.notes if "one colour" in note]


# ---- sizes --------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(300, 8), (8, 300), (300, 1), (1, 300)])
@pytest.mark.parametrize("side", [16, 28])
def test_fit_keeps_something_of_a_thin_picture(tmp_path, size, side):
    Image.new("L", size, 200).save(tmp_path / "x.png")
    pixels = load_image(tmp_path / "x.png", (side, side, 1), "fit")[..., 0]
    line = pixels if size[0] > size[1] else pixels.T
    lit = np.flatnonzero((line == 200).all(axis=1))
    assert len(lit) == max(1, round(8 / 300 * side) if 8 in size else 1) and (np.delete(line, lit, axis=0) == 0).all()


def test_fit_of_ordinary_pictures_is_that_of_pillow(tmp_path):
    from PIL import ImageOps

    for size in ((40, 30), (30, 40), (17, 16), (5, 3), (100, 16)):
        picture = Image.effect_noise(size, 90)
        picture.save(tmp_path / "x.png")
        wanted = np.asarray(ImageOps.pad(picture, (20, 14), Image.Resampling.BILINEAR))
        assert (load_image(tmp_path / "x.png", (14, 20, 1), "fit")[..., 0] == wanted).all()


def test_what_cropping_loses_is_told(tmp_path):
    save(tmp_path / "wide.png", np.tile(RAMP, (1, 5)))
    assert read(tmp_path / "wide.png").remarks == ("cropped",)
    assert read(tmp_path / "wide.png", resize="fit").remarks == ()


def test_pictures_of_one_colour_and_of_many_pages_are_told(tmp_path):
    write_classes(tmp_path / "data", lambda i: RAMP if i else RAMP * 0, ".png")
    pages = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    for name in ("x.tif", "x.gif", "x.webp", "x.png"):
        pages[0].save(tmp_path / "data" / "a" / name, save_all=True, append_images=pages[1:])
        assert read(tmp_path / "data" / "a" / name).remarks == ("frames",)
    assert (read(tmp_path / "data" / "a" / "x.tif").pixels[..., 0] == RAMP).all()
    notes = open_folder(tmp_path / "data").notes
    assert any(note.startswith("1 picture with one colour throughout") and "0.png" in note for note in notes)
    assert any(note.startswith("4 pictures with more than one page") and "x.gif" in note for note in notes)


# ---- hostile files ------------------------------------------------------------------------------
def test_no_other_program_is_started_for_a_picture(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    for name in ("gs", "gswin64c", "ghostscript"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    (tmp_path / "x.png").write_text(
        "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n%%EOF\n"
    )
    with pytest.raises(UnreadableImage, match="no known format"):
        read(tmp_path / "x.png")
    assert not (tmp_path / "started").exists()
    assert not {".eps", ".ps", ".wmf", ".emf", ".mpg", ".h5"} & image_suffixes()
    assert {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp", ".pgm", ".jp2"} <= image_suffixes()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("channels", [1, 3])
def test_one_bound_on_pixels(tmp_path, monkeypatch, channels):
    side = 1 << 14
    (tmp_path / "x.png").write_bytes(png(side, MAX_PIXELS // side + 1, 0, 1))
    with pytest.raises(UnreadableImage, match=r"16,384 x 8,193 pixels, and at most 134,217,728"):
        read(tmp_path / "x.png", channels)
    (tmp_path / "y.png").write_bytes(png(1 << 16, 1 << 15, 0, 1))
    with pytest.raises(DataError, match="at most 134,217,728"):
        load_image(tmp_path / "y.png", (16, 16, 1))
    monkeypatch.setattr(image, "MAX_PIXELS", 255)
    with pytest.raises(UnreadableImage, match="16 x 16 pixels, and at most 255"):
        read(save(tmp_path / "z.png", RAMP), channels)


def test_decoders_together_keep_to_the_bound():
    allowance, inside, most, lock = image._Allowance(10), [], [], threading.Lock()

    def work(pixels):
        with allowance.hold(pixels):
            with lock:
                inside.append(min(pixels, 10))
                most.append(sum(inside))
            with lock:
                inside.remove(min(pixels, 10))

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in [7, 3, 12, 1, 9, 4, 10, 2] * 20]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 10 and allowance.left == 10


def test_every_picture_is_decoded_under_the_bound(tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(image._ALLOWANCE, "most", 1 << 40)
    monkeypatch.setattr(image._ALLOWANCE, "left", 1 << 40)
    real = image._ALLOWANCE.hold
    monkeypatch.setattr(image._ALLOWANCE, "hold", lambda pixels: held.append(pixels) or real(pixels))
    write_classes(tmp_path / "data", lambda i: RAMP, ".png")
    open_folder(tmp_path / "data")
    load_image(save(tmp_path / "x.webp", RAMP, lossless=True), (16, 16, 1))
    assert held == [256] * 6 + [512]  # WebP takes twice as much


def test_a_large_picture_needs_room_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("cnnspec.reading.free_memory", lambda: 2000)
    write_classes(tmp_path / "data", lambda i: RAMP, ".png")
    open_folder(tmp_path / "data")
    monkeypatch.setattr(image, "_LARGE", 256)
    for read_all in (lambda: open_folder(tmp_path / "data"), lambda: read(tmp_path / "data" / "a" / "0.png")):
        with pytest.raises(MachineError, match="not enough memory") as caught:
            read_all()
        assert (caught.value.expected, caught.value.found) == ("2,048 bytes", "2,000 bytes free")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(DataError, match="not a regular file"):
        load_image(tmp_path / "x.png", (16, 16, 1))
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="not a regular file"):
        load_image(tmp_path / "zero.png", (16, 16, 1))


def test_many_pictures_at_once_with_their_errors_and_notes(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    paths = [save(tmp_path / "a.png", RAMP), tmp_path / "bad.png", save(tmp_path / "b.png", RAMP * 0), tmp_path / "c"]
    findings = decode.Findings(Decoding())
    found = list(decode.load_each(paths, (16, 16, 1), findings))
    assert (found[0][..., 0] == RAMP).all() and (found[2] == 0).all()
    assert found[1].path == paths[1] and "does not exist" in found[3].message
    assert findings.notes() == [f"1 picture with one colour throughout, as read, such as {paths[2]}"]
    assert load_picture(paths[0], (16, 16, 1), Decoding()).remarks == ()


@pytest.mark.parametrize(("ink", "ground", "mend"), [(255, "white", "black"), (0, "black", "white")])
def test_ink_in_the_colour_of_the_ground_is_told_with_the_ground_that_shows_it(tmp_path, ink, ground, mend):
    drawn = np.zeros((16, 16, 2), np.uint8)
    drawn[..., 0], drawn[4:12, 7:9, 1] = ink, 255
    path = tmp_path / "ink.png"
    Image.fromarray(drawn, "LA").save(path)
    findings = decode.Findings(Decoding(ground=ground))
    list(decode.load_each([path], (16, 16, 1), findings))
    assert f"on the {ground} behind transparent places (ground={mend} tells them apart)" in findings.notes()[0]
    assert read(path, ground=mend).remarks == ()
    Image.fromarray(np.full((16, 16, 2), (ink, 128), np.uint8), "LA").save(path)  # no ground shows anything
    assert read(path, ground=ground).remarks == ("blank",)
