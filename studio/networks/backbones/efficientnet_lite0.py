"""EfficientNet-Lite0 (Tan 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks"), the network whose
features the studio measures and learns by.

It is EfficientNet-B0 (Table 1) without squeeze-and-excitation and with ReLU6; the Lite variant fixes stem and head.
"""

import torch
import torch.nn.functional as F
from torch import nn

# expansion, channels out, blocks, stride, kernel size of each stage (EfficientNet, Table 1)
_STAGES = [(1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)]
FEATURES = 1280


class SamePaddingConv2d(nn.Conv2d):
    """Convolution with TensorFlow's 'SAME' padding: an odd pixel goes to the right and below."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pads: list[int] = []
        for size, k, s in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(size // -s) - 1) * s + k - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class ConvNormReLU6(nn.Module):
    """Convolution of k x k, batch normalisation and, if `act`, ReLU6."""

    def __init__(self, c_in: int, c_out: int, k: int, stride: int = 1, groups: int = 1, act: bool = True):
        super().__init__()
        self.conv = SamePaddingConv2d(c_in, c_out, k, stride, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x))
        return F.relu6(x) if self.act else x


class InvertedResidual(nn.Module):
    """Inverted residual: expand, depthwise, project (MobileNetV2, Sandler 2018, Sec. 3.4)."""

    def __init__(self, c_in: int, c_out: int, k: int, stride: int, expand: int):
        super().__init__()
        mid = c_in * expand
        layers = [ConvNormReLU6(c_in, mid, 1)] if expand > 1 else []
        layers += [ConvNormReLU6(mid, mid, k, stride, groups=mid), ConvNormReLU6(mid, c_out, 1, act=False)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)


class EfficientNetLite0(nn.Module):
    """x (N, 3, H, W) in [-1, 1] -> logits (N, 1000) of the ImageNet classes."""

    def __init__(self):
        super().__init__()
        self.stem = ConvNormReLU6(3, 32, 3, 2)
        stages, c_in = [], 32
        for expand, c_out, blocks, stride, k in _STAGES:
            stage = [InvertedResidual(c_in if i == 0 else c_out, c_out, k, stride if i == 0 else 1, expand) for i in range(blocks)]
            stages.append(nn.Sequential(*stage))
            c_in = c_out
        self.stages = nn.ModuleList(stages)
        self.head = ConvNormReLU6(c_in, FEATURES, 1)
        self.classifier = nn.Linear(FEATURES, 1000)

    def stage_maps(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The feature maps after each of the seven stages, from 16 channels at H/2 to 320 at H/32."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Features (N, 1280), averaged over the picture."""
        return self.head(self.stage_maps(x)[-1]).mean(dim=[2, 3])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(x))
