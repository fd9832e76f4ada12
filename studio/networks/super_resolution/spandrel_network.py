"""Community upscalers and restorers: the forty-odd architectures of spandrel, identified by the names and shapes of tensors."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from studio.networks.registry import Family, Task, register
from studio.networks.super_resolution.upscaler import Upscaler

_PREFIX = "net."  # of the names of all its tensors
_HALO = 64  # with attention and norms there is no exact halo; in networks that support tiles, farther pixels hardly matter
_RESOLUTION = 256  # nominal: the patch size that such a network was trained on is unknown
_MAX_INDEX = 1000  # of a layer in a sequence
_MAX_STEPS = 1_000_000  # tensor operations while a network is built; large networks take some ten thousand
_ROOM = 1 << 30  # bytes allowed beyond the weights while a network is built


@dataclass(frozen=True)
class SpandrelConfig:
    """Facts needed before such a network is built; the rest follows from its tensors."""

    architecture: str = ""  # its name in spandrel
    scale: int = 1  # 1 = a restorer, which keeps the size
    img_channels: int = 3  # 1 = grey, 3 = RGB
    multiple: int = 1  # sides of pictures must be multiples of it
    whole: bool = False  # tiles of a picture would come out differently from the whole
    resolution: int = _RESOLUTION  # side of a picture in pixels, nominal

    def __post_init__(self):
        if not 1 <= self.scale <= 32 or self.img_channels not in (1, 3) or not 1 <= self.multiple <= 1024:
            raise ValueError("scale must be 1 to 32, img_channels 1 or 3, multiple 1 to 1024")
        if not 16 <= self.resolution <= 4096:
            raise ValueError(f"resolution must be 16 to 4096, not {self.resolution}")


class SpandrelNetwork(Upscaler):
    """A network of spandrel, which works on [0, 1] inside. Its output is clamped; it cannot be trained here.

    Pictures smaller than its minimum are mirrored at their borders, and the result is cropped.
    """

    halo = _HALO

    def __init__(self, cfg: SpandrelConfig, tensors: Mapping[str, torch.Tensor]):
        """tensors: float32, as in `state_dict`.  Raises ValueError when they do not form a network, or not the one `cfg` describes."""
        super().__init__()
        found = _build({name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()})
        self._adopt(found)
        if self.config != cfg:
            raise ValueError(f"the tensors are of {self.config}")

    @classmethod
    def discover(cls, tensors: Mapping[str, torch.Tensor]) -> "SpandrelNetwork | None":
        """The network of these tensors, under their published names; None for an unknown architecture.

        Raises ValueError for one that cannot be used here; its text completes 'it holds ...'.
        """
        found = _build(tensors)
        if found is None:
            return None
        network = cls.__new__(cls)
        Upscaler.__init__(network)
        network._adopt(found)
        return network

    def _adopt(self, found: Any) -> None:
        """found: spandrel's description of the network."""
        if found is None:
            raise ValueError("the tensors are of an unknown architecture")
        if found.purpose == "Inpainting":
            raise ValueError(f"a network of {found.architecture.name}, which fills holes and needs a mask besides the picture")
        if found.input_channels not in (1, 3) or found.input_channels != found.output_channels:
            channels = f"{found.input_channels} channels into {found.output_channels}"
            raise ValueError(f"a network of {found.architecture.name} that turns {channels}, which is neither grey nor colour")
        self.net = found.model.float().eval().requires_grad_(False)
        self.config = SpandrelConfig(
            architecture=found.architecture.id,
            scale=found.scale,
            img_channels=found.input_channels,
            multiple=found.size_requirements.multiple_of,
            whole=found.tiling.name != "SUPPORTED",
        )
        self.scale, self.in_channels, self.multiple = self.config.scale, self.config.img_channels, self.config.multiple
        self.resolution, self.untileable = self.config.resolution, self.config.whole
        self._draw = found  # a plain object around the module, which pads the picture to a size that the network supports

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._draw(one[None]) for one in x * 0.5 + 0.5]).float() * 2 - 1


def _build(tensors: Mapping[str, torch.Tensor]) -> Any:
    """spandrel's description of the network, with its module; None when the tensors are of no known architecture.

    Raises ValueError when they are inconsistent, or imply a network far larger than they are.
    """
    from spandrel import MAIN_REGISTRY, UnsupportedModelError  # slow to import, and not needed by most

    numbers = [n for name in tensors for n in re.findall(r"\d+", name)]
    if any(len(n) > 4 or int(n) > _MAX_INDEX for n in numbers):
        raise ValueError("layers with absurd numbers")
    try:
        with torch.no_grad(), _Bounded(4 * sum(t.nbytes for t in tensors.values()) + _ROOM):
            return MAIN_REGISTRY.load(dict(tensors))
    except UnsupportedModelError:
        return None
    except MemoryError:
        raise
    except Exception as e:  # each architecture parses shapes, and fails, in its own way
        first = str(e).strip().partition("\n")[0]
        raise ValueError(f"tensors that do not make a network: {type(e).__name__} {first:.100}") from None


class _Bounded(TorchDispatchMode):
    """Limit on memory while this mode is active: at most `nbytes` in all for tensors created from nothing, and for each result of an
    operation on tensors.

    A small file can imply a large network: a layer's size may be derived from a single row of another.
    """

    def __init__(self, nbytes: int):
        super().__init__()
        self.largest = self.left = nbytes
        self.steps = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.steps += 1
        size = _size(func, args)
        if not any(isinstance(a, torch.Tensor) for a in args):
            self.left -= size
        if self.left < 0 or size > self.largest or self.steps > _MAX_STEPS:
            raise ValueError("they imply a network that is far larger than they are")
        return func(*args, **(kwargs or {}))


def _size(func: Any, args: tuple[Any, ...]) -> int:
    """Estimate, from its arguments, of the bytes that an operation is about to allocate, at 8 per element."""
    shapes = [a.shape for a in args if isinstance(a, torch.Tensor)]
    lists = [a for a in args if isinstance(a, list | tuple) and a and all(isinstance(n, int) for n in a)]
    if not shapes:
        numbers = lists[0] if lists else [a for a in args if isinstance(a, int | float) and not isinstance(a, bool) and math.isfinite(a)]
        return int(8 * (math.prod(numbers) if lists else max(numbers, default=0)))
    try:
        count = math.prod(torch.broadcast_shapes(*shapes))
    except RuntimeError:  # not an element-wise operation
        count = sum(math.prod(shape) for shape in shapes)
    return 8 * count * (math.prod(lists[0]) if lists and "repeat" in func.__name__ else 1)


register(
    Family(
        name="spandrel",
        title="Community model",
        sentence="Upscalers and restorers that others trained, of some forty architectures; they are imported, not trained here.",
        task=Task.UPSCALE,
        config=SpandrelConfig,
        generator=SpandrelNetwork,
        discriminator=None,
        from_tensors=True,
    )
)
