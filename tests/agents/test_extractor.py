from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from mmrl import checkpoint
from mmrl.modality import Modality
from mmrl_agents.extractor import EncoderExtractor
from mmrl_agents.vec_env import GymnasiumVecEnv
from tests.agents.tiny import CAMERA, TinyEncoder, TwoSensors, vectorized

OFF_POLICY: dict[str, Any] = {"buffer_size": 64, "learning_starts": 8, "batch_size": 4}
ALGORITHMS: list[tuple[type[BaseAlgorithm], dict[str, Any]]] = [
    (PPO, {"n_steps": 8, "batch_size": 8, "n_epochs": 2}),
    (A2C, {"n_steps": 4}),
    (SAC, OFF_POLICY),
    (TD3, OFF_POLICY),
    (DDPG, OFF_POLICY),
]
every_algorithm = pytest.mark.parametrize(("algorithm", "arguments"), ALGORITHMS)


def envs(**kwargs: Any) -> VecEnv:
    return GymnasiumVecEnv(vectorized(partial(TwoSensors, **kwargs)))


def build(
    algorithm: type[BaseAlgorithm], arguments: dict[str, Any], file: Path, **kwargs: Any
) -> BaseAlgorithm:
    policy_kwargs = {
        "net_arch": [8],
        "features_extractor_class": EncoderExtractor,
        "features_extractor_kwargs": {"checkpoint": str(file), **kwargs},
    }
    return algorithm("MultiInputPolicy", envs(), policy_kwargs=policy_kwargs, seed=0, **arguments)


def extractors(model: BaseAlgorithm) -> list[EncoderExtractor]:
    return [m for m in model.policy.modules() if isinstance(m, EncoderExtractor)]


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@every_algorithm
def test_pretrained_weights_survive_construction(
    algorithm: type[BaseAlgorithm],
    arguments: dict[str, Any],
    encoder_file: Path,
    encoder: TinyEncoder,
) -> None:
    """PPO and A2C initialise features extractors like their own layers."""
    found = extractors(build(algorithm, arguments, encoder_file))
    assert found
    for extractor in found:
        assert same(weights(encoder), weights(extractor.encoder))


@every_algorithm
def test_a_frozen_encoder_is_not_trained_and_keeps_its_statistics(
    algorithm: type[BaseAlgorithm],
    arguments: dict[str, Any],
    encoder_file: Path,
    encoder: TinyEncoder,
) -> None:
    """`policy.train(True)` would put it back into training mode."""
    model = build(algorithm, arguments, encoder_file, freeze=True).learn(32)
    model.policy.set_training_mode(True)
    for extractor in extractors(model):
        assert not any(module.training for module in extractor.encoder.modules())
        assert same(weights(encoder), weights(extractor.encoder))


@every_algorithm
def test_fine_tuning_changes_the_encoder_but_not_its_statistics(
    algorithm: type[BaseAlgorithm],
    arguments: dict[str, Any],
    encoder_file: Path,
    encoder: TinyEncoder,
) -> None:
    model = build(algorithm, arguments, encoder_file).learn(32)
    tuned, original = weights(extractors(model)[0].encoder), weights(encoder)
    assert not torch.equal(tuned["maps.joints.weight"], original["maps.joints.weight"])
    assert torch.equal(tuned["norm.running_mean"], original["norm.running_mean"])


@pytest.mark.parametrize(("algorithm", "arguments"), ALGORITHMS[2:])
def test_target_networks_have_copies_of_their_own_that_lag(
    algorithm: type[BaseAlgorithm],
    arguments: dict[str, Any],
    encoder_file: Path,
    encoder: TinyEncoder,
) -> None:
    """One module in `features_extractor_kwargs` would be shared by critic and target."""
    model = build(algorithm, {**arguments, "tau": 0.01}, encoder_file).learn(48)
    critic, target = model.policy.critic, model.policy.critic_target
    assert critic.features_extractor is not target.features_extractor  # type: ignore[union-attr]
    name = "features_extractor.encoder.maps.joints.weight"
    start = encoder.state_dict()["maps.joints.weight"]
    moved = (critic.state_dict()[name] - start).norm()  # type: ignore[union-attr]
    followed = (target.state_dict()[name] - start).norm()  # type: ignore[union-attr]
    assert 0 < followed < 0.5 * moved


@every_algorithm
def test_no_module_is_pickled_into_the_file(
    algorithm: type[BaseAlgorithm],
    arguments: dict[str, Any],
    encoder_file: Path,
    tmp_path: Path,
) -> None:
    model = build(algorithm, arguments, encoder_file)
    model.save(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        data = json.loads(archive.read("data"))
    assert data["policy_kwargs"]["features_extractor_kwargs"]["checkpoint"] == str(encoder_file)
    assert len(data["policy_kwargs"][":serialized:"]) < 1000
    again = algorithm.load(tmp_path / "model.zip")
    assert same(weights(model.policy), weights(again.policy))


def test_old_and_new_policy_agree_before_any_update(encoder_file: Path) -> None:
    """Dropout and batch statistics in the first epoch would look like a change of the policy."""
    model = build(
        PPO, {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "learning_rate": 0.0}, encoder_file
    )
    model.learn(16)
    assert model.logger.name_to_value["train/approx_kl"] == pytest.approx(0, abs=1e-6)
    assert model.logger.name_to_value["train/clip_fraction"] == 0


def space_of(*missing: str, mask: bool = True) -> spaces.Space[Any]:
    channels = TwoSensors(with_mask=mask).channels
    return spaces.Dict([(k, v) for k, v in channels.items() if k not in missing])


def observe(rows: int = 3, mask: Sequence[Sequence[int]] | None = None) -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    observation = {
        "camera": torch.from_numpy(rng.integers(0, 256, (rows, *CAMERA), np.uint8)),
        "joints": torch.from_numpy(rng.normal(size=(rows, 3)).astype(np.float32)),
    }
    if mask is not None:
        observation["available"] = torch.tensor(mask, dtype=torch.int8)
    return observation


def features(extractor: EncoderExtractor, observation: dict[str, Tensor], **kwargs: bool) -> Tensor:
    """What Stable-Baselines3 gets: the observation is preprocessed first."""
    space = extractor._observation_space
    result: Tensor = extractor(preprocess_obs(observation, space, **kwargs))
    return result


@pytest.mark.parametrize("normalized", [True, False])
def test_the_encoder_sees_what_the_environment_delivers(
    encoder_file: Path, encoder: TinyEncoder, normalized: bool
) -> None:
    """Stable-Baselines3 divides images by 255 and hands over floats."""
    extractor = EncoderExtractor(space_of(), str(encoder_file), normalized=normalized)
    mask = [[1, 1], [0, 1], [1, 0]]
    observation = observe(mask=mask)
    expected = encoder.eval().encode(
        {name: observation[name] for name in encoder.names}, torch.tensor(mask, dtype=torch.bool)
    )
    torch.testing.assert_close(
        features(extractor, observation, normalize_images=normalized), expected
    )


def test_values_under_a_false_mask_never_matter(encoder_file: Path) -> None:
    extractor = EncoderExtractor(space_of(), str(encoder_file))
    observation = observe(mask=[[1, 0]] * 3)
    expected = features(extractor, observation)
    for value in (7.0, float("nan")):
        observation["joints"] = torch.full((3, 3), value)
        assert torch.equal(features(extractor, observation), expected)


def test_nothing_available_is_zeros(encoder_file: Path) -> None:
    extractor = EncoderExtractor(space_of(), str(encoder_file))
    assert not features(extractor, observe(1, mask=[[0, 0]])).any()


def test_without_a_mask_everything_is_available(encoder_file: Path) -> None:
    with_mask = EncoderExtractor(space_of(), str(encoder_file))
    without = EncoderExtractor(space_of(mask=False), str(encoder_file))
    assert torch.equal(
        features(without, observe()), features(with_mask, observe(mask=[[1, 1]] * 3))
    )


def test_images_that_were_not_divided_are_noticed(encoder_file: Path) -> None:
    extractor = EncoderExtractor(space_of(), str(encoder_file))
    with pytest.raises(ValueError, match="normalized=False where the policy has normalize_images"):
        features(extractor, observe(), normalize_images=False)


def test_images_that_were_turned_are_turned_back(
    tmp_path: Path, encoder_file: Path, encoder: TinyEncoder
) -> None:
    """Stable-Baselines3 moves the channels of images to the front."""
    torch.manual_seed(0)
    channels_last = TinyEncoder((Modality("camera", (36, 40, 3), "image"),))
    checkpoint.save(channels_last, tmp_path)
    space = spaces.Dict({"camera": spaces.Box(0, 255, (3, 36, 40), np.uint8)})
    extractor = EncoderExtractor(space, str(tmp_path))
    images = torch.randint(0, 256, (2, 36, 40, 3), dtype=torch.uint8)
    torch.testing.assert_close(
        features(extractor, {"camera": images.permute(0, 3, 1, 2)}),
        channels_last.eval().encode({"camera": images}),
    )


def test_names_the_channels_that_do_not_fit(encoder_file: Path) -> None:
    with pytest.raises(ValueError, match="no channel 'joints'"):
        EncoderExtractor(space_of("joints", mask=False), str(encoder_file))
    with pytest.raises(TypeError, match="Dict observation"):
        EncoderExtractor(spaces.Box(-1, 1, (3,)), str(encoder_file))


def test_a_missing_checkpoint_is_named(encoder_file: Path) -> None:
    shutil.rmtree(encoder_file.parent)
    with pytest.raises(ValueError, match=r"encoder\.yaml"):
        EncoderExtractor(space_of(), str(encoder_file))
