import numpy as np

from studio.common.k_means import k_means


def test_k_means_finds_groups_that_are_there():
    rng = np.random.default_rng(1)
    truth = rng.permutation(np.repeat([0, 1, 2], [30, 20, 10]))
    centres = rng.normal(size=(3, 12)) * 10
    labels = k_means(centres[truth] + rng.normal(size=(60, 12)), 3, seed=4)
    assert labels.tolist() == truth.tolist(), "the largest is number 0"
    assert np.array_equal(k_means(centres[truth], 3, seed=4), k_means(centres[truth], 3, seed=4))


def test_k_means_ends_where_no_row_is_nearer_to_another_centre():
    rows = np.random.default_rng(2).normal(size=(50, 4))
    labels = k_means(rows, 5)
    centres = np.stack([rows[labels == k].mean(axis=0) for k in range(5)])
    nearest = ((rows[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(nearest, labels)
    assert np.array_equal(np.sort(np.bincount(labels))[::-1], np.bincount(labels))


def test_k_means_of_few_or_equal_rows():
    assert k_means(np.zeros((3, 2)), 8).tolist() == [0, 1, 2]
    assert set(k_means(np.zeros((30, 2)), 4)) == {0}
