"""A camera for MuJoCo models that is quick without a GPU.

MuJoCo's defaults are made for screens: on a processor nearly all of a small image's time goes into
shadows, reflections, four samples per pixel and a buffer of 640x480 or more. This camera leaves
them out (`benchmarks/camera.py` shows the difference).
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from mmrl_envs.mujoco.simulation import import_mujoco, no_opengl

View = str | int | Mapping[str, Any]

TRACKING_CAMERA = "track"
"""The camera that Gymnasium's walking robots carry: beside the robot, moving with it."""

FREE_VIEW = ("lookat", "distance", "azimuth", "elevation", "body")
_MAX_GEOMS = 10_000  # as MuJoCo's own renderer

_rendering_process: int | None = None
_open_cameras: weakref.WeakSet[MujocoCamera] = weakref.WeakSet()


class MujocoCamera:
    """Renders one view of a model off screen, without shadows, reflections and antialiasing.

    The OpenGL context is made with the first image, in the process that renders.

    Args:
        model: The `mujoco.MjModel`; it is left as it is.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        view: See :class:`~mmrl_envs.wrappers.camera.CameraObservation`.

    Raises:
        DependencyNotInstalled: There is no OpenGL library to render with.
        ValueError: The view does not exist.
    """

    def __init__(self, model: Any, height: int, width: int, view: View) -> None:
        self._context: Any = None  # first: __del__ reads it also where the lines below raise
        self.model = model
        self._mujoco = import_mujoco("a camera")
        self._context_class = _load_backend()
        self._body: str | None = None
        if isinstance(view, Mapping):
            self._camera = _free_camera(self._mujoco, model, view)
            self._body = view.get("body")
        else:
            self._camera = _find_camera(self._mujoco, model, view)
        self._rectangle = self._mujoco.MjrRect(0, 0, width, height)
        self._pixels = np.empty((height, width, 3), np.uint8)
        self._option = self._mujoco.MjvOption()
        self._scene: Any = None
        self._resources: Any = None

    def render(self, data: Any) -> NDArray[np.uint8]:
        """Return a new RGB image of the state, shape (height, width, 3)."""
        mujoco = self._mujoco
        if self._context is None:
            self._open()
        if self._body is not None:
            self._camera.lookat[:] = data.body(self._body).xpos
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(
            self.model, data, self._option, None, self._camera, everything, self._scene
        )
        with _preserved_context():
            self._context.make_current()
            mujoco.mjr_render(self._rectangle, self._scene, self._resources)
            mujoco.mjr_readPixels(self._pixels, None, self._rectangle, self._resources)
        return self._pixels[::-1].copy()  # OpenGL's rows go upwards

    def close(self) -> None:
        """Free the OpenGL context; another image opens it again."""
        if self._context is not None:
            with _preserved_context():
                self._context.make_current()
                self._resources.free()
                self._context.free()
            self._context = self._resources = self._scene = None
            _open_cameras.discard(self)

    def __del__(self) -> None:
        self.close()

    def _open(self) -> None:
        mujoco = self._mujoco
        _check_process()
        width, height = self._rectangle.width, self._rectangle.height
        try:
            with _preserved_context(), _smallest_buffers(self.model, width, height):
                self._context = self._context_class(width, height)
                self._context.make_current()
                font = mujoco.mjtFontScale.mjFONTSCALE_50
                self._resources = mujoco.MjrContext(self.model, font)
                offscreen = mujoco.mjtFramebuffer.mjFB_OFFSCREEN
                mujoco.mjr_setBuffer(offscreen, self._resources)
        except Exception as error:  # of MuJoCo, PyOpenGL or GLFW, where there is no display
            self._context = None
            raise no_opengl(error) from error
        if not _open_cameras:  # EGL ends at exit; what is registered after it comes before
            atexit.register(_close_cameras)
        _open_cameras.add(self)
        self._scene = mujoco.MjvScene(self.model, _MAX_GEOMS)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False


def follow_robot(env: gymnasium.Env[Any, Any]) -> None:
    """Lets Gymnasium's own renderer move with the robot, where nobody has chosen a camera.

    Otherwise a robot that runs leaves the picture. Nothing happens to environments without MuJoCo,
    and to models without a camera called `track`.
    """
    renderer: Any = getattr(env.unwrapped, "mujoco_renderer", None)
    if getattr(renderer, "camera_id", None) != -1:
        return
    mujoco = import_mujoco("a video")
    kind = mujoco.mjtObj.mjOBJ_CAMERA
    renderer.camera_id = mujoco.mj_name2id(renderer.model, kind, TRACKING_CAMERA)


def _close_cameras() -> None:
    for camera in list(_open_cameras):
        camera.close()


def _load_backend() -> Any:
    """Return the class of OpenGL contexts: MUJOCO_GL decides, EGL is Linux's default.

    MuJoCo's own default on Linux needs a display.
    """
    name = os.environ.get("MUJOCO_GL", "").strip().lower()
    if not name and sys.platform.startswith("linux"):
        name = "egl"
    module = f"mujoco.{name}" if name in ("egl", "osmesa", "glfw") else "mujoco.gl_context"
    try:
        return importlib.import_module(module).GLContext
    except Exception as error:  # PyOpenGL raises anything where the library is missing
        raise no_opengl(error) from error


@contextmanager
def _preserved_context() -> Iterator[None]:
    """Leave the OpenGL context current that was: with EGL, which all of MuJoCo shares.

    Gymnasium's viewers take it for granted that theirs is current, and the garbage collector frees
    their resources in whichever context is: one of ours must not stay.
    """
    backend = sys.modules.get("mujoco.egl")
    if backend is None:
        yield
        return
    egl = backend.EGL
    display, context = egl.eglGetCurrentDisplay(), egl.eglGetCurrentContext()
    surfaces = egl.eglGetCurrentSurface(egl.EGL_DRAW), egl.eglGetCurrentSurface(egl.EGL_READ)
    try:
        yield
    finally:
        if context:
            egl.eglMakeCurrent(display, *surfaces, context)
        elif backend.EGL_DISPLAY is not None:
            nothing = egl.EGL_NO_SURFACE, egl.EGL_NO_SURFACE, egl.EGL_NO_CONTEXT
            egl.eglMakeCurrent(backend.EGL_DISPLAY, *nothing)


def _check_process() -> None:
    """Refuse what would hang: OpenGL's threads do not survive a fork."""
    global _rendering_process  # noqa: PLW0603  (a property of the process)
    if _rendering_process not in (None, os.getpid()):
        raise RuntimeError(
            "this process was forked from one that had rendered, where OpenGL hangs: start "
            "subprocesses by 'spawn' or 'forkserver' (AsyncVectorEnv(..., context='spawn')), "
            "or render nothing before"
        )
    _rendering_process = os.getpid()


@contextmanager
def _smallest_buffers(model: Any, width: int, height: int) -> Iterator[None]:
    """Change the model's settings while a context copies them."""
    size, quality = model.vis.global_, model.vis.quality
    saved = size.offwidth, size.offheight, quality.offsamples, quality.shadowsize
    try:
        size.offwidth, size.offheight, quality.offsamples, quality.shadowsize = width, height, 0, 0
        yield
    finally:
        size.offwidth, size.offheight, quality.offsamples, quality.shadowsize = saved


def _find_camera(mujoco: Any, model: Any, view: str | int) -> Any:
    """Return one of the model's cameras."""
    names = [model.camera(index).name for index in range(model.ncam)]
    index = names.index(view) if view in names else view
    if not isinstance(index, int) or not 0 <= index < model.ncam:
        raise ValueError(
            f"no camera {view!r}: the model has {names}; a free view is a mapping of "
            f"{', '.join(FREE_VIEW)}"
        )
    camera = mujoco.MjvCamera()
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, index
    return camera


def _free_camera(mujoco: Any, model: Any, view: Mapping[str, Any]) -> Any:
    """Return a camera of our own; by default it sees the whole model in its initial state."""
    if unknown := sorted(set(view) - set(FREE_VIEW)):
        raise ValueError(f"a free view has no {unknown}; it may have {', '.join(FREE_VIEW)}")
    if "body" in view and "lookat" in view:
        raise ValueError("a free view looks either at a body or at a point: got body and lookat")
    bodies = [model.body(index).name for index in range(model.nbody)]
    if "body" in view and view["body"] not in bodies:
        raise ValueError(f"no body {view['body']!r} to look at: the model has {bodies}")
    initial = mujoco.MjData(model)
    mujoco.mj_kinematics(model, initial)
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = view.get("lookat", np.median(initial.geom_xpos, axis=0))
    camera.distance = view.get("distance", model.stat.extent)
    camera.azimuth = view.get("azimuth", camera.azimuth)
    camera.elevation = view.get("elevation", camera.elevation)
    return camera
