"""The interface behind which every method stands, and the optimisation that its updates use."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from mmrl.modality import Batch, Modality, mark_missing
from mmrl.nn.encoder import ModalityEncoder
from mmrl.nn.standardize import CLIP, Standardize

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class MethodConfig:
    """Settings that every method has.

    Args:
        latent_dim: Size of the representation that `encode` returns.
        standardize: Whether inputs other than images are divided by their standard deviation and
            centred, per feature, with statistics of the training data that are stored with the
            weights.
        input_clip: Standard deviations from the mean at which standardised inputs are cut off;
            null for nowhere.

    Raises:
        ValueError: `input_clip` is not positive.
    """

    latent_dim: int = 64
    standardize: bool = True
    input_clip: float | None = CLIP

    def __post_init__(self) -> None:
        if self.input_clip is not None and not self.input_clip > 0:
            raise ValueError(f"input_clip must be positive or null, got {self.input_clip}")


@runtime_checkable
class Samples(Protocol):
    """The training data, for methods that look at more of it than one batch."""

    @property
    def available(self) -> NDArray[np.bool_]:
        """Mask (samples, modalities)."""

    def batch(self, rows: NDArray[np.intp]) -> Batch:
        """The samples at `rows`."""

    def readings(self, name: str) -> Iterable[Tensor]:
        """All values of a modality where it is there, some at a time (`Standardize.estimate`)."""


Vary = Callable[[Batch], Batch]
"""What the training loop does to a batch before a method sees it."""


class Optimization:
    """What an update needs from the training loop: losses, backward, clipping and a step.

    Args:
        fabric: Runs the backward pass at the configured precision and on all ranks.
        module: The method as Fabric wrapped it, so that distributed training sees every forward.
        optimizer: The optimiser over the method's parameters, as Fabric wrapped it.
        clip_norm: Gradients are scaled down to this norm; None leaves them.
        data: All that is trained on; None where the loop does not hand it out.
        vary: Random variations, for samples that a method draws from `data` to learn from.
    """

    def __init__(
        self,
        fabric: Fabric,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        clip_norm: float | None = None,
        data: Samples | None = None,
        vary: Vary | None = None,
    ) -> None:
        self.fabric = fabric
        self.module = module
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.data = data
        self.vary = vary

    def draw(self, rows: NDArray[np.intp]) -> Batch:
        """Samples of `data` as the training loop hands them out: on the device, and varied.

        Raises:
            RuntimeError: The loop does not hand out its data.
        """
        if self.data is None:
            raise RuntimeError("this training loop hands out no data: Optimization.data")
        batch = self.data.batch(rows).to(self.fabric.device)
        return batch if self.vary is None else self.vary(batch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """`Method.losses` at the configured precision and on all ranks."""
        # Fabric sees to the precision only where a strategy wraps the module.
        with self.autocast():
            return cast(Method, self.module).losses(batch)

    def minimize(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`."""
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        self.step()

    def autocast(self) -> AbstractContextManager[Any]:
        """The configured precision, for what an update computes outside of `losses`."""
        return self.fabric.autocast()

    def descend(self, gradients: Iterable[tuple[nn.Parameter, Tensor | None]]) -> None:
        """One step along gradients that the method made itself.

        They are averaged over the ranks; parameters without one stay where they are.

        Args:
            gradients: Parameters with their gradients, in the same order on every rank.
        """
        self.optimizer.zero_grad(set_to_none=True)
        for parameter, gradient in gradients:
            if self.fabric.world_size > 1:
                local = torch.zeros_like(parameter) if gradient is None else gradient
                gradient = self.fabric.all_reduce(local, reduce_op="mean")  # type: ignore[assignment]
            parameter.grad = gradient
        self.step()

    def step(self) -> None:
        """Clips the gradients that stand in the parameters and lets the optimiser use them."""
        for group in self.optimizer.param_groups:
            _match_layouts(group["params"])
        if self.clip_norm is not None:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.clip_norm)
        self.optimizer.step()


class Method(nn.Module, ABC):
    """A way to learn from several modalities, some of which may be missing.

    A subclass has a `name`, a frozen dataclass `Config`, and implements `_encode` and `losses`;
    one whose update is more than a gradient step overrides `update` as well.

    Args:
        modalities: What it sees, in the order of the columns of every mask.
        config: Its settings; the defaults where None.

    Raises:
        ValueError: There is no modality, or two have the same name.
    """

    name: ClassVar[str]
    Config: ClassVar[type[MethodConfig]]
    learns_from_incomplete: ClassVar[bool] = True
    """Whether training samples may lack modalities; if not, leave such samples out."""

    def __init__(self, modalities: Sequence[Modality], config: MethodConfig | None = None) -> None:
        super().__init__()
        names = [modality.name for modality in modalities]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"modalities must be at least one and differ in name, got {names}")
        self.modalities = tuple(modalities)
        self.config = self.Config() if config is None else config
        self.inputs = nn.ModuleDict(
            {m.name: Standardize(m, self.config.input_clip) for m in modalities}
        )
        self.optimization: Optimization | None = None

    @property
    def latent_dim(self) -> int:
        """Size of the representation that `encode` returns."""
        return self.config.latent_dim

    @property
    def representation(self) -> Method:
        """What others build on: this method, or the one whose encoding it predicts from."""
        return self

    @property
    def preparing_steps(self) -> int:
        """First updates, which only prepare the others: no weights before their end are kept."""
        return 0

    def check_training(
        self, available: Bool[NDArray[np.bool_], "samples modalities"], steps: int
    ) -> None:
        """Refuses, before any work, training from which the method could not learn.

        Args:
            available: The mask of the training data.
            steps: How many updates there will be.

        Raises:
            ValueError: The settings do not fit the data or the steps; the setting is named.
        """
        if self.preparing_steps and steps <= self.preparing_steps:
            raise ValueError(
                f"pretrain_steps={self.preparing_steps} leaves nothing of the {steps} steps of "
                "training: train longer, or set it lower"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in the order of the mask's columns."""
        return tuple(modality.name for modality in self.modalities)

    def encode(
        self,
        values: Mapping[str, Tensor | None],
        available: Bool[Tensor, "batch modalities"] | None = None,
    ) -> Float[Tensor, "batch latent"]:
        """Represents each sample by what is available of it.

        Args:
            values: Raw values by modality name, (batch, *modality.shape) each. Absent or None
                means missing in every sample; NaN or inf means missing in that sample.
            available: Mask; None means that all that is given is available.

        Returns:
            One vector per sample; zeros for a sample of which nothing is available.

        Raises:
            ValueError: Unknown modalities or shapes that do not fit.
            RuntimeError: It is being traced or exported.
        """
        if torch._C._get_tracing_state() is not None or torch.compiler.is_exporting():
            raise RuntimeError(
                "encode cannot be traced or exported: what it does depends on which modalities are "
                "there, and a recording would do the same whatever is missing"
            )
        return self.encode_marked(*mark_missing(values, available, self.modalities))

    def encode_marked(
        self, values: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        """`encode` where what is missing is decided already.

        Args:
            values: Clean values of every modality, as `mmrl.modality.mark_missing` returns them;
                zeros where the mask is false.
            available: The mask, completed.

        Returns:
            See `encode`.
        """
        latent = self._encode(self.scale(values), available)
        return latent * available.any(dim=1, keepdim=True)

    @abstractmethod
    def _encode(
        self, inputs: Mapping[str, Tensor], available: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch latent"]:
        """`encode` on clean, scaled inputs; rows without any modality may be anything finite."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms on a training batch; `"loss"` is what an update minimises."""

    def update(self, batch: Batch) -> dict[str, float]:
        """One optimisation step; returns the terms of the loss.

        Raises:
            RuntimeError: No training loop has attached its `optimization`.
        """
        optimization = self.attached()
        terms = optimization.losses(batch)
        optimization.minimize(terms["loss"])
        return {name: float(term.detach()) for name, term in terms.items()}

    def attached(self) -> Optimization:
        """The training loop's optimisation.

        Raises:
            RuntimeError: There is none.
        """
        if self.optimization is None:
            raise RuntimeError("update needs an optimization: train through mmrl.training.fit")
        return self.optimization

    def scale(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Raw values as network inputs: floating, images in [0, 1], the rest standardised."""
        return {name: self.inputs[name](value) for name, value in values.items()}

    def prepare(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Clean, scaled inputs and the completed mask of a training batch."""
        clean, available = mark_missing(batch.values, batch.available, self.modalities)
        return self.scale(clean), available

    def fit_inputs(self, data: Samples) -> None:
        """Estimates the scaling of the inputs from training data, where `standardize` is set."""
        if not self.config.standardize:
            return
        for modality in self.modalities:
            scaling = self.inputs[modality.name]
            assert isinstance(scaling, Standardize)
            if not scaling.is_fixed:
                scaling.estimate(data.readings(modality.name))

    def __str__(self) -> str:
        """Modalities, their networks, and numbers of parameters; `repr` has every layer.

        Example:
            >>> from mmrl.methods import METHODS
            >>> print(METHODS["gmc"]([Modality("touch", (6,), "vector")]))
            gmc: 10 numbers from any of touch; 21,938 parameters
              touch: vector (6,)
                unimodal.touch: VectorEncoder, 6,164 parameters
                joint.encoders.touch: VectorEncoder, 2,900 parameters
              all the rest: 12,874 parameters
        """
        rest, names = _size(self), ", ".join(self.names)
        lines = [f"{self.name}: {self.latent_dim} numbers from any of {names}; {rest:,} parameters"]
        for modality in self.modalities:
            lines.append(f"  {modality.name}: {modality.kind} {modality.shape}")
            for path, network in self._networks_of(modality.name):
                lines.append(f"    {path}: {_kind(network)}, {_size(network):,} parameters")
                rest -= _size(network)
        return "\n".join([*lines, f"  all the rest: {rest:,} parameters"])

    def _networks_of(self, name: str) -> list[tuple[str, nn.Module]]:
        """What is kept under a modality's name, the scaling of its values left out."""
        return [
            (path, module)
            for path, module in self.named_modules()
            if path.endswith(f".{name}") and not isinstance(module, Standardize)
        ]

    def describe(self) -> dict[str, Any]:
        """What is needed, beside the weights, to build this method again (plain data)."""
        return {
            "method": self.name,
            "modalities": [asdict(m) | {"shape": list(m.shape)} for m in self.modalities],
            "config": _plain(asdict(self.config)),
        }

    @classmethod
    def from_description(
        cls, modalities: Sequence[Mapping[str, Any]], config: Mapping[str, Any]
    ) -> Method:
        """Builds the method that `describe` described, with fresh weights.

        Raises:
            ValueError: A setting that this method does not have, or a modality that is malformed.
        """
        known = [field.name for field in fields(cls.Config)]
        if unknown := sorted(set(config) - set(known)):
            raise ValueError(f"method {cls.name!r} has no setting {unknown}; known: {known}")
        settings = {key: _tuples(value) for key, value in config.items()}
        channels = [Modality.from_plain(m) for m in modalities]
        return cls(channels, cls.Config(**settings))


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _kind(module: nn.Module) -> str:
    """The class of the modality encoder in a network, or else of the network."""
    found = (part for part in module.modules() if isinstance(part, ModalityEncoder))
    return type(next(found, module)).__name__


@torch.no_grad()
def _match_layouts(parameters: Iterable[nn.Parameter]) -> None:
    """Fused optimisers read gradients and parameters side by side, whatever their memory format."""
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and gradient.stride() != parameter.stride():
            parameter.grad = torch.empty_like(parameter).copy_(gradient)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
