"""Sensor faults on vector environments."""

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from mmrl_envs import SensorDropout, VectorSensorDropout
from mmrl_envs.faults import Fault, expected_rates, make_faults
from mmrl_envs.faults.patterns import State
from mmrl_envs.pendulum import MultimodalPendulumEnv, MultimodalPendulumVectorEnv
from mmrl_envs.seeding import sub_seeds

ID = "mmrl/MultimodalPendulum-v0"
COUNT = 5
FAULTS: dict[str, list[Fault | dict[str, Any]]] = {
    "none": [],
    "bernoulli": [{"pattern": "bernoulli", "rate": 0.6}],
    "episode": [{"pattern": "episode", "rate": 0.7}],
    "burst": [{"pattern": "burst", "outage": 3, "uptime": 2}],
    "several": [
        {"pattern": "permanent", "start": 3, "channels": ["image"]},
        {"pattern": "bernoulli", "rate": 0.5},
        {"pattern": "bernoulli", "rate": 0.2, "channels": ["sound"], "announced": False},
    ],
    "lies": [
        {"pattern": "burst", "outage": 3, "uptime": 2, "mechanism": name, **arguments}
        for name, arguments in (
            ("freeze", {}),
            ("noise", {"strength": 0.1}),
            ("delay", {"steps": 2, "jitter": 1, "channels": ["sound"]}),
            ("drift", {"strength": 0.02}),
            ("occlusion", {"size": 0.4, "channels": ["image"]}),
            ("salt_and_pepper", {"share": 0.1}),
        )
    ],
    "state": [
        Fault(State(lambda seen: seen["sound"][:, -1, 0, 0] > 0.4)),
        Fault.from_spec({"pattern": "bernoulli", "rate": 0.4}),
    ],
}


def actions(steps: int) -> Any:
    return np.random.default_rng(0).uniform(-2, 2, (steps, COUNT, 1)).astype(np.float32)


def pair(faults: Any, mode: AutoresetMode, **options: Any) -> tuple[Any, Any]:
    """The vector wrapper on the native environment, and single wrappers in Gymnasium's loop."""
    arguments: dict[str, Any] = {"episode_length": 6, "image_size": 12}
    native = MultimodalPendulumVectorEnv(COUNT, autoreset_mode=mode, **arguments)
    singles = SyncVectorEnv(
        [
            lambda: SensorDropout(MultimodalPendulumEnv(**arguments), faults, **options)
            for _ in range(COUNT)
        ],
        autoreset_mode=mode,
    )
    return VectorSensorDropout(native, faults, **options), singles


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_equals_single_wrappers(faults: Any, mode: AutoresetMode, keep: int) -> None:
    """Stream for stream: observations, masks, final observations and infos."""
    native, singles = pair(faults, mode, keep_at_least=keep)
    assert native.observation_space == singles.observation_space
    seeds = sub_seeds(2, COUNT)
    assert data_equivalence(native.reset(seed=2), singles.reset(seed=seeds), exact=True)
    for action in actions(20):
        result = native.step(action)
        assert data_equivalence(result, singles.step(action), exact=True)
        assert native.observation_space.contains(result[0])


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_masked_resets_equal_single_wrappers(faults: Any) -> None:
    """Sub-environments out of step; the others' observations are repeated."""
    native, singles = pair(faults, AutoresetMode.DISABLED)
    rng = np.random.default_rng(1)
    native.reset(seed=2)
    singles.reset(seed=sub_seeds(2, COUNT))
    for action in actions(25):
        result = native.step(action)
        assert data_equivalence(result, singles.step(action), exact=True)
        mask = result[3] | (rng.random(COUNT) < 0.2)
        if mask.any():
            begun = native.reset(options={"reset_mask": mask})
            assert data_equivalence(begun, singles.reset(options={"reset_mask": mask}), exact=True)


def test_long_episodes_cross_the_tables_of_steps_drawn_ahead() -> None:
    faults = FAULTS["burst"]
    envs = VectorSensorDropout(
        MultimodalPendulumVectorEnv(2, image_size=8, episode_length=1000), faults
    )
    single = SensorDropout(MultimodalPendulumEnv(image_size=8, episode_length=1000), faults)
    envs.reset(seed=7)
    single.reset(seed=sub_seeds(7, 2)[1])
    for _ in range(600):
        many = envs.step(np.zeros((2, 1), np.float32))
        one = single.step(np.zeros(1, np.float32))
        np.testing.assert_array_equal(many[0]["available"][1], one[0]["available"])
        np.testing.assert_array_equal(many[4]["faulty"][1], one[4]["faulty"])


def last_rates(spec: dict[str, Any], keep: int) -> Any:
    """Realised rates of 64 episodes of 49 steps, that is of 50 observations."""
    bare = MultimodalPendulumVectorEnv(64, image_size=8, episode_length=49)
    envs = VectorSensorDropout(bare, [spec], keep_at_least=keep)
    envs.reset(seed=0)
    for _ in range(49):
        infos = envs.step(np.zeros((64, 1), np.float32))[4]
    assert infos["_fault_rates"].all()
    return [infos["fault_rates"][name].mean() for name in ("image", "sound")]


@pytest.mark.parametrize(
    ("spec", "tolerance"),
    [
        ({"pattern": "fixed"}, 1e-12),
        ({"pattern": "bernoulli", "rate": 0.3}, 0.03),
        ({"pattern": "episode", "rate": 0.4}, 0.15),
        ({"pattern": "burst", "outage": 3, "uptime": 5}, 0.05),
        ({"pattern": "permanent", "start": 20}, 1e-12),
        ({"pattern": "intervals", "intervals": [[0, 10], [49, 60]]}, 1e-12),
    ],
)
def test_realised_rates_are_the_nominal_ones(spec: dict[str, Any], tolerance: float) -> None:
    nominal = expected_rates(make_faults([spec]), ["image", "sound"], 50)
    np.testing.assert_allclose(last_rates(spec, 0), list(nominal.values()), atol=tolerance)


def test_sparing_lowers_the_rates() -> None:
    """Two channels fail at rate r and one is kept: each is missing in r - r^2 / 2 of the steps."""
    realised = last_rates({"pattern": "bernoulli", "rate": 0.6}, 1)
    np.testing.assert_allclose(realised, 0.6 - 0.36 / 2, atol=0.03)


def test_same_dynamics_with_and_without_faults() -> None:
    bare = gymnasium.make_vec(ID, num_envs=3, episode_length=4)
    faulty = VectorSensorDropout(
        gymnasium.make_vec(ID, num_envs=3, episode_length=4), FAULTS["bernoulli"]
    )
    bare.reset(seed=0)
    faulty.reset(seed=0)
    for action in actions(12):
        expected, result = bare.step(action[:3]), faulty.step(action[:3])
        np.testing.assert_array_equal(result[4]["state"], expected[4]["state"])
        np.testing.assert_array_equal(result[1], expected[1])


@pytest.mark.parametrize("copy", [True, False])
def test_copy_decides_whether_arrays_are_zeroed_in_place(copy: bool) -> None:
    class Keeper(MultimodalPendulumVectorEnv):
        def step(self, actions: Any) -> Any:
            self.kept = super().step(actions)
            return self.kept

    bare = Keeper(3)
    envs = VectorSensorDropout(bare, [{"pattern": "fixed", "channels": ["image"]}], copy=copy)
    envs.reset(seed=0)
    observations = envs.step(np.zeros((3, 1), np.float32))[0]
    assert not observations["image"].any()
    assert bare.kept[0]["image"].any() == copy
    assert set(bare.kept[0]) == {"image", "sound"}
    assert set(bare.kept[4]) == {"state", "_state"}


def test_returned_arrays_belong_to_the_caller() -> None:
    spoiled, clean = (
        VectorSensorDropout(gymnasium.make_vec(ID, num_envs=3, episode_length=3), FAULTS["several"])
        for _ in range(2)
    )
    spoiled.reset(seed=0)
    clean.reset(seed=0)
    for action in actions(10):
        observations, *_, infos = spoiled.step(action[:3])
        expected = clean.step(action[:3])
        assert data_equivalence((observations, infos), (expected[0], expected[4]), exact=True)
        for array in (*observations.values(), infos["faulty"], infos["_faulty"]):
            array[...] = 1


@pytest.mark.parametrize("name", ["burst", "lies"])
def test_survives_pickling(name: str) -> None:
    envs = VectorSensorDropout(gymnasium.make_vec(ID, num_envs=3), FAULTS[name])
    envs.reset(seed=0)
    copy = pickle.loads(pickle.dumps(envs))  # noqa: S301
    for action in actions(5):
        assert data_equivalence(envs.step(action[:3]), copy.step(action[:3]), exact=True)


def test_renders_lamps_for_every_sub_environment() -> None:
    envs = VectorSensorDropout(
        gymnasium.make_vec(ID, num_envs=3, render_mode="rgb_array"), FAULTS["bernoulli"]
    )
    observations, _ = envs.reset(seed=1)
    frames = envs.render()
    assert frames is not None
    for frame, available in zip(frames, observations["available"], strict=True):
        colours = {tuple(colour) for colour in np.asarray(frame)[360:].reshape(-1, 3).tolist()}
        assert ((226, 70, 62) in colours) == (available.min() == 0)


def test_unfit_environments_and_calls_are_refused() -> None:
    with pytest.raises(TypeError, match="need a Dict observation"):
        VectorSensorDropout(gymnasium.make_vec("Pendulum-v1", num_envs=2), [])
    envs = MultimodalPendulumVectorEnv(2)
    with pytest.raises(ValueError, match=r"no channels \['camera'\]"):
        VectorSensorDropout(envs, [{"pattern": "fixed", "channels": ["camera"]}])
    with pytest.raises(ValueError, match="reset_mask needs autoreset_mode DISABLED, got NEXT_STEP"):
        VectorSensorDropout(envs, []).reset(options={"reset_mask": np.ones(2, np.bool_)})
    envs.metadata = {}
    with pytest.raises(ValueError, match=r"must tell its autoreset mode .* got None"):
        VectorSensorDropout(envs, [])
