"""`mmrl/HyperHot-v0`: a shooting game that is seen as an image and heard as waveforms.

A scenario of the family of GMC and MUSE ("Playing Games in the Dark", Silva et al., 2020,
https://arxiv.org/abs/1911.12851; https://arxiv.org/abs/2110.03608): discrete actions, and a sound
that tells where things are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from mmrl_envs.batched import BatchedEnv, BatchedTask, BatchedVectorEnv, Flags, Observation
from mmrl_envs.hyperhot import senses
from mmrl_envs.hyperhot.game import MOVES, TICKS_PER_SECOND, Game, Integers
from mmrl_envs.validation import check_integer, check_number

METADATA: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": TICKS_PER_SECOND}


class HyperHotTask(BatchedTask):
    """The game with the history of what was seen and heard.

    Args:
        count: Number of games.
        stack: Frames in one observation, at least 1, the oldest first; a start is repeated.
        episode_length: Ticks until the time is up, at least 1.
        frame_skip: Ticks per step, at least 1.
        hit_reward: For every enemy that is hit.
    """

    def __init__(
        self,
        count: int,
        stack: int,
        episode_length: int,
        frame_skip: int = 1,
        hit_reward: float = 0.0,
    ) -> None:
        check_integer("num_envs", count, 1)
        check_integer("frame_skip", frame_skip, 1)
        check_number("hit_reward", hit_reward)
        check_integer("stack", stack, 1)
        check_integer("episode_length", episode_length, 1)
        self.count = count
        self._frame_skip = frame_skip
        self._game = Game(count, episode_length, hit_reward)
        self._seen = np.zeros((count, stack, 2, senses.SPRITES), np.int64)
        self._heard = np.zeros((count, stack, senses.RECEIVERS, senses.LEVELS), np.float32)
        image = (stack, senses.IMAGE_SIZE, senses.IMAGE_SIZE)
        sound = (stack, senses.RECEIVERS, senses.SAMPLES)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, image, np.uint8),
                "sound": spaces.Box(-1.0, 1.0, sound, np.float32),
            }
        )
        self.action_space = spaces.Discrete(len(MOVES))

    def check_actions(self, actions: Any) -> Integers:
        """Return the actions as integers, (count,)."""
        values = np.asarray(actions)
        if values.shape != (self.count,) or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(
                f"actions must be {self.count} integers, one per environment, got {values.dtype} "
                f"of shape {values.shape}"
            )
        if ((values < 0) | (values >= len(MOVES))).any():
            raise ValueError(f"actions must be from 0 to {len(MOVES) - 1}, got {values.tolist()}")
        return values.astype(np.int64)

    def restart(self, rows: NDArray[np.intp], generators: Sequence[np.random.Generator]) -> None:
        """Start new games; their first frame fills the history."""
        self._game.restart(rows, generators)
        seen = senses.see(self._game)[rows]
        self._seen[rows] = seen[:, None]
        self._heard[rows] = senses.hear(seen)[:, None]

    def step(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], Flags, Flags]:
        """Play one step of every game."""
        result = self._game.play(actions, self._frame_skip)
        self._seen[:, :-1] = self._seen[:, 1:]
        self._heard[:, :-1] = self._heard[:, 1:]
        self._seen[:, -1] = seen = senses.see(self._game)
        self._heard[:, -1] = senses.hear(seen)
        return result

    def observe(self, rows: NDArray[np.intp]) -> Observation:
        """Return images and waveforms."""
        return {
            "image": senses.draw_images(self._seen[rows]),
            "sound": senses.play_waves(self._heard[rows]),
        }

    def infos(self) -> dict[str, NDArray[Any]]:
        """Return the number of enemies that are left."""
        return {"enemies": self._game.alive.sum(axis=1)}

    def draw(self, row: int) -> NDArray[np.uint8]:
        """Return the screen in colours."""
        from mmrl_envs.hyperhot.view import draw_view  # OpenCV loads only where frames are drawn

        return draw_view(self._game, row, self._heard[row, -1])


class HyperHotEnv(BatchedEnv):
    """Shoot four enemies before they hit the ship, and before 15 seconds are over.

    The screen has 160 x 210 pixels and 30 ticks per second. Actions (`Discrete`): nothing, left,
    right, shoot, shoot and left, shoot and right. One enemy shoots every 6 ticks unless 4 bullets
    are in flight. Reward: +10 for the last enemy (terminated), -1 for being hit (terminated), -1
    when the time is up (truncated), else 0. `info["enemies"]` counts those that are left.

    Observation (`Dict`): `image`, uint8 of 0 and 255, (stack, 80, 80): every second pixel of rows
    30 to 189. `sound`, float32 within [-1, 1], (stack, 4, 1047): what is heard in the lower left
    and lower right corner of the screen and on the left and right side of the ship. Enemies play
    square waves (do, do, mi, mi), so do their bullets (sol) and the ship's (la sharp), of amplitude
    exp(-0.025 r) at a distance of r pixels; a wave that would leave [-1, 1] is scaled to fit; the
    values are 16-bit samples at 44.1 kHz, divided by 32,767.

    The ship (24 x 8 pixels) moves by 5 pixels per tick and has one bullet in flight at a time, and
    so has each enemy (a disc of radius 8). Bullets (radius 3) move by 6 pixels and are gone outside
    of the screen; two that meet annihilate each other. The enemies stand in a row that goes to and
    fro by one pixel per tick. Things collide as the circles around their rectangles. Random are the
    start of the ship, the first direction of the row, and who shoots.

    It differs from the authors' environment in this: shooting alone does not go on moving; the ship
    starts and stays on the screen; a victory ends the game at once; the time limit truncates; and
    every wave begins anew with each frame, so that a frame depends on where things are and on
    nothing else (there it went on from an offset which differed by source and receiver).

    Args:
        stack: Frames in one observation, at least 1, the oldest first; the first one is repeated.
        episode_length: Ticks until the time is up, at least 1.
        frame_skip: Ticks per step, in which the action is repeated; at least 1. An observation has
            the last tick of each step. More make the game easier to learn.
        hit_reward: Reward for every enemy that is hit, besides those above; what a policy is
            trained with for a short time should have some, for victories are rare at first.
        render_mode: "rgb_array" or None.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range, or the render mode is another one.

    Example:
        >>> import gymnasium, mmrl_envs
        >>> env = gymnasium.make("mmrl/HyperHot-v0")
        >>> observation, info = env.reset(seed=0)
        >>> observation["image"].shape, observation["sound"].shape, info
        ((2, 80, 80), (2, 4, 1047), {'enemies': 4})
    """

    metadata = METADATA

    def __init__(
        self,
        *,
        stack: int = 2,
        episode_length: int = 450,
        frame_skip: int = 1,
        hit_reward: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        task = HyperHotTask(1, stack, episode_length, frame_skip, hit_reward)
        super().__init__(task, render_mode)
        self.metadata = {**self.metadata, "render_fps": _steps_per_second(frame_skip)}


class HyperHotVectorEnv(BatchedVectorEnv):
    """Many games of HyperHot, stepped as one batch; see :class:`HyperHotEnv`.

    Args:
        num_envs: Number of sub-environments.
        stack: Frames in one observation.
        episode_length: Ticks until the time is up.
        frame_skip: Ticks per step.
        hit_reward: For every enemy that is hit.
        autoreset_mode: See :class:`~mmrl_envs.batched.BatchedVectorEnv`, also for seeds.
        render_mode: "rgb_array" or None.

    Raises:
        TypeError: A setting has the wrong type.
        ValueError: A setting is out of range, or a mode is unknown.
    """

    metadata = METADATA

    def __init__(
        self,
        num_envs: int = 1,
        *,
        stack: int = 2,
        episode_length: int = 450,
        frame_skip: int = 1,
        hit_reward: float = 0.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
    ) -> None:
        task = HyperHotTask(num_envs, stack, episode_length, frame_skip, hit_reward)
        super().__init__(task, autoreset_mode, render_mode)
        self.metadata = {**self.metadata, "render_fps": _steps_per_second(frame_skip)}


def _steps_per_second(frame_skip: int) -> int:
    return max(1, round(TICKS_PER_SECOND / frame_skip))
