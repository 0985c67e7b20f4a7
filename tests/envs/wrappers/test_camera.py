"""A camera on environments that render themselves, and on MuJoCo's."""

import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled

import mmrl_envs  # noqa: F401  (registers the ids)
from mmrl_envs.mujoco.camera import MujocoCamera, follow_robot
from mmrl_envs.wrappers.camera import CameraObservation

WITHOUT_OPENGL = """
import ctypes, ctypes.util

load = ctypes.CDLL.__init__

def refuse(library, name, *arguments, **options):
    if any(kind in str(name) for kind in ("EGL", "OSMesa")):
        raise OSError(f"{name}: cannot open shared object file")
    load(library, name, *arguments, **options)

ctypes.CDLL.__init__, ctypes.util.find_library = refuse, lambda name: None
from mmrl_envs.mujoco.simulation import import_mujoco
import_mujoco("a camera")
"""
PENDULUM = "mmrl/MultimodalPendulum-v0"
SCENE = """
<mujoco>
  <worldbody>
    <light pos="2 0 4" dir="-.4 0 -1" directional="true"/>
    <camera name="top" pos="0 0 6"/>
    <camera pos="0 -6 1" xyaxes="1 0 0 0 0 1"/>
    <geom type="plane" size="5 5 1" rgba=".5 .5 .5 1"/>
    <body name="ball" pos="0 0 1"><freejoint/><geom size=".3" rgba="1 0 0 1"/></body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def pendulum() -> gymnasium.Env[Any, Any]:
    return gymnasium.make(PENDULUM, render_mode="rgb_array")


@pytest.fixture
def mujoco(monkeypatch: pytest.MonkeyPatch) -> Any:
    """MuJoCo, where it can render without a display."""
    module = pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    model = module.MjModel.from_xml_string(SCENE)
    camera = None
    try:
        camera = MujocoCamera(model, 8, 8, "top")
        camera.render(module.MjData(model))
    except DependencyNotInstalled as error:
        pytest.skip(f"needs OpenGL: {error}")
    camera.close()
    return module


def ball_at(mujoco: Any, x: float, y: float = 0.0, z: float = 1.0) -> tuple[Any, Any]:
    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    data.qpos[:3] = x, y, z
    mujoco.mj_forward(model, data)
    return model, data


def red(image: Any) -> Any:
    """Mean row and column of the red pixels of an RGB image."""
    return np.argwhere((image[..., 0] > 80) & (image[..., 1] < 40)).mean(axis=0)


def picture(env: gymnasium.Env[Any, Any]) -> Any:
    return env.render()


class TestOfRender:
    def test_nothing_follows_where_there_is_no_robot(self, pendulum: Any) -> None:
        follow_robot(pendulum)
        assert not hasattr(pendulum.unwrapped, "mujoco_renderer")

    def test_the_image_is_the_render_resized(self, pendulum: Any) -> None:
        env = CameraObservation(pendulum, size=(40, 50))
        observation, _ = env.reset(seed=0)
        expected = cv2.resize(picture(env), (50, 40), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(observation["camera"], expected.transpose(2, 0, 1))
        assert env.observation_space.contains(observation)
        after, *_ = env.step(np.ones(1, np.float32))
        assert (after["camera"] != observation["camera"]).any()

    def test_gray_is_one_plane(self, pendulum: Any) -> None:
        env = CameraObservation(pendulum, name="eye", size=32, grayscale=True)
        observation, _ = env.reset(seed=0)
        small = cv2.resize(picture(env), (32, 32), interpolation=cv2.INTER_AREA)
        assert observation["eye"].shape == (1, 32, 32)
        np.testing.assert_array_equal(
            observation["eye"][0], cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        )

    def test_an_observation_that_is_no_dict_gets_a_name(self, replay: Any) -> None:
        bare = replay(spaces.Box(0, 1, (3,), np.float32), [np.ones(3, np.float32)])
        bare.render_mode, bare.render = "rgb_array", lambda: np.full((9, 9, 3), 7, np.uint8)
        observation, _ = CameraObservation(bare, size=9, state_name="joints").reset()
        np.testing.assert_array_equal(observation["joints"], np.ones(3))
        assert observation["camera"].tolist() == np.full((3, 9, 9), 7).tolist()

    def test_a_render_that_is_no_image_is_refused(self, replay: Any) -> None:
        bare = replay(spaces.Box(0, 1, (3,), np.float32), [np.ones(3, np.float32)])
        bare.render_mode, bare.render = "rgb_array", lambda: [np.zeros((9, 9, 3), np.uint8)]
        with pytest.raises(ValueError, match=r"render\(\) of ReplayEnv must .* got list"):
            CameraObservation(bare).reset()

    def test_a_missing_render_mode_is_refused(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"needs .* mode 'rgb_array', got None; .*Pendulum.* has \['rgb_array'\]: make it",
        ):
            CameraObservation(gymnasium.make(PENDULUM))

    def test_an_environment_without_that_mode_is_refused(self, replay: Any) -> None:
        with pytest.raises(ValueError, match=r"ReplayEnv has \[\]: it cannot be seen"):
            CameraObservation(replay(spaces.Discrete(2), [0]))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"size": 4}, "size must be at least 8, got 4"),
            ({"size": (64, 64, 3)}, r"size must be a number or \(height, width\)"),
            ({"name": "image"}, "a channel 'image' exists already"),
            ({"name": "available"}, "'available' cannot name a channel"),
            ({"source": "gpu"}, "source must be 'auto', 'mujoco' or 'render', got 'gpu'"),
            ({"view": "top"}, "view is for MuJoCo environments, got view='top'"),
        ],
    )
    def test_wrong_arguments_are_refused(
        self, pendulum: Any, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            CameraObservation(pendulum, **arguments)

    def test_mujoco_of_another_environment_is_refused(self, pendulum: Any) -> None:
        pytest.importorskip("mujoco", reason="needs mmrl[mujoco]")
        with pytest.raises(TypeError, match=r"holds a MuJoCo `model`.*got MultimodalPendulumEnv"):
            CameraObservation(pendulum, source="mujoco")

    def test_mujoco_that_is_not_installed_is_named(
        self, pendulum: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "mujoco", None)
        with pytest.raises(DependencyNotInstalled, match=r"pip install 'mmrl\[mujoco\]'"):
            CameraObservation(pendulum, source="mujoco")


class TestMujocoCamera:
    def test_it_sees_what_moves_where_it_is(self, mujoco: Any) -> None:
        camera = MujocoCamera(ball_at(mujoco, 0)[0], 48, 64, "top")
        middle = camera.render(ball_at(mujoco, 0)[1])
        assert middle.shape == (48, 64, 3)
        np.testing.assert_allclose(red(middle), [23.5, 31.5], atol=0.6)
        right, up = (red(camera.render(ball_at(mujoco, *at)[1])) for at in ((1, 0), (0, 1)))
        assert right[1] > 35
        assert abs(right[0] - 23.5) < 1
        assert up[0] < 20  # rows go downwards
        np.testing.assert_array_equal(camera.render(ball_at(mujoco, 0)[1]), middle)

    def test_a_ball_casts_no_shadow(self, mujoco: Any) -> None:
        model, data = ball_at(mujoco, 0)
        camera = MujocoCamera(model, 64, 64, "top")
        with_ball, without = camera.render(data), camera.render(ball_at(mujoco, 9)[1])
        changed = (with_ball != without).any(axis=-1)
        ball = (with_ball[..., 0] > with_ball[..., 1] + 20) & changed
        np.testing.assert_array_equal(changed, ball)

    def test_the_model_stays_as_it_is(self, mujoco: Any) -> None:
        model, data = ball_at(mujoco, 0)
        size, quality = model.vis.global_, model.vis.quality
        before = size.offwidth, size.offheight, quality.offsamples, quality.shadowsize
        MujocoCamera(model, 16, 16, "top").render(data)
        assert (size.offwidth, size.offheight, quality.offsamples, quality.shadowsize) == before
        assert min(before) > 0

    def test_a_free_view_moves_with_a_body(self, mujoco: Any) -> None:
        model, data = ball_at(mujoco, 3)
        view = {"body": "ball", "distance": 4, "elevation": -30, "azimuth": 90}
        image = MujocoCamera(model, 33, 33, view).render(data)
        np.testing.assert_allclose(red(image), [16, 16], atol=1)

    def test_it_opens_again_after_close(self, mujoco: Any) -> None:
        model, data = ball_at(mujoco, 0)
        camera = MujocoCamera(model, 16, 16, 1)
        image = camera.render(data)
        camera.close()
        np.testing.assert_array_equal(camera.render(data), image)

    @pytest.mark.parametrize(
        ("view", "message"),
        [
            ("left", r"no camera 'left': the model has \['top', ''\]; a free view is a mapping"),
            (2, r"no camera 2: the model has \['top', ''\]"),
            ({"zoom": 2}, r"a free view has no \['zoom'\]; it may have lookat, distance"),
            ({"body": "hand"}, r"no body 'hand' to look at: the model has \['world', 'ball'\]"),
            ({"body": "ball", "lookat": (0, 0, 0)}, "either at a body or at a point"),
        ],
    )
    def test_wrong_views_are_refused(self, mujoco: Any, view: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            MujocoCamera(ball_at(mujoco, 0)[0], 16, 16, view)

    def test_a_missing_library_is_named_at_construction(
        self, mujoco: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "mujoco.egl", None)
        env = gymnasium.make("InvertedPendulum-v5")
        with pytest.raises(DependencyNotInstalled, match=r"no OpenGL library.*install libegl1"):
            CameraObservation(env)

    @pytest.mark.parametrize("kind", ["egl", "osmesa"])
    def test_a_missing_library_is_named_when_mujoco_asks_for_it(self, kind: str) -> None:
        process = subprocess.run(
            [sys.executable, "-c", WITHOUT_OPENGL],
            env={**os.environ, "MUJOCO_GL": kind, "PYOPENGL_PLATFORM": kind},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "DependencyNotInstalled: MuJoCo has no OpenGL library" in process.stderr
        assert f"(MUJOCO_GL='{kind}'; AttributeError: " in process.stderr

    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # it is right
    def test_a_fork_after_rendering_is_refused_instead_of_hanging(self, mujoco: Any) -> None:
        model, data = ball_at(mujoco, 0)
        MujocoCamera(model, 16, 16, "top").render(data)
        context = multiprocessing.get_context("fork")
        messages = context.SimpleQueue()

        def render() -> None:
            try:
                MujocoCamera(model, 16, 16, "top").render(data)
            except RuntimeError as error:
                messages.put(str(error))

        process = context.Process(target=render)
        process.start()
        process.join(timeout=60)
        assert process.exitcode == 0
        assert "'spawn' or 'forkserver'" in messages.get()


class TestOfRobots:
    def test_it_needs_no_render_mode_and_follows_the_robot(self, mujoco: Any) -> None:
        env = CameraObservation(gymnasium.make("HalfCheetah-v5"), size=(48, 64))
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(observation)
        assert observation["camera"].shape == (3, 48, 64)
        bare: Any = env.unwrapped
        warm = ((observation["camera"][0] - observation["camera"][2].astype(int)) > 20).sum()
        bare.data.qpos[0] += 30.0
        mujoco.mj_forward(bare.model, bare.data)
        far = env.observation(observation["state"])["camera"]
        assert ((far[0] - far[2].astype(int)) > 20).sum() > 0.8 * warm > 0

    @pytest.mark.parametrize(
        ("chosen", "camera"),
        [({}, "track"), ({"camera_id": 0}, None), ({"camera_name": "track"}, None)],
    )
    def test_a_video_follows_the_robot_unless_a_camera_was_chosen(
        self, mujoco: Any, chosen: dict[str, Any], camera: str | None
    ) -> None:
        env: Any = gymnasium.make("HalfCheetah-v5", render_mode="rgb_array", **chosen)
        renderer = env.unwrapped.mujoco_renderer
        before = renderer.camera_id
        follow_robot(env)
        if camera is None:
            assert renderer.camera_id == before != -1
        else:
            kind = mujoco.mjtObj.mjOBJ_CAMERA
            assert before == -1
            assert mujoco.mj_id2name(env.unwrapped.model, kind, renderer.camera_id) == camera

    def test_the_viewer_of_the_environment_is_left_alone(
        self, mujoco: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MUJOCO_GL", "egl")  # Gymnasium's viewer tries a window otherwise
        bare, seen = (
            gymnasium.make("InvertedPendulum-v5", render_mode="rgb_array", width=96, height=96)
            for _ in range(2)
        )
        expected = []
        for step in range(3):
            bare.reset(seed=step)
            expected.append(picture(bare))
        bare.close()
        env = CameraObservation(CameraObservation(seen), name="second", view={"distance": 5})
        for step in range(3):
            env.reset(seed=step)
            np.testing.assert_array_equal(picture(env), expected[step])
        env.close()

    def test_viewers_and_cameras_of_several_environments_do_not_mix(
        self, mujoco: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MUJOCO_GL", "egl")
        viewed = [
            gymnasium.make("InvertedPendulum-v5", render_mode="rgb_array", width=96, height=96)
            for _ in range(2)
        ]
        for env in viewed:
            env.reset(seed=0)
        expected = picture(viewed[1])
        seen = CameraObservation(gymnasium.make("Hopper-v5"))
        observation, _ = seen.reset(seed=0)
        np.testing.assert_array_equal(picture(viewed[1]), expected)
        viewed.pop().close()
        gc.collect()  # frees the viewer's resources, after the context that they were in
        again, _ = seen.reset(seed=0)
        np.testing.assert_array_equal(again["camera"], observation["camera"])
        expected = picture(viewed[0])
        seen.close()
        np.testing.assert_array_equal(picture(viewed[0]), expected)
        viewed.pop().close()

    def test_two_cameras_see_two_things(self, mujoco: Any) -> None:
        env = CameraObservation(gymnasium.make("Hopper-v5"), name="side")
        env = CameraObservation(env, name="top", view={"body": "torso", "elevation": -90})
        first, _ = env.reset(seed=0)
        again, _ = env.reset(seed=0)
        assert list(first) == ["side", "state", "top"]
        assert (first["side"] != first["top"]).any()
        for name, values in first.items():
            np.testing.assert_array_equal(values, again[name])

    def test_a_copy_through_pickle_sees_the_same(self, mujoco: Any) -> None:
        env = CameraObservation(gymnasium.make("Hopper-v5"), size=32)
        expected, _ = env.reset(seed=3)
        observation, _ = pickle.loads(pickle.dumps(env)).reset(seed=3)  # noqa: S301  (our own)
        np.testing.assert_array_equal(observation["camera"], expected["camera"])

    def test_forked_vector_environments_render(self, mujoco: Any) -> None:
        """What Gymnasium's AsyncVectorEnv does by default, in a process that has not rendered."""
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=render_in_forks)
        process.start()
        process.join(timeout=120)
        assert process.exitcode == 0


def test_what_an_environment_does_before_it_renders_is_done(mujoco: Any) -> None:
    """As gymnasium-robotics, which only then moves the marks of goals to their places."""
    env = CameraObservation(gymnasium.make("Hopper-v5"), size=32)
    bare: Any = env.unwrapped
    before = env.reset(seed=0)[0]["camera"]

    def paint() -> None:
        bare.model.geom_rgba[:] = 0, 0, 1, 1

    bare._render_callback = paint
    after = env.reset(seed=0)[0]["camera"]
    painted = (after != before).any(axis=0)
    assert painted.any()
    assert (after[2] > after[0])[painted].all()
    env.close()


def make_hopper() -> gymnasium.Env[Any, Any]:
    return CameraObservation(gymnasium.make("Hopper-v5"), size=32)


def render_in_forks() -> None:
    envs = gymnasium.vector.AsyncVectorEnv([make_hopper] * 2, context="fork")
    observation, _ = envs.reset(seed=0)
    assert observation["camera"].shape == (2, 3, 32, 32)
    assert observation["camera"].std() > 10
    envs.close()
