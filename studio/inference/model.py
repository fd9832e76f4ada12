"""Models in memory: the objects of the Python API, which the engine renders with."""

import functools
import math
import operator
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from studio.common.progress import Cancel, Progress
from studio.common.text import short_repr
from studio.errors import StudioError
from studio.imaging.pixels import to_uint8
from studio.imaging.raster import Raster
from studio.inference.translation import translate_picture
from studio.inference.upscaling import upscale_raster
from studio.latents.seeds import check_seed, z_from_seed
from studio.models.folder import ModelInfo, build_network, open_folder
from studio.models.importers import import_file
from studio.models.library import default_library
from studio.models.network_builder import load_network
from studio.networks import Task, get_family

ArrayLike = np.ndarray | torch.Tensor
_BATCH_PIXELS = 1 << 20  # pixels that `sample` draws at once


class Model:
    """A generator in memory, with its facts.

    z_dim, c_dim, w_dim: sizes of the latents and of the class vector.  num_ws: rows of w+.
    resolution: side of the picture in pixels.  classes: names, one for each entry of c (numbers when it has no names).
    directions: 'AtoB', 'BtoA', if the model translates pictures. Such a model has no latents: z_dim, w_dim and num_ws are
    None, c_dim is 0, and `resolution` is that of the training pictures.
    scale: factor of an upscaler (1 = it restores a picture at its size); None for any other model. An upscaler has no latents
    either.
    """

    def __init__(self, network: torch.nn.Module, family: str, id: str, classes: tuple[str, ...] = (), info: ModelInfo | None = None):
        self.network = net = cast(Any, network)  # a LatentGenerator, Translator or Upscaler, by the family's task
        self.id, self.info = id, info
        self.family = get_family(family)
        self.resolution: int = net.resolution
        latent = self.family.task is Task.GENERATE
        self.z_dim: int | None = net.z_dim if latent else None
        self.w_dim: int | None = net.w_dim if latent else None
        self.num_ws: int | None = net.num_ws if latent else None
        self.c_dim: int = net.c_dim if latent else 0
        self.directions: tuple[str, ...] = net.directions if self.family.task is Task.TRANSLATE else ()
        self.scale: int | None = net.scale if self.family.task is Task.UPSCALE else None
        self.classes = tuple(classes) if len(classes) == self.c_dim else tuple(str(i) for i in range(self.c_dim))

    @property
    def latent_sizes(self) -> tuple[int, int, int]:
        """(z_dim, w_dim, num_ws). Raises StudioError for a model that has no latents."""
        self._need_latents()
        return self.network.z_dim, self.network.w_dim, self.network.num_ws

    def __repr__(self) -> str:
        what = " and ".join(self.directions) or (f"x{self.scale}" if self.scale else f"{len(self.classes) or 'no'} classes")
        return f"<Model {self.id}: {self.family.title}, {self.resolution} px, {what}>"

    @property
    def device(self) -> torch.device:
        """Device of its tensors."""
        return next(self.network.parameters()).device

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(t.nbytes for t in self.network.state_dict().values())

    @property
    def has_noise(self) -> bool:
        """Whether any layer of the synthesis takes noise besides w."""
        self._need_latents()
        return any(getattr(layer, "use_noise", False) for layer in self.network.synthesis.modules())

    @property
    def w_avg(self) -> torch.Tensor:
        """The mean of w, (w_dim,), in families that learn a w."""
        self._need_latents()
        return self.network.mapping.w_avg

    @torch.inference_mode()
    def mapping(
        self, z: ArrayLike, c: ArrayLike | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> torch.Tensor:
        """Map z (N, z_dim) and c (N, c_dim), both numpy, torch or nested lists, to ws (N, num_ws, w_dim) float32.

        truncation_psi moves w towards its mean (1 = off), in the first `truncation_cutoff` rows when given.
        Raises StudioError when a shape does not fit, a value is not a number, a class is needed and not given, or the model does
        not generate from noise.
        """
        self._need_latents()
        z = self._input(z, "z", (None, self.z_dim))
        if self.c_dim:
            if c is None:
                raise StudioError(f"The model '{self.id}' needs a class.", f"Give c of shape (N, {self.c_dim}), one-hot.")
            c = self._input(c, "c", (len(z), self.c_dim))
        elif c is not None and np.prod(np.shape(c)) > 0:
            raise StudioError(f"The model '{self.id}' has no classes.", "Leave c out.")
        else:
            c = None
        psi = self._psi(truncation_psi)
        try:
            cutoff = None if truncation_cutoff is None else operator.index(truncation_cutoff)
        except TypeError:
            cutoff = -1
        if cutoff is not None and cutoff < 0:
            raise StudioError(
                f"truncation_cutoff is {truncation_cutoff!r:.40}.", f"It counts rows of ws: 0 to {self.num_ws}, or None = all."
            )
        return self.network.mapping(z, c, psi, cutoff)

    @torch.inference_mode()
    def synthesis(self, ws: ArrayLike, noise_mode: str = "const") -> torch.Tensor:
        """Synthesise pictures (N, 3, H, W) float32, about [-1, 1] and not clamped, from ws (N, num_ws, w_dim).

        noise_mode: 'const', 'random' or 'none'.  Raises StudioError for another shape or mode, and when the model does not
        generate from noise.
        """
        self._need_latents()
        if noise_mode not in ("const", "random", "none"):
            raise StudioError(f"noise_mode is {noise_mode!r}.", "It must be const, random or none.")
        return self.network.synthesis(self._input(ws, "ws", (None, self.num_ws, self.w_dim)), noise_mode=noise_mode)

    @torch.inference_mode()
    def sample(self, seeds: int | Iterable[int], classes: Any = None, truncation_psi: float = 1.0) -> np.ndarray:
        """Generate pictures (N, H, W, 3) uint8 RGB from N seeds (or one): the same as in the studio, within one level.

        classes: None = the first class; one class by number or name, for all; a list of N of them; or weights (N, c_dim), which
        blend the classes of each seed in w (they need not sum to 1).  truncation_psi: 1 = off, lower is closer to the mean.
        Raises StudioError for a seed, class or psi that cannot be used, and when the model does not generate from noise.
        """
        self._need_latents()
        try:
            numbers = [check_seed(s) for s in (cast(Iterable[int], seeds) if np.ndim(cast(Any, seeds)) else [seeds])]
        except (TypeError, ValueError):
            raise StudioError(f"The seeds are {short_repr(seeds)}.", "Give a list of whole numbers, such as [1, 2, 3].") from None
        shares, psi = self._class_shares(classes, len(numbers)), self._psi(truncation_psi)
        out = np.empty((len(numbers), self.resolution, self.resolution, 3), np.uint8)
        size = max(1, _BATCH_PIXELS // self.resolution**2)
        for i in range(0, len(numbers), size):
            ws = torch.cat([self._blended(s, share) for s, share in zip(numbers[i : i + size], shares[i : i + size], strict=True)])
            out[i : i + size] = to_uint8(self.network.synthesis(self.network.mapping.truncate(ws, psi, None), noise_mode="const"))
        return out

    @torch.inference_mode()
    def translate(
        self,
        image: Image.Image,
        direction: str = "AtoB",
        tile: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Image.Image:
        """Translate a picture of any mode and size. Returns RGB of the same size, or RGBA with the original transparency when any
        pixel was transparent. EXIF orientation is not applied.

        direction: one of `directions`.  tile: side in pixels (32 or more) of the pieces it is computed in, to save memory; the
        result is the same within one level. None = in one piece when memory allows, else in several.
        progress: called with (done, all) after each piece.  cancel: asked before each; when true CancelledError is raised.
        Raises StudioError for a direction or a picture that cannot be used (without pixels, or more than 64 megapixels), and when
        the model does not translate.
        """
        self.need_direction(direction)
        return translate_picture(self.network, image, direction, tile, progress, cancel)

    def need_direction(self, direction: str) -> None:
        """Check that the model translates in this direction. Raises StudioError."""
        if not self.directions:
            raise StudioError(f"The model '{self.id}' does not translate pictures.", "Choose a CycleGAN or a pix2pix.")
        if direction not in self.directions:
            raise StudioError(f"The model '{self.id}' has no direction {short_repr(direction)}.", f"It has: {', '.join(self.directions)}.")

    @torch.inference_mode()
    def upscale(
        self,
        image: Image.Image,
        scale: float | None = None,
        tile: int | None = None,
        progress: Progress | None = None,
        cancel: Cancel | None = None,
    ) -> Image.Image:
        """Upscale a picture of any mode. Returns RGB, or RGBA when any pixel was transparent; grey pictures stay grey (L, LA, or
        I;16 for 16 bits), and the colour profile is kept. EXIF orientation is not applied.

        scale: 1 to 16, fractions allowed; None = the model's own. Beyond its own, the picture goes through the model more than
        once and is then reduced to size (Lanczos).  tile: side of the tiles in pixels of `image` (32 or more), to save memory;
        None = one piece when memory allows, else tiles of a suitable size.  progress: called with (done, all) between tiles.
        cancel: asked between tiles; when true CancelledError is raised.
        Raises StudioError for a picture that cannot be used (without pixels, or more than 64 megapixels), for a result of more
        than 2**30 pixels, and when the model does not upscale.
        """
        self.need_scale()
        return upscale_raster(self.network, Raster.from_image(image), scale, tile, progress, cancel).to_image()

    def need_scale(self) -> None:
        """Check that the model upscales. Raises StudioError."""
        if not self.scale:
            raise StudioError(f"The model '{self.id}' does not upscale pictures.", "Choose one that upscales.")

    def _need_latents(self) -> None:
        if self.family.task is not Task.GENERATE:
            raise StudioError(f"The model '{self.id}' does not generate pictures from noise.", "It is an image-to-image model.")

    def _blended(self, seed: int, share: np.ndarray) -> torch.Tensor:
        """The ws (1, num_ws, w_dim) of a seed, not truncated: the w of each class weighted by its share (c_dim,)."""
        assert self.z_dim is not None
        z = z_from_seed(seed, self.z_dim)
        if not self.c_dim:
            return self.mapping(z)
        # Blended in w rather than c, because the mapping was never trained on fractions of classes.
        classes = np.eye(self.c_dim)
        return functools.reduce(torch.add, (self.mapping(z, classes[k : k + 1]) * float(share[k]) for k in np.flatnonzero(share)))

    def _class_shares(self, classes: Any, count: int) -> np.ndarray:
        """Shares (count, c_dim), each row summing to 1, from the classes that `sample` takes."""
        if not self.c_dim:
            if classes is not None:
                raise StudioError(f"The model '{self.id}' has no classes.", "Leave classes out.")
            return np.zeros((count, 0))
        if classes is None or isinstance(classes, str) or np.ndim(classes) == 0:
            classes = [0 if classes is None else classes] * count
        if len(classes) != count:
            raise StudioError(f"There are {count} seeds and {len(classes)} classes.", "Give one class for all, or one per seed.")
        if count and not isinstance(classes[0], str) and np.ndim(classes[0]) == 1:
            weights = self._input(classes, "classes", (count, self.c_dim)).double().cpu().numpy()
            if (weights < 0).any() or not (weights.sum(1) > 0).all():
                raise StudioError("The weights of the classes cannot be used.", "Each row needs weights of 0 or more, and one above 0.")
            return weights / weights.sum(1, keepdims=True)
        return np.eye(self.c_dim)[[self.class_index(c) for c in classes]] if count else np.zeros((0, self.c_dim))

    def class_index(self, which: int | str) -> int:
        """The number of a class given by number or by name (an exact match first, then in any case). Raises StudioError."""
        number = which
        if isinstance(which, str):
            folded = [c.casefold() for c in self.classes]
            if which in self.classes:
                return self.classes.index(which)
            if which.casefold() in folded:
                return folded.index(which.casefold())
            number = int(which) if which.isdecimal() and len(which) < 10 else None
        if isinstance(number, (int, np.integer)) and not isinstance(number, bool) and 0 <= number < self.c_dim:
            return int(number)
        known = ", ".join(self.classes[:12] + ("...",) * (self.c_dim > 12)) or "none"
        raise StudioError(f"The model '{self.id}' has no class {short_repr(which)}.", f"Its classes: {known}.")

    @staticmethod
    def _psi(value: Any) -> float:
        try:
            psi = float(value)
        except (TypeError, ValueError):
            psi = math.nan
        if not math.isfinite(psi):
            raise StudioError(f"truncation_psi is {value!r:.40}.", "It must be a finite number; 1 = off.")
        return psi

    def _input(self, value: Any, name: str, shape: tuple[int | None, ...]) -> torch.Tensor:
        try:
            if not isinstance(value, torch.Tensor):
                array = np.asarray(value)
                if array.dtype.kind not in "fiub":
                    raise TypeError
                # A copy: torch accepts neither reversed views nor, without a warning, read-only arrays.
                with np.errstate(over="ignore"):  # an overflow is found below
                    value = torch.from_numpy(np.array(array, np.float32, order="C"))
            if value.is_complex():
                raise TypeError
            tensor = value.detach().to(torch.float32).to(self.device)  # in this order: not every device has float64
        except (TypeError, ValueError, RuntimeError):
            raise StudioError(f"{name} is not an array of numbers.", "Give a numpy array or a torch tensor.") from None
        fits = tensor.ndim == len(shape) and all(s is None or s == t for s, t in zip(shape, tensor.shape, strict=False))
        if not fits:
            want = ", ".join("N" if s is None else str(s) for s in shape)
            raise StudioError(f"{name} has the shape {tuple(tensor.shape)}.", f"The model '{self.id}' needs ({want}).")
        if not torch.isfinite(tensor).all():
            raise StudioError(f"{name} holds values that are not finite (NaN or infinity).", "Check where it comes from.")
        return tensor


def choose_device(wanted: str | None = None) -> torch.device:
    """The wanted device, or the best available: CUDA, Apple's MPS, CPU. Raises StudioError when it is not available."""
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as e:
        first = str(e).splitlines()[0]
        raise StudioError(f"The device '{wanted}' cannot be used: {first}.", "Leave the choice to the studio, or give cpu.") from None
    return device


def load_info(info: ModelInfo, device: str | torch.device | None = None) -> Model:
    """Load a model of the library."""
    network = build_network(info, choose_device(str(device) if device is not None else None))
    return Model(network, info.family, info.id, info.classes, info)


def load(source: str | Path, device: str | None = None, *, statistics: Literal["picture", "running"] = "picture") -> Model:
    """Load a model by its name in the library, from a model folder, or from a foreign checkpoint file.

    device: 'cpu', 'cuda', ... ; None = the best available.  statistics: of a checkpoint of pix2pix or CycleGAN with batch norm, by
    which it normalises: those of each picture, as its published test script does, or the running ones.
    Raises StudioError when it is missing or cannot be read.
    """
    path = Path(source).expanduser()
    if os.path.isfile(path):  # unlike Path.is_file, this treats a name that is too long for a file as missing
        found = import_file(path, statistics)
        network = load_network(found.family, found.config, found.state_dict, path.name, choose_device(device))
        return Model(network, found.family, found.title, found.classes)
    # What looks like a path is treated as one, so that an incomplete folder is reported as such.
    is_path = isinstance(source, Path) or len(path.parts) != 1 or str(source).startswith(".")
    if os.path.isdir(path) and (is_path or (path / "config.json").exists()):
        return load_info(open_folder(path), device)
    if is_path:
        raise StudioError(
            f"There is no model at {str(source)!r:.200}.", "Give a name from the library, a model folder or a checkpoint file."
        )
    return load_info(default_library().get(str(source)), device)


def float32_bytes(info: ModelInfo) -> int:
    """Bytes of a model in memory, from the header of its file."""
    with safe_open(info.path / "model.safetensors", framework="pt") as f:
        return sum(4 * math.prod(f.get_slice(name).get_shape()) for name in f.keys())  # noqa: SIM118 - safe_open is not a mapping
