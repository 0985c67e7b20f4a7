"""Settings of a belief."""

from __future__ import annotations

from dataclasses import dataclass

GRU, NO_BELIEF = "gru", "none"
COUNTS = (
    "total_timesteps",
    "rounds",
    "n_envs",
    "updates",
    "batch_size",
    "window",
    "hidden",
)
HEADS = ("auto", "estimate", "action")


@dataclass(frozen=True)
class BeliefConfig:
    """How a belief learns to stand in for sensors that are missing.

    Args:
        name: `gru`: a gated recurrent unit that estimates what the policy would see; `none`: the
            policy acts on what is there.
        total_timesteps: Environment steps of the roll-outs, all environments together.
        rounds: Parts in which they are made; the belief learns between them, and acts in more of
            each one than of the one before.
        n_envs: Environments that are stepped at once.
        updates: Optimisation steps.
        batch_size: Windows per update.
        window: Steps of a window.
        hidden: Width of the recurrent state.
        learning_rate: Step size of Adam; it stays for half of the updates, then falls to zero.
        head: What acts while the policy lacks something. `estimate`: the policy, on estimates of
            what is missing; `action`: a network of the belief that learned the policy's actions;
            `auto`: at each step the one whose error is expected to be smaller.
        noise: Range of the standard deviations of Gaussian noise on half of the roll-outs' actions,
            as shares of the actions' range around its middle; of discrete actions: the share that
            is replaced by random ones.

    Raises:
        ValueError: An unknown name, or a number out of range.
    """

    name: str = NO_BELIEF
    total_timesteps: int = 40_000
    rounds: int = 8
    n_envs: int = 10
    updates: int = 2_500
    batch_size: int = 16
    window: int = 32
    hidden: int = 128
    learning_rate: float = 1e-3
    head: str = "auto"
    noise: tuple[float, ...] = (0.05, 0.4)

    def __post_init__(self) -> None:
        for setting, known in (("name", (GRU, NO_BELIEF)), ("head", HEADS)):
            if (value := getattr(self, setting)) not in known:
                raise ValueError(f"{setting} is {value!r}; known: {', '.join(known)}")
        for setting in COUNTS:
            if getattr(self, setting) < 1:
                raise ValueError(f"{setting} must be at least 1, got {getattr(self, setting)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if len(self.noise) != 2 or not 0 <= self.noise[0] <= self.noise[1]:
            raise ValueError(
                f"noise must be two numbers, the smaller first, not negative; got {self.noise}"
            )
        if self.steps < self.window:
            raise ValueError(
                f"total_timesteps={self.total_timesteps} in {self.rounds} rounds of {self.n_envs} "
                f"environments are {self.steps} steps each, fewer than a window of {self.window}"
            )

    @property
    def steps(self) -> int:
        """Steps of each environment in a round."""
        return self.total_timesteps // (self.rounds * self.n_envs)
