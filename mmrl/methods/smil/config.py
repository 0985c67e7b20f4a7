"""Settings of SMIL: the paper's, its ablations, and its released code's."""

from __future__ import annotations

from dataclasses import dataclass

from mmrl.methods.smil.priors import KINDS_OF_PRIORS
from mmrl.methods.supervised import SupervisedConfig
from mmrl.nn.dropout import check_rates

CHOICES = {
    "priors": KINDS_OF_PRIORS,
    "weights": ("gaussian", "convex"),
    "operation": ("add", "multiply"),
    "noise": ("learned", "unit"),
    "outer": ("both", "complete", "reconstructed"),
}
NOT_NEGATIVE = ("test_samples", "pretrain_steps", "refresh_every", "inner_lr", "inner_weight")


@dataclass(frozen=True)
class SMILConfig(SupervisedConfig):
    """Settings of SMIL: the paper's, and other choices for ablations and for its released code.

    Two defaults add to algorithm 1, which hardly teaches what only incomplete samples show: `outer`
    and `inner_weight` (`method=smil_algorithm1` is the letter).

    Args:
        common_dim: Width to which encoder features are mapped; None takes them as they are (the
            paper's digits), which is too much for large images.
        clusters: Priors per modality (K).
        priors: `kmeans` or `pca` over the features of the samples that have the modality: the
            complete ones, where one modality alone may be missing as in the paper.
        weights: Weights of the priors: `gaussian`, N(1, sigma) with predicted sigma (eq. 2),
            divided by K so that guesses lie where features do; or `convex`, predicted, positive,
            with sum one (released code).
        regularize: Whether features are perturbed (eq. 3).
        operation: How: `add` or `multiply`.
        noise: Spread of the perturbation: `learned` (eq. 3) or `unit` (released code).
        meta: Whether the complete samples judge the weights after a step on the incomplete ones
            (eq. 4, algorithm 1), or as they are: the same terms of the same samples, without that
            step.
        outer: What judges them. The likelihood of algorithm 1 has the complete sample and its
            drawn weights of priors, which nothing reads while nothing is missing: `both` judges
            each complete sample as it is and with features guessed as if modalities were missing,
            `complete` only as it is, `reconstructed` only guessed (released code).
        inner_weight: Weight of the inner step's loss in the outer objective. Algorithm 1 by the
            letter has none (0), so that samples that lack something count for nothing but the place
            where the gradient is taken, and what is predicted from one modality is hardly trained;
            the released code has 1.
        inner_steps: Inner steps, on incomplete samples.
        inner_lr: Learning rate of the inner steps (alpha).
        first_order: Leaves the second derivatives out.
        samples: Monte-Carlo samples in training (eq. 7).
        test_samples: Monte-Carlo samples in evaluation, drawn once; 0 takes the means instead.
        reconstruction_weight: Weight of eq. 1, as squared error.
        kl_weight: Weight of the divergence in eq. 7 from N(1, 1) for weights of priors and N(0, 1)
            for perturbations; the paper writes 1 there, has none in algorithm 1, and leaves the
            priors of both unsaid. As a sum over hundreds of dimensions, 1 would drown the task.
        distillation_weight: Weight of the squared distance between the features of complete samples
            as they are and guessed, where `outer` has both at hand (released code).
        dropout: Before the last layer.
        pretrain_steps: Updates on available and complete samples without any of this, at whose end
            the priors are found.
        refresh_every: Updates after which the priors follow the encoders, which learn on; 0 holds
            them (paper and released code), and guesses then drift away from features: their
            `guess_r2` in the losses, below 0 where the mean of the features would be closer.

    Raises:
        ValueError: A value out of range, or an unknown choice.
    """

    common_dim: int | None = 128
    clusters: int = 10
    priors: str = "kmeans"
    weights: str = "gaussian"
    regularize: bool = True
    operation: str = "add"
    noise: str = "learned"
    meta: bool = True
    outer: str = "both"
    inner_weight: float = 1.0
    inner_steps: int = 1
    inner_lr: float = 1e-3
    first_order: bool = False
    samples: int = 1
    test_samples: int = 10
    reconstruction_weight: float = 1.0
    kl_weight: float = 1e-3
    distillation_weight: float = 0.01
    dropout: float = 0.5
    pretrain_steps: int = 500
    refresh_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rates(dropout=self.dropout)
        for setting, known in CHOICES.items():
            if (value := getattr(self, setting)) not in known:
                raise ValueError(f"{setting} is {value!r}; known: {', '.join(known)}")
        if min(self.clusters, self.inner_steps, self.samples) < 1:
            raise ValueError("clusters, inner_steps and samples must be at least 1")
        if self.common_dim is not None and self.common_dim < 1:
            raise ValueError(f"common_dim must be null or at least 1, got {self.common_dim}")
        for setting in NOT_NEGATIVE:
            if getattr(self, setting) < 0:
                raise ValueError(f"{setting} must not be negative, got {getattr(self, setting)}")
