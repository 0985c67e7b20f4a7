from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mmrl_agents.belief.masks import draw_masks
from mmrl_envs.faults import make_faults

NAMES = ("camera", "position", "velocity")


def drawn(seed: int = 0, windows: int = 4000, own: Sequence[Mapping[str, Any]] = ()) -> np.ndarray:
    return draw_masks(40, windows, NAMES, np.random.default_rng(seed), make_faults(own))


def test_all_kinds_of_outages_occur() -> None:
    masks = drawn()
    constant = (masks == masks[:1]).all(axis=(0, 2))
    complete = masks.all(axis=(0, 2))
    nothing = ~masks.any(axis=(0, 2))
    assert 0.12 < complete.mean() < 0.30
    assert 0.03 < nothing.mean() < 0.10
    assert 0.40 < constant.mean() < 0.70
    changes = (masks[1:] != masks[:-1]).sum(axis=0).max(axis=1)
    assert (changes > 12).mean() > 0.08, "at random steps"
    assert ((changes > 0) & (changes < 6)).mean() > 0.1, "bursts"


def test_every_subset_of_sensors_occurs_for_a_whole_window() -> None:
    masks = drawn()
    constant = (masks == masks[:1]).all(axis=(0, 2))
    assert len(np.unique(masks[0, constant], axis=0)) == 2 ** len(NAMES)


def test_masks_are_drawn_anew_and_reproducibly() -> None:
    np.testing.assert_array_equal(drawn(0), drawn(0))
    assert (drawn(0) != drawn(1)).any()


def test_the_run_s_own_faults_befall_a_fifth_of_the_windows() -> None:
    own = ({"pattern": "intervals", "intervals": [[7, 9]], "channels": ["camera"]},)
    masks = drawn(own=own)
    expected = np.ones((40, 3), np.bool_)
    expected[7:9, 0] = False
    share = (masks == expected[:, None]).all(axis=(0, 2)).mean()
    assert share == pytest.approx(0.2, abs=0.03)


def test_faults_that_are_not_announced_leave_no_trace_in_the_mask() -> None:
    own = ({"pattern": "fixed", "mechanism": "freeze"},)
    assert drawn(own=own).all(axis=(0, 2)).mean() > 0.25
