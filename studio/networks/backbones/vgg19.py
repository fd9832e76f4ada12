"""VGG19's convolutions (Simonyan 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition", Table 1, column E),
without the classifier."""

import torch
from torch import nn

_CONVS = (2, 2, 4, 4, 4)  # convolutions of each of the five blocks, between which the picture is halved


class VGG19Features(nn.Module):
    """VGG19 up to conv5_4 and, if `activated`, its ReLU. Tensors are named as in the published weights, 'features.0.weight'.

    widths: channels of the five blocks; the published weights have the default ones.
    """

    def __init__(self, activated: bool, widths: tuple[int, int, int, int, int] = (64, 128, 256, 512, 512)):
        super().__init__()
        layers: list[nn.Module] = []
        c_in = 3
        for block, (convs, width) in enumerate(zip(_CONVS, widths, strict=True)):
            layers += [nn.MaxPool2d(2, 2)] if block else []
            for _ in range(convs):
                layers += [nn.Conv2d(c_in, width, 3, padding=1), nn.ReLU()]
                c_in = width
        self.features = nn.Sequential(*(layers if activated else layers[:-1]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, 3, H, W), normalised as ImageNet's pictures -> maps (N, widths[-1], H / 16, W / 16)."""
        return self.features(x)
