"""What training a policy leaves behind."""

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from mmrl import control
from mmrl.config import CONFIGS, from_mapping, to_plain
from mmrl.progress import Curve
from mmrl_agents.build import build_agent


def test_the_replay_buffer_is_freed_when_the_policy_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = ["experiment=smoke", "method=none", "agent.frames=120", "device=cpu"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(compose("train", overrides=overrides))
    plain.pop("resume")
    buffers: list[weakref.ref[Any]] = []

    def watched(*arguments: Any, **settings: Any) -> Any:
        model: Any = build_agent(*arguments, **settings)
        buffers.append(weakref.ref(model.replay_buffer))
        return model

    monkeypatch.setattr(control, "build_agent", watched)
    (tmp_path / "scratch").mkdir()
    curve = Curve(tmp_path / "curve.csv", "frames")
    gc.disable()  # it would free the buffer by chance
    try:
        model, cost = control.train_policy(
            from_mapping(plain), None, tmp_path, tmp_path / "scratch", curve, lambda _: None
        )
        assert buffers[0]() is None
    finally:
        gc.enable()
    assert cost.replay_megabytes > 1
    assert model.num_timesteps == 120
