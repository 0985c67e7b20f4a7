"""HyperHot as a game of integers, played in many rows at once.

The screen is 160 pixels wide and 210 high, x to the right and y downwards; all positions are
centres. Time goes in ticks, 30 per second. Sizes, speeds and rules are those of the authors'
environment (https://github.com/miguelsvasco/multimodal-atari-games) but for what
`mmrl_envs.hyperhot.env` lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WIDTH, HEIGHT = 160, 210
TICKS_PER_SECOND = 30
ENEMIES = 4
FIRE_TICKS = 6

SHIP_SIZE: Final = (24, 8)
ENEMY_RADIUS, BULLET_RADIUS = 8, 3
SHIP_Y, ENEMY_Y = 184, 40
SHIP_LEFT, SHIP_RIGHT = SHIP_SIZE[0] // 2, WIDTH - SHIP_SIZE[0] // 2
SWARM_START, ENEMY_PITCH, MARGIN = 32, 32, 5
SHIP_SPEED, BULLET_SPEED, SWARM_SPEED = 5, 6, 1  # pixels per tick
NOWHERE = -1_000  # y of a bullet that is not in flight

# Things collide as the circles around their rectangles: greatest squared distances of centres.
SHIP_REACH, ENEMY_REACH, BULLET_REACH = 285, 242, 72

# No-op, left, right, shoot, shoot and left, shoot and right.
MOVES: Final = np.array([0, -1, 1, 0, -1, 1])
SHOOTS: Final = np.array([False, False, False, True, True, True])

WIN, LOSS, TIME_UP = 10.0, -1.0, -1.0


class Game:
    """The positions of everything in `count` games.

    Args:
        count: Number of games.
        episode_length: Ticks until the time is up.
        hit_reward: For every enemy that is hit.

    Attributes:
        ship: x of the ship, (count,).
        shot_x, shot_y: The ship's bullet, (count,); it has one at a time.
        swarm: x of the leftmost enemy's place, (count,); the enemies keep their distances.
        direction: Where the swarm goes, -1 or 1, (count,).
        alive: Enemies that are left, (count, 4).
        bullet_x, bullet_y: The bullet of each enemy, (count, 4); it outlives its enemy.
        tick: Ticks since the start, (count,).
    """

    def __init__(self, count: int, episode_length: int, hit_reward: float = 0.0) -> None:
        self.episode_length = episode_length
        self.hit_reward = hit_reward
        self.ship, self.shot_x, self.tick = (np.zeros(count, np.int64) for _ in range(3))
        self.shot_y = np.full(count, NOWHERE)
        self.swarm = np.full(count, SWARM_START)
        self.direction = np.ones(count, np.int64)
        self.alive = np.ones((count, ENEMIES), np.bool_)
        self.bullet_x = np.zeros((count, ENEMIES), np.int64)
        self.bullet_y = np.full((count, ENEMIES), NOWHERE)
        self._draws = np.zeros((count, episode_length // FIRE_TICKS))

    @property
    def enemy_x(self) -> Integers:
        """X of every enemy, left or not, (count, 4)."""
        return self.swarm[:, None] + ENEMY_PITCH * np.arange(ENEMIES)

    def restart(self, rows: NDArray[np.intp], generators: Sequence[np.random.Generator]) -> None:
        """Begin again in these rows: the ship anywhere, the swarm in the middle, no bullets.

        A generator is asked once per game, also for who will shoot.
        """
        size = 2 + self._draws.shape[1]
        draws = np.array([generator.random(size) for generator in generators])
        self.ship[rows] = SHIP_LEFT + (draws[:, 0] * (SHIP_RIGHT - SHIP_LEFT + 1)).astype(np.int64)
        self.direction[rows] = np.where(draws[:, 1] < 0.5, -1, 1)
        self._draws[rows] = draws[:, 2:]
        self.swarm[rows] = SWARM_START
        self.tick[rows] = 0
        self.alive[rows] = True
        self.shot_y[rows] = NOWHERE
        self.bullet_y[rows] = NOWHERE

    def play(self, actions: Integers, ticks: int) -> tuple[Floats, Flags, Flags]:
        """Repeat actions; return the sum of rewards, terminated, truncated.

        A game that ends stays as it was when it ended.
        """
        total, terminated, truncated = self.step(actions)
        for _ in range(ticks - 1):
            over = np.flatnonzero(terminated | truncated)
            final = {name: values[over] for name, values in self._places().items()}
            reward, ended, late = self.step(actions)
            reward[over], ended[over], late[over] = 0.0, False, False
            for name, values in self._places().items():
                values[over] = final[name]
            total, terminated, truncated = total + reward, terminated | ended, truncated | late
        return total, terminated, truncated

    def step(self, actions: Integers) -> tuple[Floats, Flags, Flags]:
        """Play one tick; return rewards, terminated, truncated.

        Being hit loses and ends the game; else hitting the last enemy wins and ends it; else the
        time may be up.
        """
        self.tick += 1
        self._steer(MOVES[actions], SHOOTS[actions])
        self._fire()
        self._march()
        lost = self._is_hit()
        hits = self._hit()
        won = ~self.alive.any(axis=1) & ~lost
        ended = won | lost
        late = (self.tick >= self.episode_length) & ~ended
        reward = WIN * won + LOSS * lost + TIME_UP * late + self.hit_reward * hits
        return reward, ended, late

    def _places(self) -> dict[str, NDArray[Any]]:
        """All that is different after a tick, by name; the first axis is the game's."""
        return {name: v for name, v in vars(self).items() if isinstance(v, np.ndarray)}

    def _steer(self, move: Integers, shoot: Flags) -> None:
        """Move the ship and its bullet, which begins where the ship was."""
        begins = shoot & (self.shot_y == NOWHERE)
        self.shot_x = np.where(begins, self.ship, self.shot_x)
        height = np.where(begins, SHIP_Y - SHIP_SIZE[1] // 2, self.shot_y) - BULLET_SPEED
        self.shot_y = np.where(height < BULLET_RADIUS, NOWHERE, height)
        target = self.ship + SHIP_SPEED * move
        self.ship = np.minimum(np.maximum(target, SHIP_LEFT), SHIP_RIGHT)

    def _fire(self) -> None:
        """Let one enemy shoot, drawn from those that are left and have no bullet in flight."""
        due = (self.tick % FIRE_TICKS == 0) & (self.tick <= self.episode_length)
        able = self.alive & (self.bullet_y == NOWHERE)
        rows = np.flatnonzero(due & able.any(axis=1))
        if not rows.size:
            return
        able = able[rows]
        draw = self._draws[rows, self.tick[rows] // FIRE_TICKS - 1]
        rank = (draw * able.sum(axis=1)).astype(np.int64)
        shooter = (able & (able.cumsum(axis=1) == rank[:, None] + 1)).argmax(axis=1)
        self.bullet_x[rows, shooter] = self.swarm[rows] + ENEMY_PITCH * shooter
        self.bullet_y[rows, shooter] = ENEMY_Y + ENEMY_RADIUS

    def _march(self) -> None:
        """Move bullets and the swarm, which turns when its outermost enemies reach the margins."""
        below = self.bullet_y + BULLET_SPEED
        gone = (self.bullet_y == NOWHERE) | (below - BULLET_RADIUS > HEIGHT)
        self.bullet_y = np.where(gone, NOWHERE, below)
        x = self.enemy_x
        at_left = self.alive & (x <= MARGIN + ENEMY_RADIUS)
        at_right = self.alive & (x >= WIDTH - MARGIN - ENEMY_RADIUS)
        direction = np.where(at_left.any(axis=1), 1, self.direction)
        self.direction = np.where(at_right.any(axis=1), -1, direction)
        self.swarm = self.swarm + SWARM_SPEED * self.direction

    def _is_hit(self) -> Flags:
        """Return where a bullet meets the ship."""
        gap = _squared(self.bullet_x - self.ship[:, None], self.bullet_y - SHIP_Y)
        return np.asarray((gap <= SHIP_REACH).any(axis=1))

    def _hit(self) -> Integers:
        """Let the shot vanish with the bullet or else the enemy that it meets; count enemies."""
        x, y = self.shot_x[:, None], self.shot_y[:, None]
        flies = y != NOWHERE
        met = flies & (_squared(self.bullet_x - x, self.bullet_y - y) <= BULLET_REACH)
        self.bullet_y = np.where(met, NOWHERE, self.bullet_y)
        lives = flies & ~met.any(axis=1)[:, None]
        hit = self.alive & lives & (_squared(self.enemy_x - x, ENEMY_Y - y) <= ENEMY_REACH)
        self.alive = self.alive & ~hit
        self.shot_y = np.where((met | hit).any(axis=1), NOWHERE, self.shot_y)
        return np.asarray(hit.sum(axis=1))


def _squared(x: Integers, y: Integers) -> Integers:
    return x * x + y * y
