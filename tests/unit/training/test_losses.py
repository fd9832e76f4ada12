import math

import pytest
import torch
from torch import nn

from studio.errors import StudioError
from studio.training.losses import (
    LOSSES,
    add_spectral_norm,
    clip_weights,
    get_loss,
    gradient_penalty,
    gradient_power,
    orthogonal_penalty,
    path_lengths,
)

REAL, FAKE = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [-3.0]])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def log_sigmoid(x):
    return math.log(sigmoid(x))


# For each loss: the discriminator's and the generator's numbers for the two pairs, worked out from the papers' formulas.
BY_HAND = {
    "minimax": (
        [-math.log(sigmoid(2)) - math.log(1 - sigmoid(0.5)), -math.log(sigmoid(-1)) - math.log(1 - sigmoid(-3))],
        [math.log(1 - sigmoid(0.5)), math.log(1 - sigmoid(-3))],
    ),
    "non_saturating": (
        [-math.log(sigmoid(2)) - math.log(1 - sigmoid(0.5)), -math.log(sigmoid(-1)) - math.log(1 - sigmoid(-3))],
        [-math.log(sigmoid(0.5)), -math.log(sigmoid(-3))],
    ),
    "wasserstein": ([0.5 - 2, -3 + 1], [-0.5, 3]),
    "least_squares": ([0.5 * (1 + 0.25), 0.5 * (4 + 9)], [0.5 * 0.25, 0.5 * 16]),
    "hinge": ([0 + 1.5, 2 + 0], [-0.5, 3]),
    "relativistic": ([-log_sigmoid(1.5), -log_sigmoid(2)], [-log_sigmoid(-1.5), -log_sigmoid(-2)]),
    # Means: real 0.5, fake -1.25.
    "relativistic_average": (
        [-log_sigmoid(3.25) - log_sigmoid(0), -log_sigmoid(0.25) - log_sigmoid(3.5)],
        [-log_sigmoid(0) - log_sigmoid(-3.25), -log_sigmoid(-3.5) - log_sigmoid(-0.25)],
    ),
}


def test_every_loss_by_hand():
    assert set(BY_HAND) == set(LOSSES)
    for name, (d, g) in BY_HAND.items():
        loss = get_loss(name)
        if name == "relativistic_average":
            # The two halves of a pair's number come from different pictures: compare the sums.
            torch.testing.assert_close(loss.d(REAL, FAKE).sum(), torch.tensor(sum(d)))
            torch.testing.assert_close(loss.g(FAKE, REAL).sum(), torch.tensor(sum(g)))
            continue
        torch.testing.assert_close(loss.d(REAL, FAKE).flatten(), torch.tensor(d, dtype=torch.float32))
        torch.testing.assert_close(loss.g(FAKE, REAL).flatten(), torch.tensor(g, dtype=torch.float32))


@pytest.mark.parametrize("name", LOSSES)
def test_slopes_agree_with_differences_and_pull_the_right_way(name):
    loss = get_loss(name)
    real, fake = (t.double().requires_grad_(True) for t in (REAL + 0.1, FAKE + 0.3))
    assert torch.autograd.gradcheck(lambda r, f: loss.d(r, f).sum(), (real, fake))
    assert torch.autograd.gradcheck(lambda f, r: loss.g(f, r).sum(), (fake, real))
    d_real, d_fake = torch.autograd.grad(loss.d(real, fake).mean(), (real, fake))
    (g_fake,) = torch.autograd.grad(loss.g(fake, real).mean(), (fake,))
    if name != "least_squares":  # which pulls back what overshoots its target
        assert (d_real <= 0).all(), "real logits are pushed up"
        assert (g_fake < 0).all(), "the generator pushes its logits up"
    assert (d_fake[0] >= 0).all(), "logits of what was made are pushed down"


def test_the_losses_for_overshooting_differ():
    """Far on the right side: least squares pulls back, hinge rests, minimax leaves the generator without a slope."""
    far = torch.tensor([[-20.0]], requires_grad=True)
    slope = {n: torch.autograd.grad(get_loss(n).g(far, REAL[:1]).sum(), far)[0].item() for n in ("minimax", "non_saturating")}
    assert abs(slope["minimax"]) < 1e-6
    assert slope["non_saturating"] == pytest.approx(-1)


def test_gradient_power_of_a_known_function():
    real = torch.randn(3, 2, 4, 4, requires_grad=True)
    a = torch.randn(2, 4, 4)
    logits = (real * a).sum(dim=[1, 2, 3]).unsqueeze(1) + (real**2).sum(dim=[1, 2, 3]).unsqueeze(1)
    expected = (a + 2 * real).square().sum(dim=[1, 2, 3])
    torch.testing.assert_close(gradient_power(logits, real), expected)


def test_gradient_penalty_of_a_plane_and_where_it_looks():
    a = torch.randn(2, 3, 3)
    seen = []

    def critic(x):
        seen.append(x.detach())
        return (x * a).sum(dim=[1, 2, 3]).unsqueeze(1)

    real, fake = torch.ones(5, 2, 3, 3), torch.zeros(5, 2, 3, 3)
    got = gradient_penalty(critic, real, fake, torch.Generator().manual_seed(0))
    torch.testing.assert_close(got, torch.full((5,), (float(a.norm()) - 1) ** 2))
    points = torch.rand(5, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(seen[0], points.expand(5, 2, 3, 3))
    flat = gradient_penalty(lambda x: (x * 0).sum(dim=[1, 2, 3]).unsqueeze(1), real, fake)
    torch.testing.assert_close(flat, torch.ones(5), atol=1e-5, rtol=0)


def test_gradient_penalty_trains_the_critic():
    critic = nn.Linear(4, 1)
    real, fake = torch.randn(8, 1, 2, 2), torch.randn(8, 1, 2, 2)
    optimizer = torch.optim.Adam(critic.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        gradient_penalty(lambda x: critic(x.flatten(1)), real, fake).mean().backward()
        optimizer.step()
    assert critic.weight.norm().item() == pytest.approx(1, abs=0.02)


def test_clipping():
    critic = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    nn.init.constant_(critic[0].weight, 5)
    nn.init.constant_(critic[1].bias, -0.005)
    clip_weights(critic, 0.01)
    assert all(p.abs().max() <= 0.01 for p in critic.parameters())
    assert critic[0].weight.unique().item() == pytest.approx(0.01)
    assert critic[1].bias.item() == pytest.approx(-0.005)


def test_spectral_norm_bounds_every_layer_of_any_network():
    torch.manual_seed(0)
    critic = add_spectral_norm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(8 * 36, 1)))
    for _ in range(50):  # power iterations
        critic(torch.randn(2, 3, 8, 8))
    for layer in (critic[0], critic[3]):
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    keys = set(critic.state_dict())
    assert add_spectral_norm(critic).state_dict().keys() == keys  # a second time changes nothing


def test_orthogonal_penalty_by_hand():
    layer = nn.Linear(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]))
    # Inner products of different rows: 0, 3 and 2; each counts twice.
    assert orthogonal_penalty(layer).item() == pytest.approx(2 * (9 + 4))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, -5.0]]))
    assert orthogonal_penalty(layer).item() == 0
    assert orthogonal_penalty(nn.ModuleDict({"mapping": nn.ModuleDict({"embed": nn.Linear(9, 9)})})).item() == 0  # left out


def test_path_length_of_a_linear_generator():
    """For x = A w the length is |A^T y|, with the very noise that the generator draws."""
    a = torch.randn(2 * 4 * 4, 5)
    ws = torch.randn(3, 1, 5, requires_grad=True)
    images = (ws[:, 0] @ a.T).reshape(3, 2, 4, 4)
    got = path_lengths(images, ws, torch.Generator().manual_seed(1))
    y = torch.randn(images.shape, generator=torch.Generator().manual_seed(1)) / 4
    torch.testing.assert_close(got, (y.flatten(1) @ a).norm(dim=1))


def test_unknown_loss():
    with pytest.raises(StudioError, match="no loss called 'what'"):
        get_loss("what")
