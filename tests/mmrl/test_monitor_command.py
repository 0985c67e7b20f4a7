"""The monitor's command: fits, saves, measures; what it refuses."""

from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import mmrl
from mmrl.control.config import EnvConfig, TrainConfig, from_mapping
from mmrl.control.envs import make_envs
from mmrl.control.task import train
from mmrl.monitor import CommandConfig, left_out, work
from mmrl.report.results import files_of, read_results
from mmrl.runs.composed import CONFIGS, to_plain
from mmrl.runs.folder import RunFolder, RunFolderError
from mmrl.runs.progress import make_console
from mmrl.runs.settings import to_stored
from mmrl.settings import ConfigError, typed

QUICK = ["episodes=3", "monitor.steps=30", "monitor.samples=300", "monitor.calibration=300"]
QUICK += ["monitor.hidden=16", "monitor.false_alarm_rate=0.05"]
QUICK += ["burst.outage=6", "burst.uptime=8"]
OTHER_FAULTS = ("noise", "salt_and_pepper", "bias", "drift", "delay_5", "delay_10", "saturation")
QUICK += [f"~faults.{name}" for name in OTHER_FAULTS]


def config(*more: str) -> TrainConfig:
    overrides = ["experiment=smoke", "evaluate.episodes=1", "evaluate.video=false", *more]
    overrides += ["evaluate.rates=[]", "env.kwargs.episode_length=20"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        plain = to_plain(
            compose("train", overrides=[*overrides, "fit.steps=2", "agent.total_timesteps=120"])
        )
    plain.pop("resume")
    return from_mapping(plain)


def trained(folder: Path, *more: str) -> RunFolder:
    made = config(*more)
    run = RunFolder.create(folder, to_stored(made))
    train(made, run, make_console())
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained(tmp_path_factory.mktemp("outputs") / "run")


def monitor(*overrides: str) -> None:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = compose("monitor", overrides=[*QUICK, *overrides])
    work(settings)


def test_it_fits_saves_and_measures(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    monitor(f"run={run.path}")
    folder = run.path / "monitor-1"
    assert {p.name for p in folder.iterdir()} == {*files_of("monitor"), "monitor.png", "tb"}
    results = read_results(folder / "monitor.json")
    conditions = ["freeze of image", "freeze of sound", "occlusion of image"]
    assert list(dict.fromkeys(result.condition for result in results)) == conditions
    found = {(result.condition, result.metric): result.mean for result in results}
    for condition in conditions:
        assert 0 <= found[condition, "auroc"] <= 1
        assert found[condition, "healthy"] < 0
    output = capsys.readouterr().out
    assert "note: occlusion of sound is left out: occlusion needs an image" in output
    assert "AUROC" in output
    assert "5.0% false alarms allowed" in output
    watched = mmrl.load(run.path, monitor=True)
    assert watched.monitor is not None
    assert watched.monitor.names == ("image", "sound")

    written = (run.path / "monitor.safetensors").read_bytes()
    monitor(f"run={run.path}", "episodes=0")  # is there already
    assert (run.path / "monitor.safetensors").read_bytes() == written
    with pytest.raises(ConfigError, match="fitted with other settings"):
        monitor(f"run={run.path}", "monitor.steps=31")
    monitor(f"run={run.path}", "monitor.steps=31", "refit=true", "episodes=0")
    assert (run.path / "monitor.safetensors").read_bytes() != written
    assert not (run.path / "monitor-2").exists()


CART = EnvConfig(
    "CartPole-v1",
    wrappers=[{"name": "split", "slices": {"velocity": [1, 2], "pole": [[0, 1], [2, 4]]}}],
)


def notes(*overrides: str) -> list[str]:
    """What the shipped settings leave out on readings without bounds, as robots have them."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = compose("monitor", overrides=["run=x", *overrides])
    command = typed(CommandConfig, to_plain(settings), "")
    return left_out(command, partial(make_envs, CART), ["velocity", "pole"])


def test_faults_that_fit_no_sensor_are_left_out_with_a_note() -> None:
    made = notes()
    skipped = ("noise", "salt_and_pepper", "bias", "drift", "occlusion", "saturation")
    pairs = [f"{name} of {channel}" for name in skipped for channel in ("velocity", "pole")]
    assert [note.partition(" is left out: ")[0] for note in made] == pairs
    assert "channel 'velocity' has no finite bounds" in made[0]
    assert "scale" in made[0]
    assert len(notes("+faults.noise.scale=2")) == len(made) - 2
    assert notes("episodes=0") == []


@pytest.mark.parametrize("message", ["noise of pole is left out: .*'scale'", "episodes=0"])
def test_nothing_to_measure_is_refused(message: str) -> None:
    alone = [f"~faults.{name}" for name in ("freeze", "delay_5", "delay_10")]
    with pytest.raises(ConfigError, match=f"no fault fits any sensor.*{message}"):
        notes(*alone)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("monitor.false_alarm_rate=2", r"monitor: false_alarm_rate must lie between 0 and 1"),
        ("monitor.calibration=few", r"monitor.calibration must be a whole number"),
        ("episodes=-1", r"must not be negative, got -1"),
        ("+faults.freeze.strength=1", r"faults.freeze: unknown keys \['strength'\]"),
        ("burst.outage=0", r"faults.freeze: outage must be"),
    ],
)
def test_bad_settings_are_named(run: RunFolder, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        monitor(f"run={run.path}", override)


def test_an_agent_without_an_encoder_is_refused(tmp_path: Path) -> None:
    bare = trained(tmp_path / "bare", "method=none")
    with pytest.raises(ConfigError, match=r"acts on observations .method 'none'.: a monitor"):
        monitor(f"run={bare.path}")


def test_a_run_without_a_policy_is_refused(tmp_path: Path) -> None:
    empty = RunFolder.create(tmp_path / "empty", to_stored(config()))
    with pytest.raises(RunFolderError, match="has no trained policy"):
        monitor(f"run={empty.path}")
