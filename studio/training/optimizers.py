"""Optimizers of a plan, made by name; `plan.OPTIMIZERS` are the names.

Nothing here is compiled, but torch's optimizers import the machinery of torch.compile when they are made and when they step: two
seconds in each process that trains. These do not.
"""

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import nn

from studio.training.plan import Optimizer

for _name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
    _plain = inspect.unwrap(getattr(torch.optim.Optimizer, _name))
    _plain.__dynamo_disable = _plain  # as torch notes that it has found out how to call it; it imports the machinery only for that


class _Adam(torch.optim.Adam):
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class _RMSprop(torch.optim.RMSprop):
    step = torch.no_grad()(inspect.unwrap(torch.optim.RMSprop.step))


Maker = Callable[[Iterable[nn.Parameter], float, Optimizer, float], torch.optim.Optimizer]

# (parameters, learning rate, settings of the plan, ratio of the lazy correction) -> optimizer.
_MAKERS: dict[str, Maker] = {
    "adam": lambda parameters, lr, o, ratio: _Adam(parameters, lr=lr * ratio, betas=(o.beta1**ratio, o.beta2**ratio), eps=1e-8),
    "rmsprop": lambda parameters, lr, o, ratio: _RMSprop(parameters, lr=lr, alpha=o.beta2, eps=1e-8),
}


def make_optimizer(module: nn.Module, lr: float, settings: Optimizer, lazy_interval: int = 0) -> torch.optim.Optimizer:
    """The optimizer of a plan over a network's parameters.

    lazy_interval: a lazy regularizer adds a step every so many, for which Adam's rate and decay are corrected (StyleGAN2, App. B);
    0 = there is none.
    """
    ratio = lazy_interval / (lazy_interval + 1) if lazy_interval else 1.0
    return _MAKERS[settings.kind](module.parameters(), lr, settings, ratio)
