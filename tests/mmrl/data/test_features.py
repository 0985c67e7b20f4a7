from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mmrl.data import DataError
from mmrl.data.extras import optional
from mmrl.data.features import log_mel, read_wave

soundfile = pytest.importorskip("soundfile")
librosa = pytest.importorskip("librosa")

RATE = 8000


def tone(hertz: float, samples: int = 4000, rate: int = RATE) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hertz * np.arange(samples) / rate).astype(np.float32)


def test_a_tone_is_loudest_in_its_band() -> None:
    centres = librosa.mel_frequencies(n_mels=34, fmin=50.0, fmax=RATE / 2)[1:-1]
    for hertz in (300, 1000, 3000):
        spectrogram = log_mel(tone(hertz), RATE, steps=16, bands=32)
        band = spectrogram[5].argmax()
        assert abs(centres[band] - hertz) == abs(centres - hertz).min()
        assert spectrogram.max() == pytest.approx(80)
        assert spectrogram.min() >= 0


def test_loudness_does_not_matter_and_silence_is_zero() -> None:
    np.testing.assert_allclose(
        log_mel(tone(500), RATE, steps=16),
        log_mel(tone(500) / np.float32(10), RATE, steps=16),
        atol=1e-3,
    )
    assert not log_mel(np.zeros(4000, np.float32), RATE, steps=16).any()


def test_short_recordings_end_in_zeros_and_long_ones_are_cut() -> None:
    short = log_mel(tone(500, 1000), RATE, steps=16, hop=250)
    assert (short[:5].max(axis=1) > 0).all()
    assert not short[5:].any()
    whole = log_mel(tone(500, 8000), RATE, steps=33, hop=250)
    np.testing.assert_array_equal(log_mel(tone(500, 8000), RATE, steps=7, hop=250), whole[:7])


def test_bad_recordings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must have samples, all of them finite"):
        log_mel(np.zeros(0, np.float32), RATE, steps=4)
    with pytest.raises(ValueError, match="all of them finite"):
        log_mel(np.full(100, np.nan, np.float32), RATE, steps=4)
    with pytest.raises(ValueError, match=r"must be positive: \{'steps': 0\}"):
        log_mel(tone(500), RATE, steps=0)
    with pytest.raises(DataError, match="cannot read the recording"):
        read_wave(tmp_path / "none.wav", RATE)


def test_recordings_become_mono_at_the_rate(tmp_path: Path) -> None:
    stereo = np.stack([tone(400, 16000, 16000), np.zeros(16000, np.float32)], axis=1)
    soundfile.write(tmp_path / "x.wav", stereo, 16000, subtype="FLOAT")
    same = read_wave(tmp_path / "x.wav", 16000)
    np.testing.assert_allclose(same, stereo[:, 0] / 2, atol=1e-6)
    half = read_wave(tmp_path / "x.wav", RATE)
    assert len(half) == 8000
    np.testing.assert_allclose(half[500:-500], same[::2][500:-500], atol=1e-3)


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(
        ModuleNotFoundError, match=r"needs no_such_library.*pip install 'mmrl\[data"
    ):
        optional("no_such_library", "data")
