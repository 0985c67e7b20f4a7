"""`CameraObservation`: any environment is seen by a camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from mmrl_envs.mujoco.camera import FREE_VIEW, TRACKING_CAMERA, MujocoCamera, View
from mmrl_envs.mujoco.simulation import check_simulated, is_simulated
from mmrl_envs.validation import check_integer
from mmrl_envs.wrappers.channels import (
    Observation,
    channel_space,
    check_new,
    named_channels,
    named_values,
)
from mmrl_envs.wrappers.conform import conform

Image = NDArray[np.uint8]


class CameraObservation(gymnasium.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Adds an image of the environment to its observation: uint8, channels first.

    Environments simulated by MuJoCo are rendered by :class:`~mmrl_envs.mujoco.camera.MujocoCamera`,
    many times faster than by their own `render()` where there is no GPU; they need no render mode.
    Of any other environment the image is its `render()`, which must be in mode "rgb_array", resized
    by averaging areas.

    Args:
        env: The environment. An observation that is no Dict becomes the channel `state_name`.
        name: Name of the image channel.
        size: Height and width of the image in pixels, or one number for both; at least 8.
        grayscale: One plane, shape (1, height, width), instead of three.
        source: "mujoco", "render", or "auto": the first for MuJoCo environments.
        view: View of a MuJoCo environment: the name or index of one of the model's cameras, or a
            mapping with any of `distance` (in the model's unit of length), `azimuth`, `elevation`
            (degrees) and either `lookat` (a point) or `body` (a name; the view moves with it).
            None takes the camera "track" of Gymnasium's walking robots, which moves with them,
            and without one the view that `render()` has at the beginning.
        state_name: Name of the observation that is there already, if it is no Dict.

    Raises:
        DependencyNotInstalled: MuJoCo or its OpenGL library is missing.
        TypeError: `source` is "mujoco" and the environment is another one.
        ValueError: A name is taken, the render mode is missing, the size or source is not one of
            the above, or the view does not exist.

    Example:
        >>> import mmrl_envs
        >>> env = gymnasium.make("mmrl/MultimodalPendulum-v0", render_mode="rgb_array")
        >>> env = CameraObservation(env, size=(40, 60), grayscale=True)
        >>> observation, info = env.reset(seed=0)
        >>> {name: values.shape for name, values in observation.items()}
        {'camera': (1, 40, 60), 'image': (2, 60, 60), 'sound': (2, 3, 2)}
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        name: str = "camera",
        size: int | Sequence[int] = 64,
        grayscale: bool = False,
        source: str = "auto",
        view: View | None = None,
        state_name: str = "state",
    ) -> None:
        RecordConstructorArgs.__init__(
            self,
            name=name,
            size=size,
            grayscale=grayscale,
            source=source,
            view=view,
            state_name=state_name,
        )
        super().__init__(env)
        channels = named_channels(env.observation_space, "CameraObservation", state_name)
        check_new([name], channels, "CameraObservation")
        self._name, self._state_name, self._grayscale = name, state_name, grayscale
        self._height, self._width = _check_size(size)
        self._view = view
        self._camera: MujocoCamera | None = None
        self._is_mujoco = _check_source(env, source)
        if self._is_mujoco:
            self._camera = self._mujoco_camera()
        elif view is not None:
            raise ValueError(f"view is for MuJoCo environments, got view={view!r} with render()")
        shape = (1 if grayscale else 3, self._height, self._width)
        channels[name] = spaces.Box(0, 255, shape, np.uint8)
        self.observation_space = channel_space(channels)

    def observation(self, observation: Any) -> Observation:
        """Return the observation with an image of the present state."""
        values = named_values(conform(observation, self.env.observation_space), self._state_name)
        values[self._name] = self._image()
        return dict(sorted(values.items()))

    def close(self) -> None:
        """Free the camera and close the environment."""
        if self._camera is not None:
            self._camera.close()
        super().close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_camera": None}

    def _image(self) -> Image:
        import cv2  # OpenCV loads only where frames are made

        frame: Any = self._simulated_frame() if self._is_mujoco else self._rendered_frame()
        if frame.shape[:2] != (self._height, self._width):
            frame = cv2.resize(frame, (self._width, self._height), interpolation=cv2.INTER_AREA)
        if self._grayscale:
            frame = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None]
        return np.ascontiguousarray(frame.transpose(2, 0, 1))

    def _rendered_frame(self) -> Image:
        frame: Any = self.env.render()
        if not (isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3):
            raise ValueError(
                f"render() of {type(self.env.unwrapped).__name__} must return a uint8 image of "
                f"shape (height, width, 3), got {type(frame).__name__} "
                f"{getattr(frame, 'dtype', '')} {getattr(frame, 'shape', '')}"
            )
        return frame[..., :3]

    def _simulated_frame(self) -> Image:
        bare: Any = self.env.unwrapped
        if self._camera is None or self._camera.model is not bare.model:
            self._camera = self._mujoco_camera()
        prepare = getattr(bare, "_render_callback", None)
        if prepare is not None:  # gymnasium-robotics moves the marks of goals to their places in it
            prepare()
        frame = self._camera.render(bare.data)
        # The environment's own viewer, if it is open, takes it for granted that it is current.
        viewer = getattr(getattr(bare, "mujoco_renderer", None), "viewer", None)
        if viewer is not None:
            viewer.make_context_current()
        return frame

    def _mujoco_camera(self) -> MujocoCamera:
        bare: Any = self.env.unwrapped
        view = _default_view(bare) if self._view is None else self._view
        return MujocoCamera(bare.model, self._height, self._width, view)


def _check_size(size: int | Sequence[int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2:
        raise ValueError(f"size must be a number or (height, width), got {size!r}")
    for value in pair:
        check_integer("size", value, 8)
    return pair[0], pair[1]


def _check_source(env: gymnasium.Env[Any, Any], source: str) -> bool:
    """Return whether the image comes from MuJoCo."""
    if source not in ("auto", "mujoco", "render"):
        raise ValueError(f"source must be 'auto', 'mujoco' or 'render', got {source!r}")
    if source == "mujoco":
        check_simulated(env, "CameraObservation(source='mujoco')")
    if source == "mujoco" or (source == "auto" and is_simulated(env)):
        return True
    if env.render_mode != "rgb_array":
        modes = env.metadata.get("render_modes", [])
        mend = (
            "make it with gymnasium.make(..., render_mode='rgb_array')"
            if "rgb_array" in modes
            else "it cannot be seen by a camera"
        )
        raise ValueError(
            f"CameraObservation needs an environment in render mode 'rgb_array', got "
            f"{env.render_mode!r}; {type(env.unwrapped).__name__} has {modes}: {mend}"
        )
    return False


def _default_view(bare: Any) -> View:
    cameras = [bare.model.camera(index).name for index in range(bare.model.ncam)]
    if TRACKING_CAMERA in cameras:
        return TRACKING_CAMERA
    config = getattr(getattr(bare, "mujoco_renderer", None), "default_cam_config", None)
    if not isinstance(config, Mapping):  # an unpickled InvertedDoublePendulum-v5 has a number here
        return {}
    return {key: value for key, value in config.items() if key in FREE_VIEW}
