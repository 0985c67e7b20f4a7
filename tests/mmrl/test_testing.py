"""The contract kit notices methods that break the contract."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmrl import testing
from mmrl.methods.fusion_baselines import SumFusion
from mmrl.methods.supervised import SupervisedConfig
from mmrl.modality import Batch, Modality

MODALITIES = [Modality("a", (3,), "vector"), Modality("b", (2,), "vector")]
CONFIG = SupervisedConfig(latent_dim=4, outputs=3)


class Sound(SumFusion):
    """Obeys; its faulty relatives below each break one law."""

    def __init__(self) -> None:
        super().__init__(MODALITIES, CONFIG)


class NeedsBoth(Sound):
    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        mask = available.all(dim=1, keepdim=True)
        return super()._encode(inputs, available) / mask.float().clamp(min=0)


class Mixes(Sound):
    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        z = super()._encode(inputs, available)
        return z - z.mean(dim=0)


class Divides(Sound):
    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        z = super()._encode(inputs, available)
        return z.view(-1, len(z), z.shape[1])[0]


class Peeks(Sound):
    def encode(
        self, values: Mapping[str, Tensor | None], available: Tensor | None = None
    ) -> Tensor:
        z = super().encode(values, available)
        b = values.get("b")
        return z if b is None or available is None else z + b.sum(dim=1, keepdim=True) * 0.01


class Forgets(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.rand(4)

    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        return super()._encode(inputs, available) + self.offset


class Gambles(Sound):
    def _encode(self, inputs: Mapping[str, Tensor], available: Tensor) -> Tensor:
        z = super()._encode(inputs, available)
        return z + torch.rand_like(z)


class Climbs(Sound):
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        terms = super().losses(batch)
        factor = -1.0 if self.training else 1.0
        return {name: factor * term for name, term in terms.items()}


class Idles(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("method", "law", "message"),
    [
        (NeedsBoth, testing.any_subset_is_enough, "alone is not finite"),
        (Divides, testing.an_empty_batch_gives_an_empty_result, "an empty batch is refused"),
        (Mixes, testing.samples_do_not_mix, "of a sample depends on its neighbours"),
        (Peeks, testing.missing_values_never_matter, "changes when missing values are"),
        (Forgets, testing.saving_is_the_identity, "changed by saving and loading"),
        (Gambles, testing.evaluation_is_deterministic, "differs between two calls"),
        (Climbs, testing.updates_lower_the_loss, "updates raised the loss"),
        (Idles, testing.training_reaches_every_parameter, r"never reaches \['unused.weight'"),
    ],
)
def test_each_law_notices_who_breaks_it(
    monkeypatch: pytest.MonkeyPatch,
    method: Callable[[], SumFusion],
    law: Callable[[testing.Subject], None],
    message: str,
) -> None:
    def rebuilt(cls: type, modalities: object, config: object) -> SumFusion:
        return method()

    data = testing.fitting_data(method())
    law(testing.Subject(Sound, data, updates=5))
    monkeypatch.setattr(SumFusion, "from_description", classmethod(rebuilt))
    with pytest.raises(AssertionError, match=message):
        law(testing.Subject(method, data, updates=5))


def test_check_method_checks_all() -> None:
    with pytest.raises(AssertionError, match="depends on"):
        testing.check_method(Mixes, updates=5)


def test_made_data_leaves_a_modality_and_is_seeded() -> None:
    data = testing.made_data(MODALITIES, samples=200, missing=0.6, seed=3)
    again = testing.made_data(MODALITIES, samples=200, missing=0.6, seed=3)
    assert data.available.any(axis=1).all()
    assert 0.15 < 1 - data.available.mean() < 0.45
    np.testing.assert_array_equal(data.values["a"][:], again.values["a"][:])
