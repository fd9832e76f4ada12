"""AlexNet's convolutions in their second, single-tower form (Krizhevsky 2014, "One weird trick for parallelizing convolutional
neural networks"), without the classifier."""

import torch
from torch import nn


class AlexNetFeatures(nn.Module):
    """The five convolutions of AlexNet and their activations. Tensors are named as in the published weights, 'features.0.weight'.

    widths: channels of the five convolutions; the published weights have the default ones.
    """

    def __init__(self, widths: tuple[int, int, int, int, int] = (64, 192, 384, 256, 256)):
        super().__init__()
        a, b, c, d, e = widths
        self.features = nn.Sequential(
            *(nn.Conv2d(3, a, 11, stride=4, padding=2), nn.ReLU()),
            *(nn.MaxPool2d(3, 2), nn.Conv2d(a, b, 5, padding=2), nn.ReLU()),
            *(nn.MaxPool2d(3, 2), nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(d, e, 3, padding=1), nn.ReLU()),
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """x (N, 3, H, W), normalised as ImageNet's pictures, sides of 64 and more -> the five activations, (N, widths[i], h, w)."""
        maps = []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                maps.append(x)
        return maps
