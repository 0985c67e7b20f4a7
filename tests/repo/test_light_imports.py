"""Importing a package loads no more than it needs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        (
            "mmrl_envs",
            ["torch", "mmrl", "mmrl_agents", "stable_baselines3", "lightning_fabric", "hydra"],
        ),
        ("mmrl_envs", ["matplotlib", "mujoco", "pandas", "scipy", "sklearn"]),
        ("mmrl", ["stable_baselines3", "hydra", "lightning_fabric", "matplotlib", "mmrl_agents"]),
        ("mmrl_agents", ["hydra", "mmrl.train"]),
        ("mmrl.classification", ["stable_baselines3", "gymnasium", "cv2", "hydra", "mmrl.control"]),
        ("mmrl.control", ["hydra", "mmrl.classification"]),
    ],
)
def test_heavy_modules_stay_unloaded(package: str, heavy: list[str]) -> None:
    code = f"import sys, {package}; print(sorted(sys.modules.keys() & set({heavy!r})))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    assert loaded.strip() == "[]"
