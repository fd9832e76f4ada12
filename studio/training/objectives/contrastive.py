"""Contrastive objective: one direction, its content preserved by contrast between patches (Park 2020, "Contrastive Learning for Unpaired
Image-to-Image Translation", CUT)."""

from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import nn

from studio.errors import StudioError
from studio.networks.translation.resnet_unet_patchgan import ResnetGenerator
from studio.training.data.translation import TranslationBatch
from studio.training.objectives.cycle import check_identity
from studio.training.objectives.translation import Generated, Record, SheetRows, Translation
from studio.training.optimizers import make_optimizer
from studio.training.plan import Plan
from studio.training.randomness import generator

_WIDTH = 256  # of the heads and of their features
_TEMPERATURE = 0.07
_PATCHES = 256  # locations for each picture and layer


class FeatureHeads(nn.Module):
    """Features of each layer -> unit vectors, by an MLP of two layers each (Park 2020, Sec. 3 and App. B.1)."""

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(c, _WIDTH), nn.ReLU(), nn.Linear(_WIDTH, _WIDTH)) for c in channels)

    def forward(self, maps: list[torch.Tensor], locations: list[torch.Tensor]) -> list[torch.Tensor]:
        """maps: (N, C, H, W) each.  locations: (P,) each, indices below H * W.  Returns (N, P, 256) each."""
        picked = [x.flatten(2)[:, :, at].transpose(1, 2) for x, at in zip(maps, locations, strict=True)]
        return [F.normalize(mlp(x).float(), dim=2) for mlp, x in zip(self.mlps, picked, strict=True)]


def patch_nce(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of finding each query's own location among all locations of its picture, a scalar (Park 2020, Eqs. 2 and 3).

    query, key: (N, P, C), unit vectors; the same index is the same location.
    """
    logits = query @ key.transpose(1, 2) / _TEMPERATURE  # (N, P, P)
    target = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


class Contrastive(Translation):
    """L = GAN + lambda_nce * (NCE(x, G(x)) + NCE(y, G(y))) / 2, the latter only where lambda_identity > 0 (Park 2020, Eq. 4)."""

    def __init__(self, plan: Plan, config: Any, label_counts: list[int], accelerator: Accelerator, precision: str):
        super().__init__(plan, config, label_counts, accelerator, precision)
        check_identity(plan, config)
        self.heads.to(self.device)
        self.opt_h = make_optimizer(self.heads, plan.optimizer.lr_g, plan.optimizer)

    def _more_networks(self) -> None:
        if self.config.directions != "AtoB" or not isinstance(self.G.G_A2B, ResnetGenerator):
            raise StudioError(
                "The contrastive objective learns one direction, with a ResNet.",
                'Set directions = "AtoB" and net = "resnet_9blocks" or "resnet_6blocks" in [network].',
            )
        self.heads = FeatureHeads(self.G.G_A2B.feature_channels)

    def state_dict(self) -> dict:
        """The networks with their optimisers, and the heads."""
        return {**super().state_dict(), "heads": self.heads.state_dict(), "opt_h": self.opt_h.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Return to a state that `state_dict` gave."""
        super().load_state_dict(state)
        self.heads.load_state_dict(state["heads"])
        self.opt_h.load_state_dict(state["opt_h"])

    def rows(self, batch: TranslationBatch) -> SheetRows:
        """Side A and its translation."""
        return [("A", batch.a), ("A->B", self.translated(batch.a))]

    def _generator_loss(self, batch: TranslationBatch, step: int, record: Record) -> tuple[torch.Tensor, Generated]:
        o = self.plan.objective
        fake = self.G(batch.a)
        loss = record("loss_g", self._adversarial_loss(self.D(fake, "B")))
        rng = generator(self.plan.seed, "patches", step, batch.index)
        nce = self._content_loss(batch.a, fake, rng)
        if o.lambda_identity > 0:
            nce = (nce + self._content_loss(batch.b, self.G(batch.b), rng)) / 2
        return loss + o.lambda_nce * record("nce", nce), {"B": fake}

    def _content_loss(self, x: torch.Tensor, y: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Mean over the layers of the contrast between x and its translation y (N, C, H, W)."""
        encode = self.G.G_A2B.features
        with torch.no_grad():
            before = encode(x)
            locations = [torch.randperm(m[0, 0].numel(), generator=rng)[:_PATCHES].to(self.device) for m in before]
            keys = self.heads(before, locations)
        queries = self.heads(encode(y), locations)
        return torch.stack([patch_nce(query, key) for query, key in zip(queries, keys, strict=True)]).mean()

    def _discriminator_loss(self, batch: TranslationBatch, fakes: Generated) -> torch.Tensor:
        return self.loss.d(self.D(batch.b, "B"), self.D(fakes["B"], "B")).mean()

    def _optimizers(self) -> list[tuple[torch.optim.Optimizer, float]]:
        return [*super()._optimizers(), (self.opt_h, self.plan.optimizer.lr_g)]

    def _update_generators(self) -> None:
        super()._update_generators()
        self._update(self.opt_h, self.heads)
