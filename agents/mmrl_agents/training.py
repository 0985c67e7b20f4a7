"""Training that shows how far it is and survives being killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from mmrl_agents.state import read_state, write_state


def train_agent(
    model: BaseAlgorithm,
    total_timesteps: int,
    *,
    folder: Path | None = None,
    every: int = 5_000,
    keep: Callable[[Path], None] | None = None,
    callbacks: Sequence[BaseCallback] = (),
    progress: bool = True,
) -> BaseAlgorithm:
    """Trains for so many environment steps in all, from where an earlier attempt stopped.

    Timesteps, optimizers, replay, schedules, noise and random streams are continued; episodes that
    were running when the state was saved start anew.

    Args:
        model: Fresh from `build_agent`.
        total_timesteps: Environment steps in all, earlier attempts included.
        folder: Where the state is kept, and looked for; None: not at all.
        every: Environment steps between two states that are kept.
        keep: Keeps in the folder, too, what the environments need to go on from a state.
        callbacks: More of Stable-Baselines3's.
        progress: Whether Stable-Baselines3 shows its bar with the time left.

    Raises:
        CheckpointError: The state in the folder does not fit the model.
        OSError: The disk is full; the state before is kept.
    """
    if folder is not None:
        read_state(model, folder)
    if model.num_timesteps >= total_timesteps:
        return model
    chosen = list(callbacks)
    if folder is not None:
        chosen.append(KeepState(folder, every, keep))
    told = CallbackList(chosen)
    model.learn(
        total_timesteps - model.num_timesteps,
        callback=told,
        tb_log_name="policy",
        reset_num_timesteps=model.num_timesteps == 0,
        progress_bar=progress,
    )
    told.locals.clear()  # callbacks would keep the replay buffer, whoever keeps one of them
    return model


class KeepState(BaseCallback):
    """Keeps the state of the training between two rollouts, when policy and buffers agree.

    Args:
        folder: Where.
        every: Environment steps between two states.
        keep: Called with the folder before each.
    """

    def __init__(
        self, folder: Path, every: int, keep: Callable[[Path], None] | None = None
    ) -> None:
        super().__init__()
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        self.folder = folder
        self.every = every
        self.keep = keep
        self._kept = 0

    def _on_training_start(self) -> None:
        self._kept = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps - self._kept >= self.every:
            if self.keep is not None:
                self.keep(self.folder)
            write_state(self.model, self.folder)
            self._kept = self.model.num_timesteps

    def _on_step(self) -> bool:
        return True
