"""docs/your-robot.md is true: its files, its commands and its code are run, in its order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "your-robot.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+) ?(\S*)\n(?!--8<--)(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
TINY = {
    "mmrl.train": """collect.samples=40 collect.test_samples=10 collect.warmup_timesteps=64
        collect.n_envs=2 fit.steps=2 fit.batch_size=8 agent.total_timesteps=64 agent.n_envs=2
        agent.arguments.learning_starts=16 agent.arguments.batch_size=16 evaluate.episodes=1
        evaluate.n_envs=1 evaluate.rates=[] evaluate.video=false env.kwargs.max_episode_steps=10
        belief.total_timesteps=64 belief.rounds=2 belief.n_envs=2 belief.updates=4 belief.window=8
        """,
    "mmrl.evaluate": "episodes=1 n_envs=1 rates=[] video=false",
}


def blocks(kind: str) -> list[str]:
    return [content for language, _, content in BLOCKS if language == kind]


def need_a_camera() -> None:
    gym = pytest.importorskip("gymnasium")
    pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    from mmrl_envs.wrappers.camera import CameraObservation

    try:
        CameraObservation(gym.make("HalfCheetah-v5"), size=8).reset()
    except gym.error.DependencyNotInstalled as error:
        pytest.skip(f"needs OpenGL: {error}")


@pytest.mark.slow
def test_the_guide_is_followed_word_by_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need_a_camera()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    ran = 0
    for language, name, content in BLOCKS:
        if language == "yaml":
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content)
        elif language == "python":
            exec(content, names)  # noqa: S102  (our own)
        elif language == "console" and content.startswith("python"):
            follow(content)
            ran += 1
    assert ran == 4
    printed = capsys.readouterr().out
    for claim in re.findall(r"^prints `(.*?)`", TEXT, re.MULTILINE):
        assert claim in printed


def follow(line: str) -> None:
    python, flag, module, *arguments = shlex.split(line)
    assert (python, flag) == ("python", "-m")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, *TINY[module].split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_files_name_where_they_belong_and_are_yaml() -> None:
    files = [(name, content) for language, name, content in BLOCKS if language == "yaml"]
    assert [name for name, _ in files] == [
        "conf/env/my_robot.yaml",
        "conf/experiment/my_robot.yaml",
    ]
    for _, content in files:
        assert isinstance(yaml.safe_load(content), dict)


def test_errors_are_said_in_these_words() -> None:
    folders = ("mmrl", "envs/mmrl_envs", "agents/mmrl_agents")
    sources = [path.read_text("utf-8") for f in folders for path in (ROOT / f).rglob("*.py")]
    code = re.sub(r'"\s*f?"', "", "\n".join(sources))  # parts of one message, joined
    said = re.findall(r"^\| `(.*?)` \|", TEXT, re.MULTILINE)
    assert len(said) >= 5
    for words in said:
        for part in words.split("…"):  # numbers and names of the case
            assert part.strip() in code, words


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists()


def test_settings_for_rl_zoo_name_environments_and_wrappers_that_exist() -> None:
    import gymnasium

    import mmrl_envs

    settings = yaml.safe_load((ROOT / "docs" / "rl-zoo.yaml").read_text("utf-8"))
    assert set(settings) == {"mmrl/MultimodalPendulum-v0", "mmrl/HyperHot-v0"}
    for name, own in settings.items():
        env = gymnasium.make(name)
        for wrapper in own["env_wrapper"]:
            ((path, arguments),) = wrapper.items()
            package, _, kind = path.rpartition(".")
            assert package == "mmrl_envs"
            env = getattr(mmrl_envs, kind)(env, **arguments)
        assert "available" in env.reset(seed=0)[0]
        assert own["policy"] == "MultiInputPolicy"
