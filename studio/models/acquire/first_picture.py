"""Thumbnail of a model that has just been added."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from studio.common.memory import out_of_memory
from studio.imaging.pixels import to_uint8
from studio.networks.generative.latent_generator import LatentGenerator


@torch.inference_mode()
def first_picture(network: nn.Module) -> Image.Image | None:
    """The picture of seed 0 at a psi that suits most models. None for a network that draws nothing from noise, and when memory runs
    out, as the model may still be fine."""
    if not isinstance(network, LatentGenerator):
        return None
    z = torch.from_numpy(np.random.RandomState(0).randn(1, network.z_dim)).float()
    c = torch.eye(network.c_dim)[:1] if network.c_dim else None
    try:
        pixels = to_uint8(network(z, c, 0.7))[0]
    except (MemoryError, RuntimeError) as e:
        if not out_of_memory(e):
            raise
        return None
    return Image.fromarray(pixels).resize((256, 256), Image.Resampling.NEAREST if network.resolution < 256 else Image.Resampling.LANCZOS)
