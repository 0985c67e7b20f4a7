"""Random streams of a run's seed."""

from __future__ import annotations

import numpy as np

# Numbers that keep apart the random streams of one run's seed; a classifier is no behaviour.
TRAINING_DATA, TEST_DATA, FITTING, POLICY, EPISODES, BEHAVIOUR, BELIEF = range(7)
CLASSIFIER = BEHAVIOUR


def stream(seed: int, use: int) -> int:
    """A seed of its own for each use of a run's seed."""
    return int(np.random.SeedSequence([seed, use]).generate_state(1)[0])
