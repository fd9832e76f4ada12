"""Generators built from a family's config and tensors, which must fit exactly."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from studio.errors import StudioError
from studio.models.config_file import check_config
from studio.networks import Family, get_family


def load_network(
    family: str, config: Mapping[str, Any], tensors: dict[str, torch.Tensor], what: str, device: str | torch.device = "cpu"
) -> nn.Module:
    """A generator from its config and its tensors; see `build_network`. Raises StudioError also for weights that are no numbers."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise StudioError(
                f"{what} holds values that are no numbers (NaN or infinity) in '{name}'.",
                "It is damaged, or its training failed: get it again, or take an earlier snapshot.",
            )
    network = blank_network(get_family(family), config, tensors, what)
    network.load_state_dict(tensors, assign=True)
    return network.to(device).eval().requires_grad_(False)


def blank_network(entry: Family, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], what: str) -> nn.Module:
    """A generator that `tensors` fit, with its weights not allocated. Raises StudioError when they do not fit."""
    check_config(entry, config, f"{what} has a config")
    try:
        if entry.from_tensors:
            network = entry.generator(entry.config(**config), tensors)
        else:
            with torch.device("meta"):  # nothing is allocated for a config that the tensors do not match
                network = entry.generator(entry.config(**config))
    except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as e:
        reason = str(e).partition("\n")[0]
        raise StudioError(f"{what} has a config from which no {entry.title} can be built: {reason:.200}.", "Get it again.") from None
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    for name, shape in wanted.items():
        if name not in tensors:
            raise StudioError(f"{what} lacks the tensor '{name}'.", "The file is incomplete or of another family.")
        if tuple(tensors[name].shape) != shape:
            raise StudioError(
                f"{what} has '{name}' of shape {tuple(tensors[name].shape)}, its config asks for {shape}.",
                "Config and weights do not belong together.",
            )
    extra = sorted(set(tensors) - set(wanted))
    if extra:
        raise StudioError(f"{what} has the tensor '{extra[0]}', which {entry.title} does not know.", "Its config is wrong.")
    return network
