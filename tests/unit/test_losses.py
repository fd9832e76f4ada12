import math

import pytest
import torch

from studio.errors import StudioError
from studio.training.losses import get_loss, path_lengths, r1_penalty


def test_non_saturating_by_hand():
    loss = get_loss("non_saturating")
    x = torch.tensor([[0.0], [2.0]])
    torch.testing.assert_close(loss.g(x), torch.tensor([[math.log(2)], [math.log(1 + math.exp(-2))]]))
    torch.testing.assert_close(loss.d_fake(x), torch.tensor([[math.log(2)], [math.log(1 + math.exp(2))]]))
    torch.testing.assert_close(loss.d_real(x), loss.g(x))


def test_r1_of_a_known_function():
    real = torch.randn(3, 2, 4, 4, requires_grad=True)
    a = torch.randn(2, 4, 4)
    logits = (real * a).sum(dim=[1, 2, 3]).unsqueeze(1) + (real**2).sum(dim=[1, 2, 3]).unsqueeze(1)
    expected = (a + 2 * real).square().sum(dim=[1, 2, 3])
    torch.testing.assert_close(r1_penalty(logits, real), expected)


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
