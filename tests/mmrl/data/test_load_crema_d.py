from pathlib import Path

import cv2
import numpy as np
import pytest

from mmrl.data import DataError, load

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("librosa")

SPEAKERS = ("1001", "1002", "1003", "1004")
EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
FRAMES = 10


def make(folder: Path) -> list[str]:
    rng = np.random.default_rng(0)
    (folder / "AudioWAV").mkdir()
    (folder / "VideoFlash").mkdir()
    clips = []
    for speaker in SPEAKERS:
        for place, emotion in enumerate(EMOTIONS):
            clip = f"{speaker}_DFA_{emotion}_XX"
            wave = 0.3 * np.sin(np.arange(8000) * 0.05 * (place + 1)) + rng.normal(size=8000) * 0.01
            soundfile.write(folder / "AudioWAV" / f"{clip}.wav", wave, 16000)
            video = cv2.VideoWriter(
                str(folder / "VideoFlash" / f"{clip}.avi"),
                cv2.VideoWriter.fourcc(*"MJPG"),
                30,
                (48, 32),
            )
            for i in range(FRAMES):
                video.write(np.full((32, 48, 3), (250, 10, 20 * i), np.uint8))
            video.release()
            clips.append(clip)
    return clips


def test_clips_become_sound_and_frames(tmp_path: Path) -> None:
    make(tmp_path)
    # What cannot be read is missing, not zero.
    (tmp_path / "VideoFlash" / "1002_DFA_SAD_XX.avi").write_bytes(b"no video")
    data = load("crema_d", tmp_path, test_share=0.25, valid_share=0.2, size=16, steps=60)
    assert {m.name: (m.kind, m.shape) for m in data.modalities} == {
        "sound": ("sound", (1, 60, 64)),
        "image": ("image", (9, 16, 16)),
    }
    assert (len(data.test), len(data.train) + len(data.valid)) == (6, 18)
    assert data.target_names[3] == "happy"
    everything = [data.train, data.valid, data.test]
    available = np.concatenate([split.available for split in everything])
    assert available.sum(axis=0).tolist() == [24, 23]
    images = np.concatenate([split.values["image"][:] for split in everything])
    image = images[available[:, 1]][0].astype(int)
    # Frames 0, 3 and 6 as RGB: red rises by 20 a frame, green is 10, blue 250.
    means = image.reshape(9, -1).mean(axis=1)
    np.testing.assert_allclose(means, [0, 10, 250, 60, 10, 250, 120, 10, 250], atol=8)
    sound = data.train.batch(np.arange(3)).values["sound"]
    assert 60 < float(sound.max()) <= 80
    assert float(sound[:, 0, 51:].abs().max()) == 0


def test_features_are_computed_once(tmp_path: Path) -> None:
    make(tmp_path)
    options = {"size": 8, "steps": 20, "test_share": 0.25}
    first = load("crema_d", tmp_path, **options)
    (kept,) = (tmp_path / "mmrl_cache").iterdir()
    for file in (tmp_path / "VideoFlash").iterdir():
        file.unlink()
    again = load("crema_d", tmp_path, **options)
    np.testing.assert_array_equal(first.test.values["image"][:], again.test.values["image"][:])
    # Other settings are other features.
    with pytest.raises(DataError, match=r"no video in .* can be read; CREMA-D is a folder"):
        load("crema_d", tmp_path, **{**options, "size": 9})
    elsewhere = load("crema_d", tmp_path, **options, cache=kept.parent)
    assert len(elsewhere.test) == len(first.test)


def test_speakers_can_be_kept_apart(tmp_path: Path) -> None:
    make(tmp_path)
    data = load("crema_d", tmp_path, split_by="speaker", test_share=0.25, size=8, steps=20)
    assert data.test.target is not None
    assert np.bincount(data.test.target).tolist() == [1] * 6


def test_published_lists_are_the_split(tmp_path: Path) -> None:
    clips = make(tmp_path)
    (tmp_path / "train.csv").write_text("".join(f"{c},{c.split('_')[2]}\n" for c in clips[:20]))
    (tmp_path / "test.csv").write_text("1009_IEO_SAD_HI,SAD\n" + f"{clips[23]},SAD\n")
    data = load("crema_d", tmp_path, size=8, steps=20)
    assert len(data.train) + len(data.valid) == 20
    assert data.test.target is not None
    assert data.test.target.tolist() == [5]


def test_missing_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no wav file in .*AudioWAV; CREMA-D is .* https://"):
        load("crema_d", tmp_path)
    with pytest.raises(DataError, match="split_by must be one of clip, speaker"):
        load("crema_d", tmp_path, split_by="sex")
    (tmp_path / "AudioWAV").mkdir()
    (tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav").write_bytes(b"no wave")
    (tmp_path / "AudioWAV" / "1002_DFA_ANG_XX.wav").write_bytes(b"no wave")
    with pytest.raises(DataError, match=r"cannot read the recording .*DFA_ANG"):
        load("crema_d", tmp_path, test_share=0.5)
    (tmp_path / "AudioWAV" / "1001_DFA_XXX_XX.wav").write_bytes(b"")
    with pytest.raises(DataError, match="names none of the emotions"):
        load("crema_d", tmp_path)
