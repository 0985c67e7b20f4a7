"""One encoder for a classifier and a policy: taken from either kind of run, with equal features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from hydra import compose, initialize_config_dir

from mmrl import checkpoint, launch
from mmrl.control.config import from_mapping
from mmrl.methods import METHODS
from mmrl.methods.downstream import Downstream
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.modality import Modality
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.pretrained_encoder import pretrained_encoder
from mmrl.settings import ConfigError
from mmrl_agents.latent import LatentVecEnv
from mmrl_agents.vec_env import GymnasiumVecEnv
from mmrl_envs.digit_dial import DigitDialVectorEnv

IMAGE, SOUND = Modality("image", (1, 8, 8), "image"), Modality("sound", (3,), "vector")
SMALL = GMCConfig(
    latent_dim=4, common_dim=6, head=(5,), encoders={"image": {"channels": [3]}}, standardize=False
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split in ("train", "test"):
        arrays[f"{split}/image"] = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
        arrays[f"{split}/sound"] = rng.normal(size=(40, 3)).astype(np.float32)
        arrays[f"{split}/target"] = np.arange(40) % 4
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[GMC, Path]:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run")
    method = GMC([IMAGE, SOUND], SMALL).eval()
    checkpoint.save(method, folder)
    return method, folder


def settings(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=[*overrides, "device=cpu"]))
    plain.pop("resume")
    return plain


def classification(data: Path, folder: Path, *overrides: str) -> dict[str, Any]:
    return settings(
        "task=classification",
        "data=file",
        f"data.path={data}",
        f"encoder={folder}",
        "missing.test=null",
        "fit.steps=3",
        "fit.batch_size=8",
        "fit.accelerator=cpu",
        *overrides,
    )


def control(data: Path, folder: Path, *overrides: str) -> dict[str, Any]:
    return settings(
        "experiment=smoke",
        "env=digit_dial",
        "agent=ppo",
        "agent.total_timesteps=16",
        "agent.n_envs=2",
        "agent.arguments={n_steps: 8, batch_size: 8, n_epochs: 1}",
        "evaluate.video=false",
        "evaluate.rates=[]",
        f"env.kwargs={{data: {data}}}",
        f"encoder={folder}",
        *overrides,
    )


def start(content: dict[str, Any], path: Path) -> RunFolder:
    return RunFolder.open(launch.run(content, path).path)


def test_a_policy_and_a_classifier_see_the_same_features(
    data: Path, trained: tuple[GMC, Path], tmp_path: Path
) -> None:
    method, folder = trained
    classifier = start(classification(data, folder), tmp_path / "classifier")
    assert "downstream," in (classifier.path / "scores.csv").read_text()  # no method of its own
    # The policy takes the encoder from the classifier's run, the classifier had it from another.
    policy = start(control(data, classifier.path), tmp_path / "policy")
    assert list(policy.stages) == ["pretrain", "train", "evaluate"]
    encoder = checkpoint.load(policy.path)
    assert isinstance(encoder, GMC)
    venv = GymnasiumVecEnv(DigitDialVectorEnv(5, data=data, autoreset_mode=AutoresetMode.SAME_STEP))
    venv.seed(3)
    observations = venv.reset()
    assert isinstance(observations, dict)
    values = {name: torch.as_tensor(x) for name, x in observations.items()}
    venv.seed(3)
    seen_by_policy = LatentVecEnv(venv, encoder).reset()
    with torch.inference_mode():
        seen_by_classifier = checkpoint.load(classifier.path).encode(values).numpy()
        original = method.encode(values).numpy()
    assert isinstance(seen_by_policy, np.ndarray)
    np.testing.assert_allclose(seen_by_policy, original, atol=1e-6)
    np.testing.assert_allclose(seen_by_classifier, original, atol=1e-6)
    assert float(np.abs(original).max()) > 0.1


def test_an_encoder_learns_with_the_classifier_only_where_it_is_told_to(
    data: Path, trained: tuple[GMC, Path], tmp_path: Path
) -> None:
    method, folder = trained
    weights = method.state_dict()
    for finetune in (False, True):
        content = classification(data, folder, f"classifier.finetune={str(finetune).lower()}")
        run = start(content, tmp_path / str(finetune))
        found = checkpoint.load(run.path)
        assert isinstance(found, Downstream)
        same = [torch.equal(weights[k], v) for k, v in found.encoder.state_dict().items()]
        assert all(same) is not finetune


def test_the_kind_of_a_modality_is_the_encoders(trained: tuple[GMC, Path], tmp_path: Path) -> None:
    """What a data set calls a label, the encoder has as a vector: same name, same shape."""
    _, folder = trained
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {"kinds/sound": np.array("label")}
    for split in ("train", "test"):
        arrays[f"{split}/image"] = rng.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
        arrays[f"{split}/sound"] = rng.random((40, 3)).astype(np.float32)
        arrays[f"{split}/target"] = np.arange(40) % 4
    np.savez(tmp_path / "data.npz", **arrays)
    run = start(classification(tmp_path / "data.npz", folder), tmp_path / "run")
    assert checkpoint.load(run.path).modalities == (IMAGE, SOUND)


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ([IMAGE], r"there is no 'sound'"),
        ([IMAGE, SOUND, Modality("smell", (2,), "vector")], r"'smell' is unknown to it"),
        (
            [IMAGE, Modality("sound", (7,), "vector")],
            r"'sound' has the shape \(7,\) instead of \(3,\)",
        ),
        ([SOUND, IMAGE], r"in the order \['sound', 'image'\] instead of \['image', 'sound'\]"),
    ],
)
def test_what_does_not_fit_is_named(
    trained: tuple[GMC, Path], modalities: list[Modality], message: str
) -> None:
    _, folder = trained
    with pytest.raises(ConfigError, match=message):
        pretrained_encoder(str(folder), modalities)


def test_a_run_is_refused_before_any_work(
    data: Path, trained: tuple[GMC, Path], tmp_path: Path
) -> None:
    _, folder = trained
    other = tmp_path / "other"
    checkpoint.save(METHODS["concat"]([IMAGE, Modality("touch", (3,), "vector")]), other)
    for content in (classification(data, other), control(data, other)):
        with pytest.raises(ConfigError, match="there is no 'touch'; 'sound' is unknown to it"):
            launch.run(content, tmp_path / "run")
    with pytest.raises(ConfigError, match="encoder: no checkpoint at nowhere"):
        launch.run(control(data, Path("nowhere")), tmp_path / "run")
    with pytest.raises(ConfigError, match="but method is none"):
        from_mapping(control(data, folder, "method=none"))
