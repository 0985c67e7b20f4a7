"""Quality of the representation against CPU seconds: the default recipe beside the paper's.

Both train the same network on the multimodal pendulum, in turn in one process on one thread. At
each checkpoint a probe is trained on joint representations only and reads cosine and sine of the
angle and the angular velocity off joint, image-only and sound-only representations of the same
test states, which cover the whole circle. Time spent in probes is not counted.

    python benchmarks/pretraining.py --seconds 240 --out benchmarks/results
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import matplotlib as mpl
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

import mmrl_envs  # noqa: F401
from mmrl.control.config import from_mapping
from mmrl.data import ArrayData, collect
from mmrl.defaults import store_defaults
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.metrics.probes import Probe, probe_targets
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

mpl.use("agg")
import matplotlib.pyplot as plt

ENV = "mmrl/MultimodalPendulum-v0"
READ = ("cos", "sin", "velocity")
VIEWS = ("image+sound", "image", "sound")


@dataclass(frozen=True)
class Recipe:
    """Data, settings and schedule of a pretraining."""

    n_envs: int
    restart_every: int | None
    method: GMCConfig
    fit: FitConfig


def recipes() -> dict[str, Recipe]:
    """The paper's recipe (as its code has it) and that of the default run."""
    store_defaults()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = to_plain(compose("train"))
    settings.pop("resume")
    default = from_mapping(settings)
    assert isinstance(default.method_settings, GMCConfig)
    paper_fit = FitConfig(
        steps=None, epochs=500, batch_size=128, lr=1e-3, schedule="constant", channels_last=False
    )
    collected = default.collect
    return {
        "paper": Recipe(1, None, GMCConfig(standardize=False), paper_fit),
        "default": Recipe(
            collected.n_envs, collected.restart_every, default.method_settings, default.fit
        ),
    }


class BudgetSpentError(Exception):
    """The recipe has had its CPU seconds."""


class Curve:
    """Probes a method whenever it has trained for so many CPU seconds.

    Args:
        recipe: Name in the rows.
        method: What is trained.
        data: Observations for the probe's training.
        test: Observations that are probed.
        marks: CPU seconds at which it is probed; the training ends at the last.
    """

    def __init__(
        self, recipe: str, method: GMC, data: ArrayData, test: ArrayData, marks: list[float]
    ) -> None:
        self.recipe, self.method, self.data, self.test = recipe, method, data, test
        self.marks = marks
        self.rows: list[dict[str, float | str]] = []
        self.trained = 0.0
        self.resumed = time.process_time()

    def __call__(self, step: int, _: Mapping[str, float]) -> None:
        """After every training step."""
        spent = self.trained + time.process_time() - self.resumed
        if self.marks and spent >= self.marks[0]:
            self.marks = [mark for mark in self.marks if mark > spent]
            self.trained = spent
            self.probe(step)
            self.resumed = time.process_time()
            if not self.marks:
                raise BudgetSpentError

    def probe(self, step: int) -> None:
        """Adds a row with the R² of every view and output."""
        was_training = self.method.training
        self.method.eval()
        probe = Probe(self.encode(self.data, VIEWS[0]), targets(self.data))
        row: dict[str, float | str] = {
            "recipe": self.recipe,
            "cpu_seconds": round(self.trained, 1),
            "step": step,
        }
        for view in VIEWS:
            scores = probe.r2(self.encode(self.test, view), targets(self.test))
            row |= {
                f"{view}/{name}": round(float(r2), 4) for name, r2 in zip(READ, scores, strict=True)
            }
        self.rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        self.method.train(was_training)

    @torch.inference_mode()
    def encode(self, data: ArrayData, view: str) -> torch.Tensor:
        """Representations of the first 4,000 samples from the sensors in `view`."""
        rows = np.array_split(np.arange(min(len(data), 4000)), 16)
        seen = view.split("+")
        batches = (data.batch(part).values for part in rows)
        return torch.cat([self.method.encode({n: v[n] for n in seen}) for v in batches]).clone()


def targets(data: ArrayData) -> NDArray[np.float64]:
    """Cosine, sine, angular velocity of the first 4,000 samples."""
    assert data.target is not None
    return probe_targets(data.target[:4000], angles=[0])


def measure(
    name: str, recipe: Recipe, marks: list[float], seed: int
) -> list[dict[str, float | str]]:
    """Trains one recipe for its CPU seconds, and probes it on the way."""
    data = collect(
        gym.make_vec(ENV, num_envs=recipe.n_envs),
        20_000,
        seed=seed,
        restart_every=recipe.restart_every,
    )
    test = collect(gym.make_vec(ENV, num_envs=64), 4_000, seed=seed + 10_000, restart_every=25)
    torch.manual_seed(seed)
    method = GMC(data.modalities, recipe.method)
    curve = Curve(name, method, data, test, list(marks))
    try:
        result = fit(method, data, recipe.fit, seed=seed, on_step=curve)
    except BudgetSpentError:
        return curve.rows
    curve.trained += time.process_time() - curve.resumed
    curve.probe(result.steps)
    return curve.rows


def plot(rows: list[dict[str, float | str]], marks: list[float], path: Path) -> None:
    """Worst R² over angle and velocity of each view against CPU seconds."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
    for ax, view in zip(axes, VIEWS, strict=True):
        for name, colour in (("paper", "#888888"), ("default", "#0072b2")):
            mine = [row for row in rows if row["recipe"] == name]
            seconds = [float(row["cpu_seconds"]) for row in mine]
            for read, style in (("velocity", "--"), ("cos", ":"), ("sin", "-")):
                scores = [float(row[f"{view}/{read}"]) for row in mine]
                ax.plot(
                    seconds, scores, style, color=colour, marker="o", ms=3, label=f"{name}: {read}"
                )
        ax.axhline(0.97, color="k", lw=0.5)
        ax.set(
            title=f"probed on {view}",
            xlabel="CPU seconds of training",
            xscale="log",
            xticks=marks,
            xticklabels=[f"{mark:g}" for mark in marks],
            ylim=(0.5, 1.005),
        )
        ax.minorticks_off()
    axes[0].set_ylabel("R² of the probe")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measures both recipes and writes a table and a plot."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=240.0, help="CPU seconds of each recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    marks = [arguments.seconds / 2**k for k in range(4, -1, -1)]
    rows = [
        row
        for name, recipe in recipes().items()
        for row in measure(name, recipe, marks, arguments.seed)
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "pretraining.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, marks, arguments.out / "pretraining.png")


if __name__ == "__main__":
    main()
