"""The rules of HyperHot, against the same rules written for one game with plain loops."""

from typing import Any

import numpy as np
import pytest

from mmrl_envs.hyperhot.game import NOWHERE, Game


class PlainGame:
    """One game of HyperHot, from its description."""

    def __init__(self, seed: int, episode_length: int) -> None:
        draws = np.random.default_rng(seed).random(2 + episode_length // 6).tolist()
        self.ship = 12 + int(draws[0] * 137)
        self.direction = -1 if draws[1] < 0.5 else 1
        self.draws = draws[2:]
        self.enemies = {0: 32, 1: 64, 2: 96, 3: 128}
        self.bullets: dict[int, list[int]] = {}
        self.shot: list[int] | None = None
        self.tick = 0
        self.episode_length = episode_length

    def step(self, action: int) -> tuple[float, bool, bool]:
        self.tick += 1
        self.fly(action >= 3)
        self.ship = max(12, min(148, self.ship + {0: 0, 1: -5, 2: 5}[action % 3]))
        able = [j for j in self.enemies if j not in self.bullets]
        if self.tick % 6 == 0 and able:
            shooter = able[int(self.draws[self.tick // 6 - 1] * len(able))]
            self.bullets[shooter] = [self.enemies[shooter], 48]
        for bullet in self.bullets.values():
            bullet[1] += 6
        self.bullets = {j: bullet for j, bullet in self.bullets.items() if bullet[1] <= 213}
        if min(self.enemies.values()) <= 13:
            self.direction = 1
        if max(self.enemies.values()) >= 147:
            self.direction = -1
        self.enemies = {j: x + self.direction for j, x in self.enemies.items()}
        ship_circle = (12**2 + 4**2) ** 0.5
        for x, y in self.bullets.values():
            if np.hypot(x - self.ship, y - 184) <= ship_circle + 18**0.5 + 1e-9:
                return -1.0, True, False
        self.shoot_down()
        if not self.enemies:
            return 10.0, True, False
        late = self.tick >= self.episode_length
        return (-1.0 if late else 0.0), False, late

    def fly(self, shoot: bool) -> None:
        if shoot and self.shot is None:
            self.shot = [self.ship, 180]
        if self.shot is not None:
            self.shot[1] -= 6
            if self.shot[1] < 3:
                self.shot = None

    def shoot_down(self) -> None:
        if self.shot is None:
            return
        x, y = self.shot
        met = [j for j, b in self.bullets.items() if np.hypot(b[0] - x, b[1] - y) <= 72**0.5 + 1e-9]
        hit = [j for j, e in self.enemies.items() if np.hypot(e - x, 40 - y) <= 242**0.5 + 1e-9]
        if met:
            self.bullets = {j: b for j, b in self.bullets.items() if j not in met}
            self.shot = None
        elif hit:
            self.enemies = {j: e for j, e in self.enemies.items() if j not in hit}
            self.shot = None


def started(count: int = 1, episode_length: int = 450, seed: int = 0) -> Game:
    played = Game(count, episode_length)
    played.restart(np.arange(count), [np.random.default_rng(seed + i) for i in range(count)])
    return played


def assert_same(played: Game, row: int, plain: PlainGame) -> None:
    assert played.ship[row] == plain.ship
    alive = np.flatnonzero(played.alive[row])
    assert dict(zip(alive, played.enemy_x[row][alive], strict=True)) == plain.enemies
    flying = np.flatnonzero(played.bullet_y[row] != NOWHERE)
    bullets = {j: [played.bullet_x[row, j], played.bullet_y[row, j]] for j in flying}
    assert bullets == plain.bullets
    shot = None if played.shot_y[row] == NOWHERE else [played.shot_x[row], played.shot_y[row]]
    assert shot == plain.shot


def test_equals_plain_loops() -> None:
    count, length = 150, 90
    played = started(count, length)
    plain = [PlainGame(seed, length) for seed in range(count)]
    for row in range(0, count, 3):  # so that some win
        played.alive[row, :3] = False
        plain[row].enemies = {3: 128}
    open_rows, outcomes = set(range(count)), set()
    rng = np.random.default_rng(9)
    for _ in range(length):
        actions = rng.integers(0, 6, count)
        reward, terminated, truncated = played.step(actions)
        for row in sorted(open_rows):
            expected = plain[row].step(int(actions[row]))
            assert (reward[row], terminated[row], truncated[row]) == expected
            if expected[:2] != (-1.0, True):  # what is left of a lost game does not matter
                assert_same(played, row, plain[row])
            if expected[1] or expected[2]:
                outcomes.add(expected)
                open_rows.remove(row)
    assert not open_rows
    assert outcomes == {(10.0, True, False), (-1.0, True, False), (-1.0, False, True)}


def test_repeated_actions_equal_single_ticks_and_games_that_are_over_stand_still() -> None:
    count, length, ticks = 120, 90, 4
    played, single = started(count, length), started(count, length)
    played.alive[::3, :3] = single.alive[::3, :3] = False  # so that some win
    played.hit_reward = single.hit_reward = 0.5
    over = np.zeros(count, np.bool_)
    rng = np.random.default_rng(9)
    for _ in range(-(-length // ticks)):
        actions = rng.integers(0, 6, count)
        results = played.play(actions, ticks)
        total, won_or_lost, late = np.zeros(count), np.zeros(count, bool), np.zeros(count, bool)
        for _ in range(ticks):
            reward, terminated, truncated = single.step(actions)
            going = ~over
            total += reward * going
            won_or_lost |= terminated & going
            late |= truncated & going
            ends = (terminated | truncated) & going
            for row in np.flatnonzero(ends):
                np.testing.assert_array_equal(played.bullet_y[row], single.bullet_y[row])
                assert (played.ship[row], played.tick[row]) == (single.ship[row], single.tick[row])
            over |= ends
        open_rows = ~over | won_or_lost | late
        for values, wanted in zip(results, (total, won_or_lost, late), strict=True):
            np.testing.assert_array_equal(values[open_rows], wanted[open_rows])
    assert over.all()


def test_every_hit_is_rewarded_where_that_is_asked_for() -> None:
    for hit_reward, rewards in ((0.0, [0.0, 10.0]), (2.0, [2.0, 12.0])):
        played = Game(1, 450, hit_reward)
        played.restart(np.arange(1), [np.random.default_rng(0)])
        played.alive[0] = [False, True, True, False]
        seen = []
        for enemy in (1, 2):
            played.shot_x[0], played.shot_y[0] = played.enemy_x[0, enemy], 50
            seen.append(played.step(np.array([0]))[0].item())
        assert seen == rewards


def test_the_last_enemy_wins() -> None:
    played = started()
    played.alive[0] = [False, True, False, False]
    played.shot_x[0], played.shot_y[0] = played.enemy_x[0, 1], 75
    ends = [[values.item() for values in played.step(np.array([0]))] for _ in range(4)]
    assert ends[-1] == [10.0, True, False]
    assert ends[:-1] == [[0.0, False, False]] * (len(ends) - 1)
    assert not played.alive.any()


def test_being_hit_comes_before_winning_and_winning_before_the_time() -> None:
    def last_tick(hit: bool) -> list[Any]:
        played = started(episode_length=1)
        played.alive[0] = [True, False, False, False]
        played.shot_x[0], played.shot_y[0] = played.enemy_x[0, 0], 50
        if hit:
            played.bullet_x[0, 3], played.bullet_y[0, 3] = played.ship[0], 170
        return [values.item() for values in played.step(np.array([0]))]

    assert last_tick(hit=False) == [10.0, True, False]
    assert last_tick(hit=True) == [-1.0, True, False]


def test_bullets_that_meet_vanish() -> None:
    played = started()
    played.shot_x[0], played.shot_y[0] = 80, 100
    played.bullet_x[0, 2], played.bullet_y[0, 2] = 84, 90
    played.bullet_x[0, 1], played.bullet_y[0, 1] = 120, 90
    played.step(np.array([0]))
    assert played.shot_y[0] == NOWHERE
    assert (played.bullet_y[0] == NOWHERE).tolist() == [True, False, True, True]


def test_one_bullet_per_ship_and_enemy_and_a_shot_every_six_ticks() -> None:
    played = started(30, seed=5)
    fired = []
    for _ in range(60):
        before = played.bullet_y != NOWHERE
        played.bullet_x[:] = -500  # none meets the ship
        played.step(np.zeros(30, np.int64))
        fired.append(((played.bullet_y != NOWHERE) & ~before).sum(axis=1))
    counts = np.array(fired)
    assert counts.max() == 1
    assert not counts[np.arange(60) % 6 != 5].any()
    assert counts[np.arange(60) % 6 == 5][:4].all()


def test_the_row_turns_at_the_outermost_enemy_that_is_left() -> None:
    played = started(2)
    played.alive[1, :2] = False
    reached = []
    for _ in range(300):
        played.bullet_x[:] = -500
        played.step(np.zeros(2, np.int64))
        reached.append(np.where(played.alive, played.enemy_x, 80))
    xs = np.array(reached)
    assert (xs[:, 0].min(), xs[:, 0].max()) == (13, 147)
    assert (xs[:, 1].min(), xs[:, 1].max()) == (13, 147)


@pytest.mark.parametrize(("action", "edge"), [(1, 12), (2, 148), (4, 12), (5, 148)])
def test_the_ship_stays_on_the_screen(action: int, edge: int) -> None:
    played = started(20)
    for _ in range(30):
        played.bullet_x[:] = -500
        played.step(np.full(20, action))
    assert (played.ship == edge).all()


def test_starts_cover_the_screen_and_rows_start_alone() -> None:
    played = started(3000)
    assert (played.ship.min(), played.ship.max()) == (12, 148)
    assert 0.45 < (played.direction == 1).mean() < 0.55
    for _ in range(30):
        played.step(np.full(3000, 5))
    before = played.ship[:2].copy(), played.tick[:2].copy(), played.bullet_y[:2].copy()
    played.restart(np.array([2]), [np.random.default_rng(0)])
    assert played.tick.tolist()[:3] == [30, 30, 0]
    assert played.alive[2].all()
    assert (played.bullet_y[2] == NOWHERE).all()
    after = played.ship[:2], played.tick[:2], played.bullet_y[:2]
    np.testing.assert_equal(after, before)
