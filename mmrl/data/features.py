"""Features of raw recordings, computed by librosa (the extra `data`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from mmrl.data.dataset import DataError
from mmrl.data.extras import optional

FLOOR = 80.0
"""Decibels below its loudest value at which a spectrogram is cut off."""


def log_mel(
    wave: Float[NDArray[np.float32], " time"],
    rate: int,
    *,
    steps: int,
    bands: int = 64,
    window: int = 512,
    hop: int = 256,
) -> Float[NDArray[np.float32], "steps bands"]:
    """Log-mel spectrogram: power in mel bands, in decibels above the floor.

    The floor is 80 dB below the loudest value of this recording, so that values lie in [0, 80] and
    loudness does not matter. Silence is 0 throughout, as is what is added to a short recording.

    Args:
        wave: Mono, finite.
        rate: Samples per second.
        steps: Frames; longer recordings are cut, shorter ones followed by zeros.
        bands: Mel bands, from 50 Hz to half the rate.
        window: Samples per frame.
        hop: Samples between frames; there are `len(wave) // hop + 1` of them.

    Raises:
        ValueError: A wave that is empty or not finite, or numbers that are not positive.
        ModuleNotFoundError: librosa is not installed.
    """
    sizes = {"rate": rate, "steps": steps, "bands": bands, "window": window, "hop": hop}
    if bad := {name: value for name, value in sizes.items() if value < 1}:
        raise ValueError(f"must be positive: {bad}")
    if len(wave) == 0 or not np.isfinite(wave).all():
        raise ValueError("a recording must have samples, all of them finite")
    librosa = optional("librosa", "data")
    power = librosa.feature.melspectrogram(
        y=wave, sr=rate, n_fft=window, hop_length=hop, n_mels=bands, fmin=50.0
    )
    out = np.zeros((steps, bands), np.float32)
    if power.max() > 0:
        decibels = librosa.power_to_db(power, ref=np.max, top_db=FLOOR) + FLOOR
        out[: decibels.shape[1]] = decibels.T[:steps]
    return out


def read_wave(path: Path, rate: int) -> Float[NDArray[np.float32], " time"]:
    """A recording as mono in [-1, 1] at the given rate.

    Args:
        path: A file that libsndfile reads (wav, flac, ogg, mp3).
        rate: Samples per second; other recordings are resampled.

    Raises:
        DataError: No such file, or one that cannot be read.
        ModuleNotFoundError: soundfile or librosa is not installed.
    """
    soundfile = optional("soundfile", "data")
    try:
        wave, recorded = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise DataError(f"cannot read the recording {path}: {error}") from error
    mono: NDArray[np.float32] = wave.mean(axis=1)
    if recorded != rate:
        librosa = optional("librosa", "data")
        mono = librosa.resample(mono, orig_sr=recorded, target_sr=rate)
    return mono
