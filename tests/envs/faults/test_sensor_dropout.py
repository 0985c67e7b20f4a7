"""Sensor faults on single environments."""

import pickle
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import SyncVectorEnv
from numpy.typing import NDArray

from mmrl_envs import SensorDropout, VectorSensorDropout
from mmrl_envs.faults import Fault
from mmrl_envs.faults.lamps import with_lamps
from mmrl_envs.faults.patterns import State
from mmrl_envs.pendulum import MultimodalPendulumEnv
from tests.envs.faults.test_fault import SPECS

ID = "mmrl/MultimodalPendulum-v0"
STILL = np.zeros(1, np.float32)


class Counter(gymnasium.Env[dict[str, Any], int]):
    """Counts its steps in four channels; `broken` steps deliver NaN in one of them."""

    def __init__(self, length: int = 10, broken: Mapping[int, float] | None = None) -> None:
        self.length, self.broken, self.count = length, dict(broken or {}), 0
        self.observation_space = spaces.Dict(
            {
                "depth": spaces.Box(10.0, 20.0, (2,), np.float32),
                "flags": spaces.MultiBinary(3),
                "gear": spaces.Discrete(50),
                "speed": spaces.Box(-np.inf, np.inf, (), np.float64),
            }
        )
        self.action_space: spaces.Space[Any] = spaces.Discrete(2)

    def observe(self) -> dict[str, Any]:
        value = self.broken.get(self.count, 10.0 + self.count % 10)
        return {
            "depth": np.array([10.0, value], np.float32),
            "flags": np.ones(3, np.int8),
            "gear": self.count + 1,
            "speed": np.array(1.0 + self.count),
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self.observe(), {"count": 0}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self.observe(), 1.0, self.count >= self.length, False, {"count": self.count}


def masks(env: gymnasium.Env[Any, Any], episodes: int, seed: int = 0) -> NDArray[np.int8]:
    """Availability of all observations of some episodes of the counter."""
    collected = []
    for episode in range(episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        collected.append(observation["available"])
        done = False
        while not done:
            observation, _, done, _, _ = env.step(0)
            collected.append(observation["available"])
    return np.array(collected)


def test_passes_the_checker_of_gymnasium() -> None:
    env = gymnasium.make(ID, max_torque=1.0, render_mode="rgb_array")
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(SensorDropout(env, [{"pattern": "bernoulli", "rate": 0.5}]))


def test_space_gains_the_mask_and_admits_zeros() -> None:
    env = SensorDropout(Counter(), [])
    space = env.observation_space
    assert isinstance(space, spaces.Dict)
    assert space["available"] == spaces.MultiBinary(4)
    assert space["depth"] == spaces.Box(0.0, 20.0, (2,), np.float32)
    assert space["speed"] == spaces.Box(-np.inf, np.inf, (), np.float64)
    assert env.channels == ("depth", "flags", "gear", "speed")


BOX = spaces.Box(0.0, 1.0, (2,), np.float32)


@pytest.mark.parametrize(
    ("space", "names"),
    [
        (spaces.Dict(sound=BOX, image=BOX), ["available", "sound", "image"]),
        (spaces.Dict([("sound", BOX), ("arm", BOX)]), ["sound", "available", "arm"]),
        (spaces.Dict({"sound": BOX, "arm": BOX}), ["arm", "available", "sound"]),
    ],
)
def test_space_and_mask_have_the_channels_in_one_order(
    space: spaces.Dict, names: list[str], replay: Any
) -> None:
    values = {name: np.ones(2, np.float32) for name in space}
    faults = [{"pattern": "fixed", "channels": ["sound"]}]
    env = SensorDropout(replay(space, [values]), faults)
    envs = VectorSensorDropout(SyncVectorEnv([lambda: replay(space, [values])]), faults)
    observation, _ = env.reset(seed=0)
    made: list[Any] = [env.observation_space, envs.single_observation_space, envs.observation_space]
    for one in made:
        assert list(one) == names
    channels = [name for name in names if name != "available"]
    healthy = [int(observation[name].any()) for name in channels]
    assert list(env.channels) == channels
    assert observation["available"].tolist() == healthy


def bright(observation: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The condition of a fault that depends on the state."""
    return np.asarray(observation["image"].mean(axis=(1, 2)) > 0.5)


def test_every_kind_of_channel_is_zeroed_when_unavailable() -> None:
    env = SensorDropout(Counter(), [{"pattern": "fixed"}], keep_at_least=0)
    observation, info = env.reset(seed=0)
    assert env.observation_space.contains(observation)
    for name in env.channels:
        assert not np.any(observation[name])
    assert observation["available"].tolist() == [0, 0, 0, 0]
    assert info["faulty"].tolist() == [True] * 4


def test_healthy_channels_pass_unchanged() -> None:
    env, bare = SensorDropout(Counter(), [{"pattern": "fixed", "channels": ["gear"]}]), Counter()
    bare.reset()
    env.reset(seed=0)
    for _ in range(5):
        observation, reward, terminated, _, info = env.step(1)
        expected, expected_reward, expected_end, _, _ = bare.step(1)
        np.testing.assert_equal(observation, {**expected, "gear": 0, "available": [1, 1, 0, 1]})
        assert (reward, terminated) == (expected_reward, expected_end)
        assert info["count"] == bare.count


def test_first_observation_may_be_faulty() -> None:
    env = SensorDropout(Counter(), [{"pattern": "permanent", "start": 0, "channels": ["gear"]}])
    assert env.reset(seed=0)[0]["available"].tolist() == [1, 1, 0, 1]


def test_same_dynamics_with_and_without_faults() -> None:
    bare, faulty = (
        MultimodalPendulumEnv(),
        SensorDropout(MultimodalPendulumEnv(), [{"pattern": "bernoulli", "rate": 0.5}]),
    )
    for episode in range(2):
        seed = 4 if episode == 0 else None
        (_, expected), (_, info) = bare.reset(seed=seed), faulty.reset(seed=seed)
        np.testing.assert_array_equal(info["state"], expected["state"])
        for _ in range(5):
            expected, info = bare.step(STILL)[4], faulty.step(STILL)[4]
            np.testing.assert_array_equal(info["state"], expected["state"])


def test_same_seed_same_faults() -> None:
    spec = [{"pattern": "burst", "outage": 3, "uptime": 4}]
    first, second, other = (
        masks(SensorDropout(Counter(), spec, keep_at_least=2), 20, seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)


def test_faults_of_an_episode_do_not_depend_on_the_length_of_those_before() -> None:
    spec = [{"pattern": "bernoulli", "rate": 0.5}]
    long, short = (
        masks(SensorDropout(Counter(length), spec), episodes, seed=5).reshape(episodes, -1, 4)
        for length, episodes in ((300, 3), (20, 3))
    )
    np.testing.assert_array_equal(long[:, :21], short)


def test_faults_do_not_disturb_each_other() -> None:
    one = {"pattern": "burst", "outage": 3, "uptime": 4, "channels": ["gear"]}
    two = {"pattern": "bernoulli", "rate": 0.7, "channels": ["speed", "depth"]}
    alone = masks(SensorDropout(Counter(), [one], keep_at_least=0), 40)
    both = masks(SensorDropout(Counter(), [one, two], keep_at_least=0), 40)
    np.testing.assert_array_equal(alone[:, 2], both[:, 2])
    assert np.any(both[:, 3] == 0)


def test_without_a_seed_faults_differ_from_run_to_run() -> None:
    runs = []
    for _ in range(2):
        env = SensorDropout(Counter(50), [{"pattern": "bernoulli", "rate": 0.5}])
        env.reset()
        runs.append(np.array([env.step(0)[0]["available"] for _ in range(49)]))
    assert np.any(runs[0] != runs[1])


@pytest.mark.parametrize("keep", [0, 1, 2, 4])
@pytest.mark.parametrize("pattern", [{"pattern": "bernoulli", "rate": 0.9}, {"pattern": "fixed"}])
def test_keep_at_least(keep: int, pattern: dict[str, Any]) -> None:
    available = masks(SensorDropout(Counter(), [pattern], keep_at_least=keep), 60).sum(axis=1)
    assert available.min() == keep


def test_spared_channels_are_drawn_evenly_and_stay_while_it_lasts() -> None:
    mask = masks(SensorDropout(Counter(2), [{"pattern": "fixed"}]), 300).reshape(300, 3, 4)
    assert np.all(mask == mask[:, :1])
    np.testing.assert_allclose(mask.mean(axis=(0, 1)), 0.25, atol=0.07)


def test_not_a_number_and_infinity_make_a_channel_unavailable() -> None:
    env = SensorDropout(Counter(broken={0: np.nan, 2: np.inf}), [])
    observation, info = env.reset(seed=0)
    assert observation["available"].tolist() == [0, 1, 1, 1]
    assert info["faulty"].tolist() == [True, False, False, False]
    assert observation["depth"].tolist() == [0.0, 0.0]
    assert env.step(0)[0]["available"].tolist() == [1, 1, 1, 1]
    assert env.step(0)[0]["available"].tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, 3e38])
def test_partly_missing_readings_are_missing_or_arrive_with_gaps(nothing: float) -> None:
    space = spaces.Dict({"lidar": spaces.Box(-np.inf, np.inf, (3,), np.float32)})

    class Lidar(gymnasium.Env[Any, Any]):
        observation_space = space
        action_space = spaces.Discrete(1)

        def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
            return {"lidar": np.array([1, nothing, 2], np.float32)}, {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return {"lidar": np.full(3, nothing, np.float32)}, 0.0, False, False, {}

    whole, filled = SensorDropout(Lidar(), []), SensorDropout(Lidar(), [], partial="fill")
    observation, _ = whole.reset()
    assert observation["available"].tolist() == [0]
    assert not observation["lidar"].any()
    observation, _ = filled.reset()
    assert observation["available"].tolist() == [1]
    assert observation["lidar"][[0, 2]].tolist() == [1, 2]
    assert filled.step(0)[0]["available"].tolist() == [0]
    with pytest.raises(ValueError, match="partial must be one of missing, fill, got 'some'"):
        SensorDropout(Lidar(), [], partial="some")


def test_unannounced_nan_arrives_and_claims_to_be_available() -> None:
    spec = {"pattern": "fixed", "channels": ["depth"], "mechanism": "nan"}
    env = SensorDropout(Counter(), [spec])
    observation, info = env.reset(seed=0)
    assert np.isnan(observation["depth"]).all()
    assert observation["available"].tolist() == [1, 1, 1, 1]
    assert info["faulty"].tolist() == [True, False, False, False]
    assert not env.observation_space.contains(observation)


def test_unannounced_blackouts_zero_but_claim_to_be_available() -> None:
    spec = {"pattern": "fixed", "channels": ["gear"], "announced": False}
    observation, info = SensorDropout(Counter(), [spec], keep_at_least=4).reset(seed=0)
    assert observation["gear"] == 0
    assert observation["available"].tolist() == [1, 1, 1, 1]
    assert info["faulty"].tolist() == [False, False, True, False]


@pytest.mark.parametrize("announced", [None, False, True])
def test_mechanisms_other_than_blackouts_are_not_announced_by_nature(
    announced: bool | None,
) -> None:
    spec = {"pattern": "fixed", "mechanism": "freeze", "channels": ["speed"]}
    env = SensorDropout(Counter(), [{**spec, "announced": announced}])
    env.reset(seed=0)
    observation, _, _, _, info = env.step(0)
    assert observation["available"].tolist() == [1, 1, 1, 0 if announced else 1]
    assert observation["speed"] == (0.0 if announced else 1.0)  # zeroed, or stuck
    assert info["faulty"].tolist() == [False, False, False, True]


def test_faults_on_one_channel_apply_in_the_order_given() -> None:
    bias = {"pattern": "fixed", "mechanism": "bias", "strength": 0.8, "channels": ["depth"]}
    late = {"pattern": "fixed", "mechanism": "saturation", "limit": 0.5, "channels": ["depth"]}
    first, second = (
        SensorDropout(Counter(), order).reset(seed=0)[0]["depth"].tolist()
        for order in ([bias, late], [late, bias])
    )
    assert first == [15.0, 15.0]
    assert second == [18.0, 18.0]


def test_state_dependent_faults_see_the_healthy_observation() -> None:
    high = Fault(State(lambda observation: observation["gear"] > 4), channels=("gear", "depth"))
    env = SensorDropout(Counter(6), [{"pattern": "fixed", "channels": ["speed"]}, high])
    mask = masks(env, 2)
    expected = [[1, 1, 1, 0]] * 4 + [[0, 1, 0, 0]] * 3
    assert mask.tolist() == expected * 2
    sparing = SensorDropout(Counter(6), [high], keep_at_least=3)
    assert masks(sparing, 30).sum(axis=1).min() == 3


def test_realised_rates_are_told_at_the_end_of_an_episode() -> None:
    env = SensorDropout(Counter(9), [{"pattern": "permanent", "start": 4, "channels": ["gear"]}])
    for _ in range(2):
        env.reset(seed=0)
        infos = [env.step(0)[4] for _ in range(9)]
        assert all("fault_rates" not in info for info in infos[:-1])
        assert infos[-1]["fault_rates"] == {"depth": 0.0, "flags": 0.0, "gear": 0.6, "speed": 0.0}


def test_rebuilt_from_its_spec_even_through_json() -> None:
    faults = [{"pattern": "burst", "outage": 2, "uptime": 3, "channels": ["sound"]}]
    env = SensorDropout(gymnasium.make(ID, episode_length=20), faults, keep_at_least=0)
    assert env.spec is not None
    spec = gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json())
    copy = gymnasium.make(spec)
    assert isinstance(copy, SensorDropout)
    assert data_equivalence(env.reset(seed=3), copy.reset(seed=3), exact=True)
    for _ in range(20):
        assert data_equivalence(env.step(STILL), copy.step(STILL), exact=True)


def test_function_conditions_are_kept_in_the_spec() -> None:
    fault = Fault(State(lambda observation: observation["sound"].mean(axis=(1, 2, 3)) > 0.5))
    env = SensorDropout(gymnasium.make(ID), [fault])
    assert env.spec is not None
    copy = gymnasium.make(env.spec)
    assert isinstance(copy, SensorDropout)
    assert copy.faults == (fault,)


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_survives_pickling(spec: dict[str, Any], announced: bool, replay: Any) -> None:
    """With every pattern and mechanism, in the middle of an episode."""
    box = spaces.Box(-1.0, 1.0, (8, 8), np.float32)
    rng = np.random.default_rng(0)
    values = [
        {name: rng.random((8, 8), np.float32) for name in ("image", "sound")} for _ in "12345"
    ]
    fault = {**spec, "announced": announced}
    if spec["pattern"] == "state":
        fault["condition"] = f"{__name__}:bright"
    env = SensorDropout(replay(spaces.Dict({"image": box, "sound": box}), values), [fault])
    env.reset(seed=0)
    env.step(0)
    copy = pickle.loads(pickle.dumps(env))  # noqa: S301
    for _ in range(3):
        np.testing.assert_equal(copy.step(0), env.step(0))


def test_the_environments_own_arrays_are_left_alone() -> None:
    class Keeper(Counter):
        def observe(self) -> dict[str, Any]:
            self.kept = super().observe()
            return self.kept

    bare = Keeper()
    SensorDropout(bare, [{"pattern": "fixed"}], keep_at_least=0).reset(seed=0)
    assert bare.kept["depth"].tolist() == [10.0, 10.0]


def test_returned_arrays_belong_to_the_caller() -> None:
    faults = [{"pattern": "bernoulli", "rate": 0.5}]
    spoiled, clean = (SensorDropout(MultimodalPendulumEnv(), faults) for _ in range(2))
    for env in (spoiled, clean):
        env.reset(seed=0)
    for _ in range(10):
        observation, _, _, _, info = spoiled.step(STILL)
        expected = clean.step(STILL)
        assert data_equivalence(observation, expected[0], exact=True)
        for array in (*observation.values(), info["faulty"]):
            array[...] = 1


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        (spaces.Box(0, 1, (3,)), TypeError, "need a Dict observation .* got Box"),
        (spaces.Dict({}), ValueError, "need channels"),
        (
            spaces.Dict({"a": spaces.Dict({"b": spaces.Box(0, 1)})}),
            ValueError,
            "'a' is nested, flatten .* with FlattenDict",
        ),
        (spaces.Dict({"a": spaces.Text(5)}), ValueError, "'a' must hold arrays or numbers"),
        (spaces.Dict({"a": spaces.Discrete(3, start=2)}), ValueError, "'a' must hold"),
        (
            spaces.Dict({"a": spaces.Box(0, 1), "available": spaces.MultiBinary(1)}),
            ValueError,
            "give all faults to one wrapper",
        ),
    ],
)
def test_unfit_observations_are_refused(
    space: spaces.Space[Any], error: type[Exception], message: str
) -> None:
    env = Counter()
    env.observation_space = space
    with pytest.raises(error, match=message):
        SensorDropout(env, [])


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no channels \['camera'\], the observation has"):
        SensorDropout(Counter(), [{"pattern": "fixed", "channels": ["camera"]}])
    with pytest.raises(ValueError, match="keep_at_least must be from 0 to 4, got 5"):
        SensorDropout(Counter(), [], keep_at_least=5)
    with pytest.raises(ValueError, match="pattern must be one of"):
        SensorDropout(Counter(), [{"pattern": "sometimes"}])


def test_lamps_below_the_frame() -> None:
    env = SensorDropout(
        gymnasium.make(ID, render_mode="rgb_array"),
        [
            {"pattern": "intervals", "intervals": [[1, 3]], "channels": ["image"]},
            {"pattern": "permanent", "start": 2, "channels": ["sound"], "announced": False},
        ],
    )
    env.reset(seed=0)
    strips = []
    for _ in range(4):
        frame = env.render()
        assert isinstance(frame, np.ndarray)
        bare: Any = env.unwrapped.render()
        np.testing.assert_array_equal(frame[: len(bare)], bare)
        strips.append({tuple(colour) for colour in frame[len(bare) :].reshape(-1, 3).tolist()})
        env.step(STILL)
    green, red, amber = (64, 200, 110), (226, 70, 62), (245, 176, 52)
    lit = [{colour for colour in (green, red, amber) if colour in strip} for strip in strips]
    assert lit == [{green}, {red, green}, {red, amber}, {green, amber}]


def test_what_a_lamp_shows_is_said_in_words() -> None:
    bare = np.zeros((8, 320, 3), np.uint8)
    lengths = []
    for state in (0, 1, 2):
        strip = with_lamps(bare, ["image"], np.array([state]))[8:]
        written = (strip.min(axis=2) > 100).any(axis=0)  # only letters are nearly white
        lengths.append(np.flatnonzero(written).max())
    up, missing, faulty = lengths
    assert up < faulty < missing < 320


def test_frames_that_are_no_arrays_pass() -> None:
    env = SensorDropout(Counter(), [])
    env.env.render = lambda: "text"  # type: ignore[method-assign]
    assert env.render() == "text"
