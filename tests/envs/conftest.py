"""An environment whose observations a test chooses."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium
import jaxtyping
import pytest
from gymnasium import spaces


class ReplayEnv(gymnasium.Env[Any, Any]):
    """Returns the given observations in their order, from the first one after each reset."""

    def __init__(self, space: spaces.Space[Any], observations: Sequence[Any]) -> None:
        self.observation_space = space
        self.action_space = spaces.Discrete(2)
        self.observations = observations
        self.time = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self.observations[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self.observations[self.time], 0.0, False, False, {}


@pytest.fixture
def replay() -> Callable[[spaces.Space[Any], Sequence[Any]], ReplayEnv]:
    """Make such an environment from its observation space and its observations."""
    return ReplayEnv


@pytest.fixture
def unenforced() -> Iterator[None]:
    """Types are not enforced, as for users: what is wrong reaches our own checks."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
