"""Writes observations of the multimodal pendulum with the region of its state as classes.

A data set of one's own (docs/data.md) whose modalities are those of the control runs: a classifier
can be trained on the encoder of such a run.

    python tools/label_pendulum.py pendulum_regions.npz
    python -m mmrl.train task=classification data=file data.path=pendulum_regions.npz encoder=<run>

Classes are where the rod points (up, left, down, right: quarters of the circle) and which way it
turns: eight in all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import gymnasium
import numpy as np
from numpy.typing import NDArray

import mmrl_envs  # noqa: F401  (registers the environment)
from mmrl.data import collect
from mmrl.data.npz import write_npz

QUARTERS = ("up", "left", "down", "right")
TURNS = ("clockwise", "counter-clockwise")
RESTART_EVERY = 50


def regions(state: NDArray[np.floating]) -> NDArray[np.int64]:
    """Classes of states (samples, 2) of angle, 0 upright and counter-clockwise, and speed.

    Example:
        >>> regions(np.array([[0.1, 1.0], [np.pi / 2, 1.0], [np.pi, -1.0], [-np.pi / 2, -1.0]]))
        array([1, 3, 4, 6])
    """
    quarter = np.floor((state[:, 0] + np.pi / 4) / (np.pi / 2)).astype(np.int64) % len(QUARTERS)
    found: NDArray[np.int64] = quarter * len(TURNS) + (state[:, 1] > 0)
    return found


def main() -> None:
    """Collects under random actions, as control runs do, and writes the file."""
    parser = argparse.ArgumentParser(description="Label states of the pendulum.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    arrays = {"target_names": np.array([f"{q}, {t}" for q in QUARTERS for t in TURNS])}
    seeds = np.random.SeedSequence(options.seed).generate_state(2)
    for split, samples, seed in zip(
        ("train", "test"), (options.train, options.test), seeds, strict=True
    ):
        envs = gymnasium.make_vec("mmrl/MultimodalPendulum-v0", num_envs=50)
        data = collect(envs, samples, seed=int(seed), restart_every=RESTART_EVERY)
        envs.close()
        assert data.target is not None
        for modality in data.modalities:
            arrays[f"{split}/{modality.name}"] = data.values[modality.name][:]
            arrays[f"kinds/{modality.name}"] = np.array(modality.kind)
        arrays[f"{split}/target"] = regions(data.target)
    write_npz(options.target, arrays)


if __name__ == "__main__":
    main()
