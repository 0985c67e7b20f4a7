"""Settings of DiCMoR: the paper's, ablations, and its released code's."""

from __future__ import annotations

from dataclasses import dataclass

from mmrl.methods.supervised import SupervisedConfig
from mmrl.nn.dropout import check_rates

CONDITIONS = ("flow", "prior", "none")
FLOWS = ("glow", "coupling")


@dataclass(frozen=True)
class DiCMoRConfig(SupervisedConfig):
    """Settings of DiCMoR; sizes are the paper's for CMU-MOSI.

    Args:
        latent_dim: Dimension of the representation; where it is not the width of the fused
            features, modalities x (modalities - 1) x width, a linear map follows them.
        width: Features per step (d).
        steps: To which sequences are pooled, so that one modality's can become another's; None:
            the shortest of the sequences, or 4 where there is none.
        kernel: Kernel size of the convolution over a sequence.
        heads: Number of heads of the fusion's attention.
        layers: Number of layers of the fusion's encoders.
        attention_dropout: Dropout rate of the fusion's attention.
        embedding_dropout: Dropout rate of the fusion's inputs.
        output_dropout: Dropout rate before the prediction.
        encoders: Options of the modality encoders by modality name. A sequence without an entry is
            convolved, as in the paper, whose sequences are features of networks already; raw
            sensors want an encoder of their own.
        readout: What the fusion reads off its memories: the `last` step (the paper), or the `mean`,
            which few training samples of raw sensors need.
        flow: `glow`, or (released code) `coupling` layers alone.
        couplings: Steps of each flow.
        hidden: Width of the couplings' networks.
        condition: What depends on the class: the `flow`, whose last, class-specific affine map
            each modality has for itself, and whose class is inferred from what is available; only
            the `prior`, one for all modalities (released code); or `none` (ablation, and what
            several labels per sample want: each set of them would be a class).
        class_range: Regression has the classes -class_range .. class_range: rounded targets.
        refiner_blocks: Number of blocks of the networks that refine recovered features; 0 leaves
            them out.
        density_weight: Weight of the flows' loss, in bits per dimension.
        floor_density: Whether that loss stops at zero (released code).
        reconstruction_weight: Weight of the squared error of recovered features.
        hide_rate: Share of available modalities that training hides, at least one stays: before
            recovery begins, so that the fusion knows samples that lack something; then, to tell
            how well what is hidden is recovered.
        no_ground_truth: Whether values under a false mask are never looked at. False (released
            code) takes them as targets and for the flows: only where data hold the true values.
        pretrain_steps: Updates without recovery, after which the features that the flows model are
            held fixed; 0: features go on changing.

    Raises:
        ValueError: A value out of range, or an unknown choice.
    """

    latent_dim: int = 192
    width: int = 32
    steps: int | None = None
    kernel: int = 5
    heads: int = 8
    layers: int = 4
    attention_dropout: float = 0.2
    embedding_dropout: float = 0.2
    output_dropout: float = 0.5
    readout: str = "last"
    flow: str = "glow"
    couplings: int = 32
    hidden: int = 64
    condition: str = "flow"
    class_range: int = 3
    refiner_blocks: int = 20
    density_weight: float = 0.1
    floor_density: bool = False
    reconstruction_weight: float = 0.1
    hide_rate: float = 0.5
    no_ground_truth: bool = True
    pretrain_steps: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(
            attention_dropout=self.attention_dropout,
            embedding_dropout=self.embedding_dropout,
            output_dropout=self.output_dropout,
        )
        if self.flow not in FLOWS:
            raise ValueError(f"flow is {self.flow!r}; known: {', '.join(FLOWS)}")
        if self.condition not in CONDITIONS:
            raise ValueError(f"condition is {self.condition!r}; known: {', '.join(CONDITIONS)}")
        if self.task == "labels" and self.condition != "none":
            raise ValueError(
                f"condition is {self.condition!r}, and several labels per sample are no class that "
                "flows could know: set condition=none (method=dicmor_no_classes)"
            )
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be null or at least 1, got {self.steps}")
        if not 0 <= self.hide_rate < 1:
            raise ValueError(f"hide_rate must be in [0, 1), got {self.hide_rate}")
        if min(self.refiner_blocks, self.pretrain_steps) < 0 or self.class_range < 1:
            raise ValueError(
                "refiner_blocks and pretrain_steps must not be negative, class_range positive"
            )
