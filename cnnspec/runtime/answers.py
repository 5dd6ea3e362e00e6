"""From samples to answers: the one road of predictions, of files and of arrays, on the command line and in Python.

Pixels pass to the net as those of its training did: as_pixels says which value counts as 1, held against the scale that
the weights remember, and then the spec's ``normalize`` is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..model.model import Model
from ..text import count
from .data.decode import Findings, load_each
from .data.image import decoding_of
from .data.normalize import normalizer_for
from .data.pixels import PICTURES, as_pixels, goes_below, stays_above, white_as_trained
from .data.tree import pictures_below
from .evaluate import softmax
from .trained import TrainedOn

if TYPE_CHECKING:
    from .network import Network

BATCH = 64  # samples that are normalised and predicted together
ARRAYS = (".npz", ".npy", ".csv")  # files that pictures are looked for in, though they hold arrays
LIGHT, DARK = 0.65, 0.35  # mean brightness from which an image is mostly light, and up to which it is mostly dark


def paths_in(x: Any) -> list[Path] | None:
    """Return the paths of a path, or of a list or an array of them; None where it is neither."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "UO":
        x = x.tolist()
    listed = x if isinstance(x, (list, tuple)) else [x]
    known = listed and all(isinstance(path, (str, Path)) for path in listed)
    return [Path(path) for path in listed] if known else None


def image_files(paths: Sequence[Path], findings: Findings) -> list[Path]:
    """Return the files named, and the pictures of folders and of the folders in them, in order.

    ``findings`` is told what is left out. DataError when a folder holds no picture, or a file arrays.
    """
    files: list[Path] = []
    for path in paths:
        wrong = partial(DataError, path=path)
        if path.is_dir():
            found, notes = pictures_below(path)
            if not found:
                expected = "files such as .png or .jpg"
                raise wrong("the folder holds no image", expected=expected, found="; ".join(notes))
            files += found
            findings.more += notes
        elif path.suffix.lower() in ARRAYS and path.is_file():
            mend = "in Python: cnnspec.load(RUN).predict(array), or evaluate(x, y)"
            raise wrong("this holds arrays, not a picture", expected="picture files", hint=mend)
        else:
            files.append(path)
    return files


def batch_for(samples: int) -> int:
    """Return the batch of the network that predicts so many samples: a power of two, so that few kinds are kept."""
    return min(BATCH, 1 << (max(1, samples) - 1).bit_length())


def normalised(model: Model, pixels: np.ndarray, white: float) -> np.ndarray:
    """Return float32[n, H, W, C] as the net takes them; ``white`` is the value of a pixel that counts as 1."""
    normalize = model.data.normalize if model.data is not None else None
    return normalizer_for(normalize, model.input_shape[-1], white)(pixels)


def answer(network: Network, model: Model, pixels: np.ndarray, white: float) -> np.ndarray:
    """Return the answers of a net on pixels [N, H, W, C]: probabilities float32[N, classes]; outputs for ``mse``.

    Parameters
    ----------
    network : a compiled network.
    white : the value that counts as 1.

    Raises
    ------
    DataError
        When an output is NaN or infinite: no answer can be read from it.
    """
    starts = range(0, len(pixels), BATCH)
    parts = [network.predict(normalised(model, pixels[i : i + BATCH], white)) for i in starts]
    outputs = np.concatenate(parts) if parts else np.zeros((0, *model.output_shape), np.float32)
    if not np.isfinite(outputs).all():
        place = int(np.argwhere(~np.isfinite(outputs))[0][0])
        raise DataError(
            "the net's outputs are not finite",
            field=f"sample {place}",
            expected="finite numbers",
            found=str(outputs[place].reshape(-1)[:3]),
            hint="the weights hold such numbers, or samples are far larger than those of the training",
        )
    return outputs if model.train.loss.word == "mse" or outputs.ndim != 2 else softmax(outputs)


def pixels_of(x: object, model: Model, trained: TrainedOn | None) -> tuple[np.ndarray, float, str]:
    """Return the pixels [N, H, W, C] of an array or of one image, the value that counts as 1, and a remark or "".

    DataError as :func:`as_pixels`, also when the numbers are of another scale than those of the training.
    """
    usual = trained.scale if trained is not None else None
    pixels, scale = as_pixels(x, model.input_shape, one=True, trained=usual)
    if usual is None or not (goes_below(scale, usual) or stays_above(scale, usual)):
        return pixels, scale.white, ""
    remark = f"x is {scale.text}, and the training's pixels were {usual.text}: are they made alike?"
    return pixels, scale.white, remark


class Pictures:
    """Picture files, read as the spec's ``data`` section says, on their way to answers.

    Parameters
    ----------
    trained : the data of the training, None where it is not known.
    paths : files, and folders of them.
    invert : turn light and dark around.

    Raises
    ------
    DataError
        As :func:`image_files`, and when the training was on no pictures, such as floats from -1 to 1: which of them
        a byte would be is not known.
    """

    def __init__(self, model: Model, trained: TrainedOn | None, paths: Sequence[Path], *, invert: bool) -> None:
        self._model, self._trained, self._invert = model, trained, invert
        self._findings = Findings(decoding_of(model.data))
        self.files = image_files(paths, self._findings)
        self._white = PICTURES.white
        if trained is not None and trained.scale is not None:
            self._white = white_as_trained(PICTURES, trained.scale, path=self.files[0], field="", picture=True)
        self._means: list[float] = []  # of the pixels of each picture, from 0 to 255

    def answers(self, network: Network) -> Iterator[tuple[Path, np.ndarray | DataError]]:
        """Yield each file with its :func:`answer`, or why it cannot be read. Some pictures are read ahead."""
        with closing(load_each(self.files, self._model.input_shape, self._findings)) as coming:
            for start in range(0, len(self.files), BATCH):
                read = list(islice(coming, BATCH))
                pictures = [255 - x if self._invert else x for x in read if not isinstance(x, DataError)]
                self._means += [float(picture.mean()) for picture in pictures]
                found = iter(answer(network, self._model, np.stack(pictures), self._white) if pictures else ())
                for file, x in zip(self.files[start : start + BATCH], read, strict=True):
                    yield file, x if isinstance(x, DataError) else next(found)

    def notes(self, option: str) -> list[str]:
        """Return remarks on odd pictures; ``option`` is the name of the switch that turns light and dark around."""
        return [*self._findings.notes(), *self._light_or_dark(option)]

    def _light_or_dark(self, option: str) -> list[str]:
        """Return a remark where pictures are light and the training's images were dark, or the reverse."""
        usual = self._trained.brightness if self._trained is not None else None
        if usual is None or DARK < usual < LIGHT:
            return []
        dark = usual <= DARK
        other = sum(mean >= LIGHT * 255 if dark else mean <= DARK * 255 for mean in self._means)
        if not other:
            return []
        subject = f"{count(other)} of {count(len(self._means))} images are" if len(self._means) > 1 else "the image is"
        found, known = ("light", "dark") if dark else ("dark", "light")
        mend = f"leave {option} out" if self._invert else f"{option} turns light and dark around"
        return [f"{subject} mostly {found}, and those of the training were mostly {known}: {mend}"]
