import pytest
import torch
from torch import nn

from studio.training.optimizers import _MAKERS, make_optimizer
from studio.training.plan import OPTIMIZERS, Optimizer


def test_every_name_of_a_plan_has_its_optimizer():
    assert tuple(_MAKERS) == OPTIMIZERS
    for name in OPTIMIZERS:
        assert isinstance(make_optimizer(nn.Linear(2, 2), 0.1, Optimizer(kind=name)), torch.optim.Optimizer)


def test_adam_with_a_lazy_regularizer_every_16_steps_is_corrected():
    adam = make_optimizer(nn.Linear(2, 2), 0.002, Optimizer(beta1=0.0, beta2=0.99), 16)
    ratio = 16 / 17  # StyleGAN2, App. B
    assert adam.defaults["lr"] == pytest.approx(0.002 * ratio)
    assert adam.defaults["betas"] == pytest.approx((0.0**ratio, 0.99**ratio))
    plain = make_optimizer(nn.Linear(2, 2), 0.002, Optimizer(beta1=0.5, beta2=0.99))
    assert plain.defaults["betas"] == (0.5, 0.99)
    assert plain.defaults["lr"] == 0.002
