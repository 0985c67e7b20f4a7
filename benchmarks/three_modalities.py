"""Subsets of three modalities: the ways in which GMC encodes incomplete samples, side by side.

Each is pretrained without labels on the digits that ship with the package (image, sound, pen
trajectory); a classifier is trained on what complete samples are encoded to and scored on every
subset.

    OMP_NUM_THREADS=1 python benchmarks/three_modalities.py --seeds 0 1 2 --out benchmarks/results
"""

from __future__ import annotations

import argparse
import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmrl.data import ArrayData, load
from mmrl.methods.gmc.method import GMC, INCOMPLETE, GMCConfig
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit


@torch.inference_mode()
def encode(method: GMC, data: ArrayData, seen: tuple[str, ...]) -> Tensor:
    """Representations of all samples from the modalities that are seen."""
    parts = np.array_split(np.arange(len(data)), max(1, len(data) // 256))
    batches = (data.batch(rows).values for rows in parts)
    return torch.cat([method.encode({n: v[n] for n in seen}) for v in batches]).clone()


def classifier(latents: Tensor, target: Tensor, seed: int) -> nn.Module:
    """GMC's downstream classifier: 64-256-128-10, ReLU, Adam 1e-3, batch 64."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(latents.shape[1], 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(50 * len(latents) // 64):
        rows = torch.randint(len(latents), (64,))
        loss = nn.functional.cross_entropy(net(latents[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


def accuracies(incomplete: str, seed: int, steps: int) -> dict[str, float]:
    """Test accuracy by subset of modalities."""
    data = load("digits")
    torch.manual_seed(seed)
    config = GMCConfig(
        latent_dim=64,
        head=(512, 512),
        temperature=0.1,
        encoders={"image": {"channels": (64, 128)}},
        incomplete=incomplete,
    )
    method = GMC(data.modalities, config)
    fit(method, data.train, FitConfig(steps=steps, batch_size=64, lr=1e-3), seed=seed)
    names = method.names
    assert data.train.target is not None
    assert data.test.target is not None
    target = torch.from_numpy(data.train.target).long()
    net = classifier(encode(method, data.train, names), target, seed)
    truth = torch.from_numpy(data.test.target).long()
    subsets = [s for size in (1, 2, 3) for s in combinations(names, size)]
    with torch.inference_mode():
        return {
            "+".join(s): float(
                (net(encode(method, data.test, s)).argmax(1) == truth).float().mean()
            )
            for s in subsets
        }


def main() -> None:
    """Prints and writes the accuracies of all ways over seeds."""
    parser = argparse.ArgumentParser(description="GMC on subsets of three modalities")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for incomplete in INCOMPLETE:
        found = [accuracies(incomplete, seed, arguments.steps) for seed in arguments.seeds]
        for subset in found[0]:
            values = [scores[subset] for scores in found]
            rows.append(
                {
                    "incomplete": incomplete,
                    "subset": subset,
                    "accuracy": round(float(np.mean(values)), 4),
                    "std": round(float(np.std(values)), 4),
                    "seeds": len(values),
                }
            )
            print("  ".join(str(value) for value in rows[-1].values()), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "three_modalities.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
