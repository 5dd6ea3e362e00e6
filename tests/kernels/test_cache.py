"""The kernels' cache: the user's own folder, a name that follows the sources, a way out where it cannot be written."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from fresh import run_python

from cnnspec.kernels import cache, objects


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As if no kernel had been asked for in this process."""
    monkeypatch.setattr(cache, "_in_use", None)
    return monkeypatch


def test_the_folder_is_the_users_alone(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh.setenv("CNNSPEC_CACHE", str(tmp_path / "deep" / "cache"))
    folder = Path(cache.use_cache())
    assert folder == cache.cache_dir() and folder.parent == tmp_path / "deep" / "cache"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert cache.use_cache() == str(folder)


def test_without_a_setting_it_lies_in_the_users_cache(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh.delenv("CNNSPEC_CACHE", raising=False)
    fresh.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_root() == tmp_path / "cnnspec"
    fresh.delenv("XDG_CACHE_HOME")
    fresh.setenv("HOME", str(tmp_path / "home"))
    assert cache.cache_root() == tmp_path / "home" / ".cache" / "cnnspec"
    fresh.setenv("CNNSPEC_CACHE", "~/kernels")
    assert cache.cache_root() == tmp_path / "home" / "kernels"


def test_a_user_without_a_home_has_a_cache_all_the_same(fresh: pytest.MonkeyPatch) -> None:
    def nobody(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    fresh.setattr(Path, "expanduser", nobody)
    fresh.delenv("CNNSPEC_CACHE", raising=False)
    assert cache.cache_root() == Path(tempfile.gettempdir()) / f"cnnspec-{os.getuid()}"
    fresh.setenv("CNNSPEC_CACHE", "~nosuchuser/kernels")
    assert cache.cache_root() == Path("~nosuchuser/kernels")


@pytest.mark.parametrize("how", ["a file in its way", "read only", "others may write", "a link"])
def test_a_folder_that_will_not_do_is_replaced_by_a_temporary_one(
    fresh: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    root = tmp_path / "cache"
    fresh.setenv("CNNSPEC_CACHE", str(root))
    if how == "a file in its way":
        root.write_text("not a folder")
    elif how == "a link":
        root.mkdir()
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        cache.cache_dir().symlink_to(tmp_path / "elsewhere")
    else:
        cache.cache_dir().mkdir(parents=True)
        cache.cache_dir().chmod(0o500 if how == "read only" else 0o777)
        if how == "read only" and os.access(cache.cache_dir(), os.W_OK):
            pytest.skip("this user may write everywhere")
    assert cache.info()["writable"] is False
    folder = Path(cache.use_cache())
    assert folder.is_dir() and root not in folder.parents
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    shutil.rmtree(folder)


def test_the_name_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An edit in a file of kernels or abi, or of activations, even one unknown to numba, gives another folder."""
    package = Path(cache.__file__).parents[1]
    for folder in ("kernels", "abi"):
        shutil.copytree(package / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(package / "activations.py", tmp_path)
    sources = sorted(tmp_path.rglob("*.py"))
    name = cache.cache_dir().name
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "kernels" / "cache.py"))
    assert cache.cache_dir().name == name, "the place of the sources does not matter"
    seen = {name}
    for path in sources:
        path.write_text(path.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")
        seen.add(cache.cache_dir().name)
    assert len(seen) == 1 + len(sources)


def test_the_name_follows_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.cache_dir()
    monkeypatch.setattr(cache, "_cpu", lambda: "another")
    assert cache.cache_dir() != before


def test_a_full_disk_keeps_no_kernel_and_hurts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    objects.save(str(tmp_path), "one", b"code")
    assert objects.read(str(tmp_path), "one") == b"code"
    monkeypatch.setattr(os, "replace", full)
    objects.save(str(tmp_path), "two", b"code")
    assert objects.read(str(tmp_path), "two") is None
    assert [p.name for p in tmp_path.iterdir()] == ["one.o"], "nothing half written is left"


SIGMOID = """
import sys
import numpy as np
from running import Run, layer_graph
from cnnspec.kernels import load
from cnnspec.ops.activation import Sigmoid
really, asked = load.compile_kernels, []
load.compile_kernels = lambda names, count: asked.extend(names) or really(names, count)
x = np.array([[-1.0, 0.0, 2.0]])
y = Run(layer_graph(Sigmoid(), [(3,)], training=False)).run(1, {"x0": x}).get("y", 1)
print(bool(asked), y.tolist(), "numba" in sys.modules)
"""


def test_compiled_kernels_are_kept(tmp_path: Path) -> None:
    """A process that finds its kernels in the cache compiles none, and computes the same; neither imports numba."""
    first, second = (run_python(SIGMOID, CNNSPEC_CACHE=str(tmp_path)) for _ in range(2))
    assert first.startswith("True ") and first.endswith(" False")
    assert second == first.replace("True", "False")


def test_damaged_kernels_are_compiled_again(tmp_path: Path) -> None:
    """Empty, cut, of one wrong bit, of another kernel, swapped: never run, and whole again afterwards."""
    want = run_python(SIGMOID, CNNSPEC_CACHE=str(tmp_path)).partition(" ")[2]
    [folder] = tmp_path.glob("kernels-*")
    files = sorted(folder.glob("*.o"))
    whole = {path: path.read_bytes() for path in files}
    first, *_, last = files
    another = objects.read(str(folder), "walk.run_parts") or b""

    def one_bit(path: Path, place: int) -> None:
        spoilt = bytearray(whole[path])
        spoilt[place] ^= 4
        path.write_bytes(spoilt)

    def spoil(how: str) -> None:
        for path in files:
            if how == "empty":
                path.write_bytes(b"")
            elif how == "cut":
                path.write_bytes(whole[path][: len(whole[path]) // 2])
            elif how == "of one wrong bit":
                one_bit(path, len(whole[path]) * 2 // 3)
            else:
                path.write_bytes(whole[last if path == first else first])
        if how == "of another kernel":
            objects.save(str(folder), "walk", another)

    for how in ("empty", "cut", "of one wrong bit", "of another kernel", "swapped"):
        spoil(how)
        assert run_python(SIGMOID, CNNSPEC_CACHE=str(tmp_path)) == f"True {want}", how
        assert run_python(SIGMOID, CNNSPEC_CACHE=str(tmp_path)) == f"False {want}", how


def test_a_cache_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    """As in a container's image: nothing is compiled; what is missing is, and goes with the process."""
    code = (
        "import sys\n"
        "from cnnspec.kernels import cache\n"
        "cache._make_private = lambda folder: False\n"
        "from cnnspec.kernels import load\n"
        "really, asked = load.compile_kernels, []\n"
        "load.compile_kernels = lambda names, count: asked.extend(names) or really(names, count)\n"
        "load.load_kernels(['walk'])\n"
        "print(bool(asked), cache.use_cache())\n"
    )
    run_python(SIGMOID, CNNSPEC_CACHE=str(tmp_path))
    [folder] = tmp_path.glob("kernels-*")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    compiled, temporary = run_python(code, CNNSPEC_CACHE=str(tmp_path)).split()
    assert compiled == "False" and Path(temporary) != folder and not Path(temporary).exists()
    (folder / "walk.o").unlink()
    assert run_python(code, CNNSPEC_CACHE=str(tmp_path)).startswith("True ")
    assert {path: path.read_bytes() for path in folder.iterdir()} == {
        path: content for path, content in before.items() if path.name != "walk.o"
    }
    folder.chmod(0o777)  # others may have written there
    assert run_python(code.replace("'walk'", "'walk.run_parts'"), CNNSPEC_CACHE=str(tmp_path)).startswith("True ")


def test_doctor_can_ask_for_damaged_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path))
    folder = cache.cache_dir()
    folder.mkdir()
    for name in ("one.f32", "two.f32", "three.f32"):
        objects.save(str(folder), name, b"code")
    assert cache.damaged() == []
    objects.path_of(str(folder), "two.f32").write_bytes(b"")
    assert cache.damaged() == ["two.f32"]


@pytest.mark.parametrize("setting", cache.SETTINGS)
def test_the_name_follows_settings_that_change_code(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    before = cache.cache_dir()
    monkeypatch.setenv(setting, "another")
    assert cache.cache_dir() != before


def test_the_name_follows_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.cache_dir()
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.0.0")
    assert cache.cache_dir() != before


def test_clear_frees_what_info_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path))
    for folder in (cache.cache_dir(), tmp_path / "kernels-of-an-old-version"):
        folder.mkdir()
        (folder / "conv.f32.o").write_bytes(b"x" * 1000)
        (folder / ".half.tmp").write_bytes(b"x" * 100)
    (tmp_path / "grammar.json").write_text("{}")
    found = cache.info()
    assert (found["kernels"], found["bytes"], found["writable"]) == (1, 1100, True)
    assert found["bytes_of_all_versions"] == 2202
    assert cache.clear() == 2200
    assert cache.info()["kernels"] == 0 and (tmp_path / "grammar.json").exists()


# ---- in processes of their own: what is compiled there is for another vector unit, or from a cold cache ----
NETS = """
import sys
import numpy as np
from running import Run, layer_graph, with_gradients
from cnnspec.kernels.machine import host
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.linear import Dense

rng = np.random.default_rng(0)
whole = lambda *shape: rng.integers(-4, 5, shape).astype(float)
for channels in (5, 16, 33):
    x, w, b = whole(3, 4, 5, 6), whole(1, 1, 6, channels), whole(channels)
    target = whole(3, 20 * channels)
    run = Run(with_gradients(layer_graph(Conv(channels, (1, 1), activation="relu"), [(4, 5, 6)])), dtype="f32")
    run.run(3, {"x0": x, "weight": w, "bias": b, "target": target})
    z = x @ w[0, 0] + b
    assert np.array_equal(run.get("y", 3), np.maximum(z, 0))
    dz = (np.maximum(z, 0) - target.reshape(z.shape)) * (z > 0) * 2 / z.size
    assert np.allclose(run.gradient("x0", 3), dz @ w[0, 0].T, rtol=1e-4, atol=1e-5)
    assert np.allclose(run.gradient("weight", 3)[0, 0], np.einsum("nhwc,nhwk->ck", x, dz), rtol=1e-4, atol=1e-5)
print(host().path)
"""


@pytest.mark.parametrize("vector", ["avx2", "plain"])
def test_results_on_narrower_vectors(vector: str) -> None:
    path = run_python(NETS, CNNSPEC_VECTOR=vector)
    assert path in ("plain", vector), "a setting narrows, and never widens"


def test_training_works_where_nothing_can_be_cached(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    code = (
        "from running import Run, layer_graph\n"
        "import numpy as np\n"
        "from cnnspec.ops.activation import Relu\n"
        "from cnnspec.kernels import cache\n"
        "y = Run(layer_graph(Relu(), [(3,)], training=False)).run(1, {'x0': np.array([[-1., 0., 2.]])}).get('y', 1)\n"
        "assert y.tolist() == [[0, 0, 2]]\n"
        "print(cache.use_cache())\n"
    )
    folder = run_python(code, CNNSPEC_CACHE=str(blocked))
    assert str(tmp_path) not in folder
    assert not Path(folder).exists(), "it goes with the process"
