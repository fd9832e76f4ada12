import subprocess
import sys

import pytest
import torch
from torch import nn

from studio.training.optimizers import _MAKERS, make_optimizer
from studio.training.plan import OPTIMIZERS, Optimizer
from tests.conftest import ROOT


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


@pytest.mark.parametrize(("kind", "known"), [("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)])
def test_they_step_as_torchs_own_to_the_bit(kind, known):
    settings = Optimizer(kind=kind, beta1=0.5, beta2=0.9)
    networks = []
    for own in (True, False):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
        moving = {"betas": (0.5, 0.9)} if kind == "adam" else {"alpha": 0.9}
        optimizer = make_optimizer(network, 0.01, settings) if own else known(network.parameters(), lr=0.01, eps=1e-8, **moving)
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
        networks.append(network)
    for a, b in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(a, b)


def test_they_do_not_import_the_compiler():
    """This says so when torch calls its optimizers otherwise: trainings then begin two seconds later, no more."""
    program = """
import sys
from torch import nn
import torch
from studio.training.optimizers import make_optimizer
from studio.training.plan import Optimizer

for kind in ("adam", "rmsprop"):
    network = nn.Linear(2, 1)
    optimizer = make_optimizer(network, 0.1, Optimizer(kind=kind))
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
