"""The contract of methods as tests: whoever brings a method of their own can check it.

Example:
    >>> from mmrl.methods.fusion_baselines import ConcatFusion
    >>> from mmrl.modality import Modality
    >>> sensors = [Modality("near", (3,), "vector"), Modality("far", (4,), "vector")]
    >>> check_method(lambda: ConcatFusion(sensors))
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor

from mmrl import checkpoint
from mmrl.data.arrays import ArrayData
from mmrl.methods.method import Method, Optimization
from mmrl.methods.supervised import Supervised
from mmrl.modality import Batch, Modality
from mmrl.training.processes import started_by

TOLERANCE = 1e-4
STAND_INS = (float("nan"), float("inf"), float("-inf"), 3e38, -1e31)
"""What drivers and files have where there is no reading."""


@dataclass(frozen=True)
class Subject:
    """What a law is checked on.

    Attributes:
        build: Makes the method, fresh.
        data: Samples that it can learn from.
        updates: Optimisation steps after which the loss must have fallen.
        lr: Learning rate of the optimisation steps.
        batch_size: Batch size of the optimisation steps.
        device: Where the method runs.
    """

    build: Callable[[], Method]
    data: ArrayData
    updates: int = 30
    lr: float = 3e-3
    batch_size: int = 16
    device: str = "cpu"

    def batch(self, start: int = 0) -> Batch:
        """The batch whose first sample is the given one."""
        rows = np.arange(start, start + self.batch_size) % len(self.data)
        return self.data.batch(rows).to(self.device)

    def fresh(self) -> Method:
        """An untrained method, the same at every call, its input scaling estimated."""
        torch.manual_seed(0)
        method = self.build()
        method.fit_inputs(self.data)
        return method.to(self.device)

    def trained(self, updates: int | None = None) -> Method:
        """A method after some updates, in evaluation mode."""
        method = self.fresh()
        with optimization(method, self.data, self.lr):
            for step in range(self.updates if updates is None else updates):
                method.update(self.batch(step * self.batch_size))
        return method


@contextmanager
def optimization(method: Method, data: ArrayData, lr: float = 1e-3) -> Iterator[Optimization]:
    """Lends a method what its updates need, as `mmrl.training.fit` does; afterwards it evaluates.

    Args:
        method: Put into training mode meanwhile.
        data: What it trains on.
        lr: Learning rate of Adam.
    """
    device = next(method.parameters()).device
    accelerator = "cuda" if device.type == "cuda" else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=1, plugins=started_by())
    adam = torch.optim.Adam(method.parameters(), lr=lr, fused=True)
    module, wrapped = fabric.setup(method, adam, move_to_device=False)
    module.mark_forward_method("losses")
    method.optimization = Optimization(fabric, module, wrapped, data=data)
    method.train()
    try:
        yield method.optimization
    finally:
        method.optimization = None
        method.eval()


def made_data(
    modalities: Sequence[Modality],
    *,
    outputs: int = 3,
    task: str = "classification",
    samples: int = 48,
    missing: float = 0.0,
    seed: int = 0,
) -> ArrayData:
    """Samples of random prototypes, one per class, plus noise: easy to learn from each modality.

    Args:
        modalities: What is made.
        outputs: Classes, labels, or regression targets.
        task: `classification`, `labels` or `regression`.
        samples: How many.
        missing: Share of missing values in the mask; a modality of each sample stays. What stands
            in missing places looks like a reading.
        seed: Seed of everything.
    """
    rng = np.random.default_rng(seed)
    kind = np.arange(samples) % max(2, outputs)
    values = {}
    for modality in modalities:
        prototypes = rng.uniform(0, 1, (max(2, outputs), *modality.shape))
        x = prototypes[kind] + 0.1 * rng.normal(size=(samples, *modality.shape))
        is_image = modality.kind == "image"
        values[modality.name] = (
            (255 * x.clip(0, 1)).astype(np.uint8) if is_image else x.astype(np.float32)
        )
    available = rng.random((samples, len(modalities))) >= missing
    available[np.arange(samples), np.arange(samples) % len(modalities)] = True
    target: NDArray[Any] = kind.astype(np.int64)
    if task == "labels":  # each is true of half of the prototypes
        kinds = max(2, outputs)
        target = ((kind[:, None] - np.arange(outputs)) % kinds) < kinds // 2
    if task == "regression":
        target = rng.normal(size=(max(2, outputs), outputs)).astype(np.float32)[kind]
    return ArrayData(values, modalities, available, target)


def any_subset_is_enough(subject: Subject) -> None:
    """Every non-empty subset of modalities gives finite results; no modality gives zeros."""
    method, batch = subject.trained(2), subject.batch()
    names = method.names
    for size in range(1, len(names) + 1):
        for subset in itertools.combinations(names, size):
            values = {name: batch.values[name] for name in subset}
            for what, y in _results(method, values, None).items():
                assert bool(torch.isfinite(y).all()), f"{what} of {subset} alone is not finite"
    nothing = torch.zeros_like(batch.available)
    for what, y in _results(method, batch.values, nothing).items():
        assert not bool(y.any()), f"{what} of samples without any modality must be zeros"


def an_empty_batch_gives_an_empty_result(subject: Subject) -> None:
    """No samples at all give results of no rows."""
    method, batch = subject.trained(2), subject.batch()
    values = {name: x[:0] for name, x in batch.values.items()}
    for available in (None, batch.available[:0]):
        try:
            _results(method, values, available)
        except (RuntimeError, ValueError, IndexError, ZeroDivisionError) as error:
            raise AssertionError(f"an empty batch is refused: {error}") from error


def samples_do_not_mix(subject: Subject) -> None:
    """Each sample of a batch with different subsets gets what it gets alone, in any order."""
    method, batch = subject.trained(2), subject.batch()
    mask = _every_pattern(batch.available)
    together = _results(method, batch.values, mask)
    order = torch.arange(len(batch), device=mask.device).flip(0)
    flipped = _results(method, {n: x[order] for n, x in batch.values.items()}, mask[order])
    for what, y in together.items():
        _same(y[order], flipped[what], f"{what} depends on the order of the batch")
    for i in range(len(batch)):
        alone = _results(
            method, {n: x[i : i + 1] for n, x in batch.values.items()}, mask[i : i + 1]
        )
        for what, y in together.items():
            _same(y[i : i + 1], alone[what], f"{what} of a sample depends on its neighbours")


def missing_values_never_matter(subject: Subject) -> None:
    """What stands in place of a missing modality changes neither results nor training."""
    batch = subject.batch()
    mask = _every_pattern(batch.available)
    method = subject.trained(2)
    reference = _results(method, batch.values, mask)
    for filling in ("noise", "nan", "inf"):
        values = _fill(batch.values, mask, method.modalities, filling)
        for what, y in _results(method, values, mask).items():
            _same(y, reference[what], f"{what} changes when missing values are {filling}")
    if method.learns_from_incomplete:
        _training_ignores_missing_values(subject, mask)


def _training_ignores_missing_values(subject: Subject, mask: Tensor) -> None:
    batch = subject.batch()
    weights = []
    for filling in ("nothing", "noise", "nan"):
        method = subject.trained(2)
        values = _fill(batch.values, mask, method.modalities, filling)
        with optimization(method, subject.data, subject.lr):
            torch.manual_seed(1)
            method.update(Batch(values, mask, batch.target))
        weights.append(method.state_dict())
    for key, value in weights[0].items():
        for other in weights[1:]:
            _same(value.float(), other[key].float(), f"missing values entered the update of {key}")


def missing_numbers_never_matter(subject: Subject) -> None:
    """What stands for a missing number of a reading changes neither results nor training, a bit."""
    batch = subject.batch()
    gaps = _gaps(batch)
    filled = [_with(batch, gaps, stand_in) for stand_in in STAND_INS]
    method = subject.trained(2)
    reference = _results(method, filled[0], batch.available)
    for values in filled[1:]:
        for what, y in _results(method, values, batch.available).items():
            assert torch.equal(y, reference[what]), f"{what} shows what stands for missing numbers"
    weights = []
    for values in filled:
        method = subject.trained(2)
        with optimization(method, subject.data, subject.lr):
            torch.manual_seed(1)
            method.update(Batch(values, batch.available, batch.target))
        weights.append(method.state_dict())
    for key, value in weights[0].items():
        for other in weights[1:]:
            assert torch.equal(value, other[key]), f"missing numbers entered the update of {key}"


def _gaps(batch: Batch) -> dict[str, Tensor]:
    """A fifth of the numbers, of which none of a reading are all, where readings have floats."""
    generator = torch.Generator().manual_seed(3)
    gaps = {}
    for name, x in batch.values.items():
        if x.is_floating_point() and x[0].numel() > 1:
            gap = torch.rand(x.shape, generator=generator) < 0.2
            gap.flatten(1)[:, 0] = False
            gaps[name] = gap.to(x.device)
    return gaps


def _with(batch: Batch, gaps: dict[str, Tensor], stand_in: float) -> dict[str, Tensor]:
    return batch.values | {n: batch.values[n].masked_fill(gap, stand_in) for n, gap in gaps.items()}


def saving_is_the_identity(subject: Subject) -> None:
    """A saved and loaded method gives the same results."""
    method, batch = subject.trained(2), subject.batch()
    mask = _every_pattern(batch.available)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(method, folder)
        loaded = checkpoint.load(folder, device=subject.device)
    assert loaded.describe() == method.describe(), "the description changed on its way to the file"
    reference = _results(method, batch.values, mask)
    for what, y in _results(loaded, batch.values, mask).items():
        assert torch.equal(y, reference[what]), f"{what} changed by saving and loading"


def evaluation_is_deterministic(subject: Subject) -> None:
    """The same samples give the same results, whatever was drawn before."""
    method, batch = subject.trained(2), subject.batch()
    mask = _every_pattern(batch.available)
    first = _results(method, batch.values, mask)
    torch.manual_seed(1234)
    for what, y in _results(method, batch.values, mask).items():
        assert torch.equal(y, first[what]), f"{what} differs between two calls"


def updates_lower_the_loss(subject: Subject) -> None:
    """A few updates on the data make the loss fall and every term finite."""
    losses = []
    for updates in (2, subject.updates):
        method = subject.trained(updates)
        torch.manual_seed(0)
        with torch.no_grad():
            terms = method.losses(subject.batch())
        assert all(bool(torch.isfinite(term)) for term in terms.values()), f"not finite: {terms}"
        losses.append(float(terms["loss"]))
    assert losses[1] < losses[0], f"{subject.updates} updates raised the loss: {losses}"


def training_reaches_every_parameter(subject: Subject) -> None:
    """No parameter that can be trained stays where it was."""
    before = {key: p.detach().clone() for key, p in subject.fresh().named_parameters()}
    after = subject.trained()
    trainable = {key: p for key, p in after.named_parameters() if p.requires_grad}
    idle = [key for key, p in trainable.items() if torch.equal(p, before[key])]
    assert not idle, f"training never reaches {idle}"


LAWS: tuple[Callable[[Subject], None], ...] = (
    any_subset_is_enough,
    an_empty_batch_gives_an_empty_result,
    samples_do_not_mix,
    missing_values_never_matter,
    missing_numbers_never_matter,
    saving_is_the_identity,
    evaluation_is_deterministic,
    updates_lower_the_loss,
    training_reaches_every_parameter,
)
"""What every method obeys; each raises AssertionError with a sentence if it is broken."""


def check_method(
    build: Callable[[], Method],
    data: ArrayData | None = None,
    *,
    updates: int = 30,
    device: str = "cpu",
) -> None:
    """Checks a method against every law.

    Args:
        build: Makes the method; small networks make this quick. For `saving_is_the_identity` the
            method must be in `mmrl.methods.METHODS`.
        data: Samples that it can learn from; None makes some that fit.
        updates: Optimisation steps after which the loss must have fallen.
        device: Where the method runs.

    Raises:
        AssertionError: A law is broken; the message says which.
    """
    subject = Subject(
        build, fitting_data(build()) if data is None else data, updates, device=device
    )
    for law in LAWS:
        law(subject)


def fitting_data(method: Method, samples: int = 48) -> ArrayData:
    """Made samples of a method's modalities, with targets and gaps where it can take them."""
    missing = 0.3 if method.learns_from_incomplete else 0.0
    if isinstance(method, Supervised):
        outputs, task = method.outputs, method.config.task
        return made_data(
            method.modalities, outputs=outputs, task=task, samples=samples, missing=missing
        )
    return made_data(method.modalities, samples=samples, missing=missing)


def _results(
    method: Method, values: dict[str, Tensor], available: Tensor | None
) -> dict[str, Tensor]:
    method.eval()
    with torch.no_grad():
        results = {"encode": method.encode(values, available)}
        if isinstance(method, Supervised):
            results["predict"] = method.predict(values, available)
    widths = {"encode": method.latent_dim}
    if isinstance(method, Supervised):
        widths["predict"] = method.outputs
    batch = len(next(iter(values.values())))
    for what, y in results.items():
        expected = (batch, widths[what])
        assert tuple(y.shape) == expected, f"{what} has shape {tuple(y.shape)}, not {expected}"
    return results


def _every_pattern(available: Tensor) -> Tensor:
    batch, modalities = available.shape
    number = torch.arange(batch, device=available.device) % (2**modalities - 1) + 1
    return torch.stack([number >> i & 1 for i in range(modalities)], dim=1).bool()


def _fill(
    values: dict[str, Tensor], mask: Tensor, modalities: Sequence[Modality], filling: str
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    filled = {}
    for i, modality in enumerate(modalities):
        x = values[modality.name].clone()
        missing = ~mask[:, i]
        if x.dtype == torch.uint8:
            if filling != "nothing":
                x[missing] = 255 - x[missing]
        elif filling == "noise":
            noise = torch.randn(x[missing].shape, generator=generator)
            x[missing] = 1e3 * noise.to(x.device)
        elif filling != "nothing":
            x[missing] = float(filling)
        filled[modality.name] = x
    return filled


def _same(a: Tensor, b: Tensor, sentence: str) -> None:
    difference = float((a - b).abs().max()) if a.numel() else 0.0
    scale = 1.0 + float(a.abs().max()) if a.numel() else 1.0
    assert difference <= TOLERANCE * scale, f"{sentence} (by {difference:.2g})"
