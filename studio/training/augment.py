"""Augmentation of the pictures that the discriminator sees, real and generated alike, so that few pictures suffice.

DiffAugment (Zhao 2020) changes every picture a little; ADA (Karras 2020, App. B) changes each with a probability p that a controller
adjusts. All draws come from a generator that is passed in; every operation is twice differentiable with respect to the pictures, so
that gradient penalties work through it.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from studio.errors import StudioError

# Low-pass filter of the wavelet sym6 (Daubechies, "Ten Lectures on Wavelets", Table 6.3), which the ADA paper uses.
_SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)


class NoAugment(nn.Module):
    """No augmentation: returns the pictures unchanged."""

    def forward(self, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        return images


# -- DiffAugment -----------------------------------------------------------------------------------------------------


class DiffAugment(nn.Module):
    """Differentiable augmentation of every picture (Zhao 2020).

    policy: any of 'color', 'translation', 'cutout', separated by commas.
    """

    def __init__(self, policy: str = "color,translation,cutout"):
        super().__init__()
        self.ops = [name.strip() for name in policy.split(",") if name.strip()]
        operations = {"color": _diff_color, "translation": _diff_translation, "cutout": _diff_cutout}
        for name in self.ops:
            if name not in operations:
                raise StudioError(f"DiffAugment has no policy '{name}'.", f"Choose from: {', '.join(operations)}.")
        self._operations = operations

    def forward(self, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """images: (N, C, H, W) -> the same shape."""
        for name in self.ops:
            images = self._operations[name](images, generator)
        return images


def _uniform(n: int, generator: torch.Generator | None, device: torch.device) -> torch.Tensor:
    return torch.rand(n, generator=generator).to(device)


def _normal(n: int, generator: torch.Generator | None, device: torch.device) -> torch.Tensor:
    return torch.randn(n, generator=generator).to(device)


def _diff_color(x: torch.Tensor, generator) -> torch.Tensor:
    n = len(x)
    brightness, saturation, contrast = (_uniform(n, generator, x.device).reshape(n, 1, 1, 1) for _ in range(3))
    x = x + (brightness - 0.5)
    mean = x.mean(dim=1, keepdim=True)
    x = (x - mean) * (saturation * 2) + mean
    mean = x.mean(dim=[1, 2, 3], keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def _diff_translation(x: torch.Tensor, generator) -> torch.Tensor:
    n, _, h, w = x.shape
    reach_y, reach_x = int(h * 0.125 + 0.5), int(w * 0.125 + 0.5)
    ty = torch.randint(-reach_y, reach_y + 1, (n,), generator=generator).to(x.device)
    tx = torch.randint(-reach_x, reach_x + 1, (n,), generator=generator).to(x.device)
    rows = torch.arange(h, device=x.device)[None] - ty[:, None]
    columns = torch.arange(w, device=x.device)[None] - tx[:, None]
    inside = ((rows >= 0) & (rows < h))[:, None, :, None] & ((columns >= 0) & (columns < w))[:, None, None, :]
    return _take(x, rows.clamp(0, h - 1), columns.clamp(0, w - 1)) * inside


def _diff_cutout(x: torch.Tensor, generator) -> torch.Tensor:
    n, _, h, w = x.shape
    size_y, size_x = int(h * 0.5 + 0.5), int(w * 0.5 + 0.5)
    cy = torch.randint(0, h + 1 - size_y % 2, (n,), generator=generator).to(x.device)
    cx = torch.randint(0, w + 1 - size_x % 2, (n,), generator=generator).to(x.device)
    rows = torch.arange(h, device=x.device)[None] - cy[:, None] + size_y // 2
    columns = torch.arange(w, device=x.device)[None] - cx[:, None] + size_x // 2
    hole = ((rows >= 0) & (rows < size_y))[:, None, :, None] & ((columns >= 0) & (columns < size_x))[:, None, None, :]
    return x * ~hole


def _take(x: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """x (N, C, H, W), rows (N, H), columns (N, W) -> x[n, :, rows[n], :][:, :, columns[n]]."""
    n, c, h, w = x.shape
    x = x.gather(2, rows[:, None, :, None].expand(n, c, h, w))
    return x.gather(3, columns[:, None, None, :].expand(n, c, h, w))


# -- ADA -------------------------------------------------------------------------------------------------------------


class AugmentPipe(nn.Module):
    """Augmentation pipeline of ADA (Karras 2020, App. B): pixel blitting, geometric and colour transformations.

    policy: letters of the operations in use: 'b' blitting, 'g' geometric, 'c' colour ('bgc' is the paper's choice).
    """

    p: torch.Tensor
    """Probability of each single operation, a buffer."""
    taps: torch.Tensor

    def __init__(self, policy: str = "bgc"):
        super().__init__()
        if not policy or set(policy) - set("bgc"):
            raise StudioError(f"ADA has no policy '{policy}'.", "Use letters of 'bgc': blitting, geometric, colour.")
        self.policy = policy
        self.register_buffer("p", torch.zeros([]))
        taps = torch.tensor(_SYM6)
        self.register_buffer("taps", taps / taps.sum(), persistent=False)

    def forward(self, images: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """images: (N, C, H, W), square -> the same shape, float32."""
        p = float(self.p)
        if p <= 0:
            return images
        # Interpolation and colour matrices need full precision.
        with torch.autocast(images.device.type, enabled=False):
            x = images.float()
            if "b" in self.policy:
                x = self._blit(x, p, generator)
            if "g" in self.policy:
                x = self._geometric(x, p, generator)
            if "c" in self.policy:
                x = self._color(x, p, generator)
        return x

    def _blit(self, x: torch.Tensor, p: float, generator) -> torch.Tensor:
        """Flips, quarter turns, shifts by whole pixels: pixels are moved, never blended."""
        n, _, h, w = x.shape
        flip = (_uniform(n, generator, x.device) < p / 2).reshape(n, 1, 1, 1)
        x = torch.where(flip, x.flip(3), x)
        turns = torch.randint(0, 4, (n,), generator=generator).to(x.device)
        turns = torch.where(_uniform(n, generator, x.device) < p, turns, 0).reshape(n, 1, 1, 1)
        for k in (1, 2, 3):
            x = torch.where(turns == k, x.rot90(k, [2, 3]), x)
        on = _uniform(n, generator, x.device) < p
        shift = torch.stack([_uniform(n, generator, x.device), _uniform(n, generator, x.device)]) * 2 - 1
        ty, tx = (torch.where(on, shift * 0.125, 0) * torch.tensor([[h], [w]], device=x.device)).round().long()
        rows = _reflect(torch.arange(h, device=x.device)[None] - ty[:, None], h)
        columns = _reflect(torch.arange(w, device=x.device)[None] - tx[:, None], w)
        return _take(x, rows, columns)

    def _geometric(self, x: torch.Tensor, p: float, generator) -> torch.Tensor:
        n, device = len(x), x.device
        inverse = torch.eye(3, device=device).repeat(n, 1, 1)

        def on(probability: float) -> torch.Tensor:
            return _uniform(n, generator, device) < probability

        # Each operation multiplies its inverse on the right: output pixel -> position in the input.
        scale = torch.where(on(p), torch.exp2(_normal(n, generator, device) * 0.2), 1)
        inverse = inverse @ _scale(1 / scale, 1 / scale)
        rotate = 1 - math.sqrt(1 - p)  # two rotations, of which at least one happens with probability p
        inverse = inverse @ _rotation(torch.where(on(rotate), (_uniform(n, generator, device) * 2 - 1) * math.pi, 0))
        stretch = torch.where(on(p), torch.exp2(_normal(n, generator, device) * 0.2), 1)
        inverse = inverse @ _scale(1 / stretch, stretch)
        inverse = inverse @ _rotation(torch.where(on(rotate), (_uniform(n, generator, device) * 2 - 1) * math.pi, 0))
        move = on(p)
        dx = torch.where(move, _normal(n, generator, device) * 0.125 * x.shape[3], 0)
        dy = torch.where(move, _normal(n, generator, device) * 0.125 * x.shape[2], 0)
        inverse = inverse @ _translation(-dx, -dy)
        moved = (inverse - torch.eye(3, device=device)).abs().amax(dim=[1, 2]) > 0
        if not moved.any():
            return x
        # Only pictures that move are interpolated; the others stay identical to the bit.
        return x.index_put((moved.nonzero()[:, 0],), warp(x[moved], inverse[moved], self.taps))

    def _color(self, x: torch.Tensor, p: float, generator) -> torch.Tensor:
        n, device = len(x), x.device
        matrix = torch.eye(4, device=device).repeat(n, 1, 1)
        eye = torch.eye(4, device=device)
        axis = torch.tensor([1.0, 1, 1, 0], device=device) / math.sqrt(3)
        grey = axis.outer(axis)

        def on(probability: float) -> torch.Tensor:
            return _uniform(n, generator, device) < probability

        brightness = torch.where(on(p), _normal(n, generator, device) * 0.2, 0)
        shift = eye.repeat(n, 1, 1)
        shift[:, :3, 3] = brightness[:, None]
        matrix = shift @ matrix
        contrast = torch.where(on(p), torch.exp2(_normal(n, generator, device) * 0.5), 1)
        matrix = torch.diag_embed(torch.stack([contrast, contrast, contrast, torch.ones_like(contrast)], dim=1)) @ matrix
        if x.shape[1] == 3:
            flip = torch.where(on(p / 2), 1.0, 0.0)
            matrix = (eye - 2 * grey * flip[:, None, None]) @ matrix
            angle = torch.where(on(p), (_uniform(n, generator, device) * 2 - 1) * math.pi, 0)
            matrix = _rotation_about_grey(angle) @ matrix
            saturation = torch.where(on(p), torch.exp2(_normal(n, generator, device)), 1)
            matrix = (grey + (eye - grey) * saturation[:, None, None]) @ matrix
            x = torch.einsum("nij,njhw->nihw", matrix[:, :3, :3], x) + matrix[:, :3, 3, None, None]
        else:
            x = x * matrix[:, 0, 0, None, None, None] + matrix[:, 0, 3, None, None, None]
        return x


def _reflect(index: torch.Tensor, size: int) -> torch.Tensor:
    """Indices with those beyond the edge mirrored at the edge pixel."""
    index = index.abs() % (2 * size - 2) if size > 1 else index * 0
    return torch.where(index >= size, 2 * size - 2 - index, index)


def _matrix(rows: list[list[torch.Tensor | float]], like: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [torch.stack([torch.as_tensor(v, device=like.device).expand_as(like).float() for v in row], dim=-1) for row in rows], dim=-2
    )


def _scale(sx: torch.Tensor, sy: torch.Tensor) -> torch.Tensor:
    return _matrix([[sx, 0.0, 0.0], [0.0, sy, 0.0], [0.0, 0.0, 1.0]], sx)


def _rotation(angle: torch.Tensor) -> torch.Tensor:
    c, s = angle.cos(), angle.sin()
    return _matrix([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], angle)


def _translation(dx: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
    return _matrix([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]], dx)


def _rotation_about_grey(angle: torch.Tensor) -> torch.Tensor:
    """Rotations of colours about the grey axis, (N, 4, 4), by Rodrigues' formula.  angle: (N,) radians."""
    v = 1 / math.sqrt(3)
    cross = torch.tensor([[0.0, -v, v, 0], [v, 0, -v, 0], [-v, v, 0, 0], [0, 0, 0, 0]], device=angle.device)
    along = torch.tensor([1.0, 1, 1, 0], device=angle.device) * v
    along = along.outer(along)
    inside = torch.diag(torch.tensor([1.0, 1, 1, 0], device=angle.device))
    last = torch.diag(torch.tensor([0.0, 0, 0, 1], device=angle.device))
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return inside * c + cross * s + along * (1 - c) + last


def warp(x: torch.Tensor, inverse: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Pictures resampled by an affine map without aliasing (ADA, App. B.1), (N, C, H, W).

    x: (N, C, H, W).  inverse: (N, 3, 3), output -> input position in pixels from the centre.  taps: (K,), K even.
    The picture is mirrored beyond its edges, upsampled by two, resampled bilinearly, and downsampled again.
    """
    _n, _c, h, w = x.shape
    k = len(taps)
    corners = torch.tensor([[-w / 2, -h / 2, 1], [w / 2, -h / 2, 1], [-w / 2, h / 2, 1], [w / 2, h / 2, 1.0]])
    reach = (inverse[:, :2] @ corners.T.to(inverse)).abs().amax(dim=[0, 2])
    margin_x = int(min(max(math.ceil(float(reach[0]) - w / 2) + k // 2, 0), w - 1))
    margin_y = int(min(max(math.ceil(float(reach[1]) - h / 2) + k // 2, 0), h - 1))
    x = F.pad(x, [margin_x, margin_x, margin_y, margin_y], mode="reflect")
    x = _upsample(_upsample(x, taps, 3), taps, 2)
    height, width = x.shape[2:]
    # Output positions, twice as dense as pixels, with the margin that the downsampling filter needs.
    ys = (torch.arange(2 * h + k - 2, device=x.device) - (2 * h + k - 3) / 2) * 0.5
    xs = (torch.arange(2 * w + k - 2, device=x.device) - (2 * w + k - 3) / 2) * 0.5
    grid_y, grid_x = torch.meshgrid(ys, xs, indexing="ij")
    positions = torch.stack([grid_x, grid_y, torch.ones_like(grid_x)], dim=-1).to(inverse)
    where = torch.einsum("nij,hwj->nhwi", inverse[:, :2], positions)
    where = where / torch.tensor([width / 4, height / 4]).to(inverse)
    x = _GridSample.apply(x, where)
    return _downsample(_downsample(x, taps, 3), taps, 2)


def _along(taps: torch.Tensor, axis: int, channels: int) -> torch.Tensor:
    return taps.reshape((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)).expand(channels, 1, -1, -1)


def _upsample(x: torch.Tensor, taps: torch.Tensor, axis: int) -> torch.Tensor:
    """Twice as many samples along an axis, centred: length L -> 2 L."""
    _n, c, _h, _w = x.shape
    zeros = torch.stack([x, torch.zeros_like(x)], dim=axis + 1).flatten(axis, axis + 1).narrow(axis, 0, 2 * x.shape[axis] - 1)
    half = len(taps) // 2
    pad = [0, 0, half, half] if axis == 2 else [half, half, 0, 0]
    return F.conv2d(F.pad(zeros, pad), _along(taps.flip(0) * 2, axis, c), groups=c)


def _downsample(x: torch.Tensor, taps: torch.Tensor, axis: int) -> torch.Tensor:
    """Every second sample of the filtered signal; the mirrored filter undoes the delay of `_upsample`."""
    stride = (2, 1) if axis == 2 else (1, 2)
    return F.conv2d(x, _along(taps, axis, x.shape[1]), stride=stride, groups=x.shape[1])


class _GridSample(torch.autograd.Function):
    """Bilinear grid_sample whose gradient can be differentiated again with respect to the picture; the grid is constant.

    The operation is linear in the picture, so the second derivative is grid_sample itself.
    """

    @staticmethod
    def forward(ctx, x, grid):
        ctx.save_for_backward(x, grid)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx, grad):
        x, grid = ctx.saved_tensors
        return _GridSampleBackward.apply(grad, x, grid), None


class _GridSampleBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, grad, x, grid):
        ctx.save_for_backward(grid)
        # bilinear = 0, zeros = 0, no aligned corners; of the two gradients only the picture's is computed
        return torch.ops.aten.grid_sampler_2d_backward(grad, x, grid, 0, 0, False, [True, False])[0]

    @staticmethod
    def backward(ctx, grad_of_grad):
        (grid,) = ctx.saved_tensors
        return _GridSample.apply(grad_of_grad, grid), None, None


class AdaController:
    """Controller of ADA's probability p, so that the discriminator neither memorises its pictures nor sees too little of them.

    r_t = E[sign(D(real))] (Karras 2020, Eq. 1) is compared with `target` every `interval` updates; p changes at a rate that takes
    `kimg` thousand pictures from 0 to 1.
    """

    def __init__(self, p: float = 0.0, target: float = 0.6, kimg: float = 500.0, interval: int = 4):
        self.p, self.target, self.kimg, self.interval = p, target, kimg, interval
        self._signs, self._count, self._images, self._updates = 0.0, 0, 0, 0

    def update(self, signs: float, count: int, images: int) -> float:
        """Take in new signs, and return p.

        signs: sum of sign(D(real)) over `count` logits.  images: real pictures shown since the last call.
        """
        self._signs, self._count = self._signs + signs, self._count + count
        self._images, self._updates = self._images + images, self._updates + 1
        if self._updates == self.interval:
            step = math.copysign(self._images / (self.kimg * 1000), self._signs / self._count - self.target)
            self.p = min(max(self.p + step, 0.0), 1.0)
            self._signs, self._count, self._images, self._updates = 0.0, 0, 0, 0
        return self.p

    def state_dict(self) -> dict[str, float]:
        """The controller's state as plain numbers."""
        return {"p": self.p, "signs": self._signs, "count": self._count, "images": self._images, "updates": self._updates}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Return to a state that `state_dict` gave."""
        self.p, self._signs, self._count = state["p"], state["signs"], state["count"]
        self._images, self._updates = state["images"], state["updates"]


def make_augment(name: str, policy: str = "") -> nn.Module:
    """The augmentation 'none', 'diffaugment' or 'ada': a module called with (images, generator=...). Raises StudioError for others."""
    if name == "none":
        return NoAugment()
    if name == "diffaugment":
        return DiffAugment(policy or "color,translation,cutout")
    if name == "ada":
        return AugmentPipe(policy or "bgc")
    raise StudioError(f"There is no augmentation '{name}'.", "Choose none, diffaugment or ada.")
