"""A predictor on a frozen encoder, trained on complete samples only (GMC's protocol on MHD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmrl.methods.method import Method, MethodConfig, Samples
from mmrl.methods.supervised import Supervised, SupervisedConfig
from mmrl.modality import Modality


@dataclass(frozen=True)
class DownstreamConfig(SupervisedConfig):
    """Settings of `Downstream`; the defaults are GMC's for MHD.

    Args:
        encoder: Name of the method that encodes.
        encoder_config: Its settings; `latent_dim`, `standardize` and `encoders` here mean nothing.
        hidden: Widths of the predictor.
        finetune: Whether the encoder learns as well, instead of staying as it is.
    """

    encoder: str = "gmc"
    encoder_config: dict[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = (256, 128)
    finetune: bool = False


class Downstream(Supervised):
    """A multilayer perceptron on the representations of another method, frozen unless `finetune`.

    It learns from complete samples alone; what it predicts for others shows how well the encoder
    represents a sample by whatever is left of it.

    Raises:
        ValueError: `config.encoder` is no method.
    """

    name: ClassVar[str] = "downstream"
    Config: ClassVar[type[MethodConfig]] = DownstreamConfig
    learns_from_incomplete: ClassVar[bool] = False
    config: DownstreamConfig

    def __init__(
        self, modalities: Sequence[Modality], config: DownstreamConfig | None = None
    ) -> None:
        super().__init__(modalities, config)
        from mmrl.methods import METHODS  # this module is one of them

        if self.config.encoder not in METHODS or self.config.encoder == self.name:
            raise ValueError(
                f"encoder is {self.config.encoder!r}; known: {sorted(set(METHODS) - {self.name})}"
            )
        described = [asdict(m) for m in self.modalities]
        method = METHODS[self.config.encoder]
        self.encoder = method.from_description(described, self.config.encoder_config)
        self.encoder.requires_grad_(self.config.finetune)
        # The encoder scales its inputs itself.
        self.inputs = nn.ModuleDict()
        layers: list[nn.Module] = []
        width = self.encoder.latent_dim
        for hidden in self.config.hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU()]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, self.outputs))
        self.train(self.training)

    @classmethod
    def on(cls, encoder: Method, **settings: Any) -> Downstream:
        """A fresh predictor on a copy of a trained encoder.

        Args:
            encoder: What represents samples.
            settings: Settings of `DownstreamConfig`, without the encoder's.
        """
        described = encoder.describe()
        config = DownstreamConfig(
            encoder=encoder.name, encoder_config=described["config"], **settings
        )
        method = cls(encoder.modalities, config)
        method.encoder.load_state_dict(encoder.state_dict())
        return method

    @property
    def representation(self) -> Method:
        """The encoder."""
        return self.encoder

    @property
    def latent_dim(self) -> int:
        """Size of the encoder's representation."""
        return self.encoder.latent_dim

    def train(self, mode: bool = True) -> Downstream:
        """As every module, but an encoder that does not learn always evaluates."""
        super().train(mode)
        self.encoder.train(mode and self.config.finetune)
        return self

    def scale(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As the encoder scales its inputs."""
        return self.encoder.scale(values)

    def fit_inputs(self, data: Samples) -> None:
        """Nothing: the encoder's scaling was fixed when it was trained."""

    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        with torch.set_grad_enabled(self.config.finetune and torch.is_grad_enabled()):
            return self.encoder._encode(inputs, available)

    def _predict(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch outputs"]:
        prediction: Tensor = self.layers(self._encode(inputs, available))
        return prediction

    def terms(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"], y: Tensor
    ) -> dict[str, Tensor]:
        """The task's loss on the complete samples."""
        rows = available.all(dim=1)
        complete = {name: x[rows] for name, x in inputs.items()}
        return {"task": self.task_loss(self._predict(complete, available[rows]), y[rows])}
