"""CREMA-D: actors speaking with six emotions, sound and video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmrl.data.custom import VALID_SHARE, from_arrays
from mmrl.data.dataset import SPLITS, DataError, DataSet
from mmrl.data.features import log_mel, read_wave
from mmrl.data.loaders.media import Arrays, cached, read_frames
from mmrl.data.splits import split_off
from mmrl.files import read_text

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
RATE = 16_000
WINDOW, HOP = 400, 160
STEPS, BANDS = 300, 64
FRAMES, SIZE = 3, 64
SPLIT_BY = ("clip", "speaker")
LAYOUT = (
    "CREMA-D is a folder of AudioWAV/<clip>.wav and VideoFlash/<clip>.flv (or .mp4, .avi), with "
    "clips such as 1001_DFA_ANG_XX: https://github.com/CheyneyComputerScience/CREMA-D"
)


def load_crema_d(
    path: Path | str,
    *,
    split_by: str = "clip",
    test_share: float = 0.1,
    valid_share: float = VALID_SHARE,
    size: int = SIZE,
    steps: int = STEPS,
    cache: Path | str | None = None,
    seed: int = 0,
) -> DataSet:
    """Loads CREMA-D: log-mel sound and three frames; the targets are six emotions.

    The sound (1, steps, 64) has a frame each 10 ms; the image (9, size, size) is three RGB frames
    of the video, at its beginning and after each third. Where `train.csv` and `test.csv` list the
    clips (OGM-GE, MLA: the clip first in each line), that is the split.

    Args:
        path: The folder of `AudioWAV` and `VideoFlash`.
        split_by: How the test is drawn without lists: `clip`, as in MLA's lists, where every
            speaker is in both; or `speaker`, where none is.
        test_share: Share of the clips or speakers in the test.
        valid_share: Share of the training samples that becomes the validation split.
        size: Sides of the frames.
        steps: Length of the sound, in frames of 10 ms.
        cache: Folder for the features; by default in `path`.
        seed: Seed of the splits that are drawn.

    Raises:
        DataError: Files are missing, damaged or laid out in another way.
        ModuleNotFoundError: librosa or soundfile is not installed (extra `data`).
    """
    folder = Path(path)
    if split_by not in SPLIT_BY:
        raise DataError(f"split_by must be one of {', '.join(SPLIT_BY)}, got {split_by!r}")

    def build() -> Arrays:
        clips = _clips(folder)
        arrays: Arrays = {"target_names": np.array(list(EMOTIONS.values()))}
        arrays |= {"modalities": np.array(["sound", "image"]), "kinds/sound": np.array("sound")}
        for split, own in _split(folder, clips, split_by, test_share, seed).items():
            arrays |= {f"{split}/{k}": v for k, v in _features(folder, own, steps, size).items()}
        return arrays

    settings = {
        "split_by": split_by, "test_share": test_share, "seed": seed, "size": size, "steps": steps
    }  # fmt: skip
    arrays = cached("crema_d", folder, cache, settings, build)
    return from_arrays(arrays, name="crema_d", valid_share=valid_share, seed=seed)


def _clips(folder: Path) -> list[str]:
    clips = sorted(file.stem for file in (folder / "AudioWAV").glob("*.wav"))
    if not clips:
        raise DataError(f"there is no wav file in {folder / 'AudioWAV'}; {LAYOUT}")
    for clip in clips:
        parts = clip.split("_")
        if len(parts) < 3 or parts[2] not in EMOTIONS:
            raise DataError(f"the clip {clip!r} names none of the emotions; {LAYOUT}")
    return clips


def _split(
    folder: Path, clips: list[str], split_by: str, share: float, seed: int
) -> dict[str, list[str]]:
    lists = {split: folder / f"{split}.csv" for split in ("train", "test")}
    if all(path.is_file() for path in lists.values()):
        known = set(clips)
        return {split: _listed(path, known) for split, path in lists.items()}
    rng = np.random.default_rng(np.random.SeedSequence([seed, SPLITS.index("test")]))
    if split_by == "clip":
        stay, go = split_off(_emotions(clips), share, rng)
        return {"train": [clips[i] for i in stay], "test": [clips[i] for i in go]}
    speakers = sorted({clip.split("_")[0] for clip in clips})
    stay, go = split_off(np.zeros(len(speakers), np.int64), share, rng)
    chosen = {speakers[i] for i in go}
    return {
        "train": [clip for clip in clips if clip.split("_")[0] not in chosen],
        "test": [clip for clip in clips if clip.split("_")[0] in chosen],
    }


def _listed(path: Path, known: set[str]) -> list[str]:
    names = [line.split(",")[0].strip() for line in read_text(path).splitlines() if line.strip()]
    clips = [name for name in names if name in known]
    if not clips:
        raise DataError(f"{path} lists no clip of AudioWAV; {LAYOUT}")
    return clips


def _emotions(clips: list[str]) -> NDArray[np.int64]:
    return np.array([list(EMOTIONS).index(clip.split("_")[2]) for clip in clips], np.int64)


def _features(folder: Path, clips: list[str], steps: int, size: int) -> Arrays:
    sound = np.zeros((len(clips), 1, steps, BANDS), np.float16)
    image = np.zeros((len(clips), 3 * FRAMES, size, size), np.uint8)
    available = np.ones((len(clips), 2), bool)
    for i, clip in enumerate(clips):
        wave = read_wave(folder / "AudioWAV" / f"{clip}.wav", RATE)
        if len(wave):
            sound[i, 0] = log_mel(
                wave, RATE, steps=steps, bands=BANDS, window=WINDOW, hop=HOP
            ).astype(np.float16)
        videos = [folder / "VideoFlash" / f"{clip}{end}" for end in (".flv", ".mp4", ".avi")]
        shown = next((f for v in videos if (f := read_frames(v, FRAMES, size)) is not None), None)
        available[i] = len(wave) > 0, shown is not None
        if shown is not None:
            image[i] = shown
    if not available[:, 1].any():
        raise DataError(f"no video in {folder / 'VideoFlash'} can be read; {LAYOUT}")
    return {"sound": sound, "image": image, "available": available, "target": _emotions(clips)}
