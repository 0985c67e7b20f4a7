"""Train a classifier on arrays of your own, some of which lack a modality, and score it.

Four states of a machine, told by a photo and by its vibration. Most vibrations of training were
never recorded. Put your arrays in their place: NaN anywhere in a sample of a modality means that
it is missing there.

    python examples/classify_your_own_arrays.py
"""

from pathlib import Path

import numpy as np
import torch

from mmrl import checkpoint
from mmrl.data import from_arrays
from mmrl.data.protocol import MissingnessProtocol
from mmrl.methods.fusion_baselines import ZeroFilling
from mmrl.methods.gmc.fused import GMCFused, GMCFusedConfig
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.metrics.scores import subset_scores
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

STATES = ("idle", "cutting", "drilling", "jammed")
MISSING = 0.7  # share of training samples without vibration
STEPS = 300
SEED = 0


def record(samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Photos (samples, 1, 16, 16) in bytes, vibrations (samples, 32, 2), and what they show."""
    state = rng.integers(0, len(STATES), samples)
    photo = rng.normal(90, 45, (samples, 1, 16, 16))
    photo[np.arange(samples), 0, 2 + 4 * state] += 26  # a faint line, at a height for each state
    time = np.linspace(0, 2 * np.pi, 32)
    phase = rng.uniform(0, 2 * np.pi, (samples, 1, 1))
    wave = np.sin((2 + 2 * state)[:, None, None] * time[None, :, None] + phase)
    vibration = wave + rng.normal(0, 0.5, (samples, 32, 2))
    return {"photo": photo.clip(0, 255).astype(np.uint8), "vibration": vibration, "target": state}


# 1. Arrays by split and modality, and what is missing in them.
torch.set_num_threads(1)
rng = np.random.default_rng(SEED)
splits = {"train": record(800, rng), "test": record(400, rng)}
splits["train"]["vibration"][rng.random(800) < MISSING] = np.nan
data = from_arrays(
    {f"{split}/{name}": array for split, own in splits.items() for name, array in own.items()}
    | {"target_names": np.array(STATES)},
    name="machine",
)
print(f"{len(data.train)} / {len(data.valid)} / {len(data.test)} samples in train / valid / test")
for modality, share in zip(data.modalities, data.train.available.mean(axis=0), strict=True):
    print(f"  {modality.name}: {modality.kind} {modality.shape}, in {share:.0%} of training")

# 2. Train. GMC with labels for few complete samples, and zeros in place of what is missing.
methods: dict[str, Supervised] = {
    "gmc_fused": GMCFused(data.modalities, GMCFusedConfig(outputs=data.outputs)),
    "zero_filling": ZeroFilling(data.modalities, SupervisedConfig(outputs=data.outputs)),
}
print(f"\n{methods['gmc_fused']}\n")
for name, method in methods.items():

    def validate(_: int, method: Supervised = method) -> float:
        """Accuracy on what each sample of validation has; the best weights are kept."""
        return subset_scores(method.predict, data.valid, only=[("photo", "vibration")])[0].value

    settings = FitConfig(steps=STEPS, lr=1e-3, validate_every=50)
    result = fit(method, data.train, settings, seed=SEED, validate=validate)
    print(f"{name}: best in validation after {result.best_step} of {result.steps} steps")

# 3. Score every subset of the modalities, and samples of which a third of all readings is missing.
drawn = MissingnessProtocol.make(test={"pattern": "bernoulli", "rate": 1 / 3}, seed=SEED).draw(data)
worn = drawn.apply(data)
print(f"\n{'accuracy':14}{'photo+vibration':>17}{'photo':>8}{'vibration':>11}{'1/3 missing':>13}")
for name, method in methods.items():
    found = {
        score.subset: score.value
        for score in subset_scores(method.predict, data.test)
        if score.metric == "accuracy"
    }
    third = subset_scores(method.predict, worn.test, only=[("photo", "vibration")])[0]
    print(
        f"{name:14}{found['photo+vibration']:17.3f}{found['photo']:8.3f}"
        f"{found['vibration']:11.3f}{third.value:13.3f}"
    )

# 4. Keep it, and ask it: a photo alone.
checkpoint.save(methods["gmc_fused"], Path("machine"))
loaded = checkpoint.load("machine")
assert isinstance(loaded, Supervised)
photo = torch.from_numpy(splits["test"]["photo"][:1])
with torch.inference_mode():
    probabilities = loaded.predict({"photo": photo, "vibration": None}).softmax(dim=1)[0]
print(f"\na photo of {STATES[splits['test']['target'][0]]}, by the photo alone:")
print("  " + ", ".join(f"{s} {p:.2f}" for s, p in zip(STATES, probabilities.tolist(), strict=True)))
