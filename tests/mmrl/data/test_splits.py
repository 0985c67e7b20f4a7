"""Validation splits keep the shares of classes and labels."""

import numpy as np
import pytest

from mmrl.data import DataError
from mmrl.data.splits import split_off


def labels(samples: int = 400, seed: int = 0) -> np.ndarray:
    """Labels of very different frequency, of which the rare ones come together."""
    rng = np.random.default_rng(seed)
    found: np.ndarray = rng.random((samples, 6)) < [0.5, 0.3, 0.1, 0.05, 0.0, 0.0]
    found[:20, 4] = True
    found[10:30, 5] = True
    found[-40:] = False
    return found


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_every_label_keeps_its_share(share: float) -> None:
    target = labels()
    worst = []
    for seed in range(5):
        stay, go = split_off(target, share, np.random.default_rng(seed))
        assert sorted([*stay.tolist(), *go.tolist()]) == list(range(400))
        assert abs(len(go) - share * 400) <= 6
        worst.append(np.abs(target[go].sum(axis=0) - share * target.sum(axis=0)).max())
        # Samples without a label are dealt out as well.
        assert abs((~target[go]).all(axis=1).sum() - share * (~target).all(axis=1).sum()) <= 8
    assert max(worst) <= 3
    # Among others, the rarest label is no matter of luck.
    assert (
        len(
            {
                int(target[split_off(target, 0.5, np.random.default_rng(s))[1], 4].sum())
                for s in range(10)
            }
        )
        <= 2
    )


def test_the_split_of_labels_depends_on_the_seed() -> None:
    target = labels()
    first, again, other = (split_off(target, 0.2, np.random.default_rng(s))[1] for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nothing_left_on_one_side_is_refused() -> None:
    with pytest.raises(DataError, match="2 samples cannot be split"):
        split_off(np.ones((2, 3), bool), 0.01, np.random.default_rng(0))
    with pytest.raises(DataError, match=r"must be in \(0, 1\), got 0"):
        split_off(labels(), 0.0, np.random.default_rng(0))
