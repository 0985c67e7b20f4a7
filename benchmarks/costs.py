"""What methods cost: parameters, a training step of batch 64 and the encoding of one sample.

    python benchmarks/costs.py            # all methods, on avmnist
    python benchmarks/costs.py smil gmc

Medians of CPU time on one thread; default settings of each method's class.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from mmrl.data import DataSet, load
from mmrl.methods import METHODS, Method
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

STEPS = 40
REPEATS = 50


def step_ms(method: Method, data: DataSet) -> float:
    """Time of a step of the training loop, the first ones left out."""
    marks: list[float] = []
    settings = FitConfig(steps=STEPS, lr=1e-3)
    fit(method, data.train, settings, seed=0, on_step=lambda *_: marks.append(time.process_time()))
    return 1e3 * float(np.median(np.diff(marks)[5:]))


def encode_ms(method: Method, data: DataSet) -> float:
    """Time of encoding one complete sample."""
    batch = data.test.batch(np.arange(1))
    times = []
    with torch.inference_mode():
        for _ in range(REPEATS):
            start = time.process_time()
            method.encode(batch.values, batch.available)
            times.append(time.process_time() - start)
    return 1e3 * float(np.median(times))


def main() -> None:
    """Prints a row for each method."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    own = [name for name in METHODS if name != "downstream"]
    parser.add_argument("methods", nargs="*", metavar="method", help=", ".join(own))
    torch.set_num_threads(1)
    data = load("avmnist")
    print("| method | parameters | training step | encoding |\n|---|---|---|---|")
    for name in parser.parse_args().methods or own:
        torch.manual_seed(0)
        method = METHODS[name](data.modalities)
        size = sum(parameter.numel() for parameter in method.parameters())
        step, one = step_ms(method, data), encode_ms(method, data)
        print(f"| `{name}` | {size:,} | {step:.0f} ms | {one:.1f} ms |", flush=True)


if __name__ == "__main__":
    main()
