import itertools

import numpy as np
import pytest

from studio.errors import StudioError
from studio.latents.channels import channel_features, check_channels, chosen_channels, clusters_of


def no_clusters(count):
    raise AssertionError("no cluster was named")


def test_choices_of_channels():
    assert chosen_channels("all", 10, no_clusters) is None
    assert chosen_channels("2-4", 10, no_clusters).tolist() == [2, 3, 4]
    assert chosen_channels("8-99", 10, no_clusters).tolist() == [8, 9]
    assert chosen_channels("0-0", 10, no_clusters).tolist() == [0]
    labels = np.array([1, 0, 2, 1])
    assert chosen_channels("cluster:1:4", 4, lambda count: labels if count == 4 else None).tolist() == [0, 3]
    assert [clusters_of(text) for text in ("all", "cluster:1:8", "random:30:5")] == [None, 8, None]
    with pytest.raises(StudioError, match="10 channels"):
        chosen_channels("10-12", 10, no_clusters)


def test_a_random_share_grows_without_losing_a_channel():
    shares = [set(chosen_channels(f"random:{percent}:7", 40, no_clusters).tolist()) for percent in (1, 25, 50, 100)]
    assert [len(share) for share in shares] == [1, 10, 20, 40]
    assert all(a < b for a, b in itertools.pairwise(shares))
    assert chosen_channels("random:25:8", 40, no_clusters).tolist() != sorted(shares[1])


@pytest.mark.parametrize(
    "text",
    [None, 3, "", "none", "3", "4-2", "-1-2", "0-100000", "random:0:1", "random:101:1", "random:5", "random:5:4294967296", "cluster:4:4",
     "cluster:0:7", "cluster:0:32", "cluster:-1:4", "all ", "٣-٤", "0-7\n", "0-7" * 10**6],
)  # fmt: skip
def test_other_choices_are_refused(text):
    with pytest.raises(StudioError) as e:
        check_channels(text)
    assert e.value.hint
    assert len(str(e.value)) < 500


def test_channels_are_compared_by_where_they_are_strong():
    maps = np.random.default_rng(3).normal(size=(4, 6, 5, 5))
    maps[:, 3] = 7 * maps[:, 0] + 2
    maps[:, 4] = 1.5
    rows = channel_features(maps)
    assert rows.shape == (6, 100)
    np.testing.assert_allclose(rows[3], rows[0])
    np.testing.assert_allclose((rows**2).sum(axis=1), [1, 1, 1, 1, 0, 1])
