import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmrl.data import DataError, load


def picture(path: Path, brightness: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((20, 30, 3), (0, 0, brightness), np.uint8))


def embeddings(folder: Path, ids: list[str]) -> Path:
    rng = np.random.default_rng(0)
    np.savez(folder / "vectors.npz", ids=np.array(ids), values=rng.normal(size=(len(ids), 6)))
    return folder / "vectors.npz"


def mm_imdb(folder: Path, parts: tuple[str, str] = ("dataset", "dataset")) -> list[str]:
    split = {"train": ["0001", "0002", "0003"], "dev": ["0004"], "test": ["0005", "0006"]}
    (folder / "split.json").write_text(json.dumps(split))
    ids = sorted(name for names in split.values() for name in names)
    for i, name in enumerate(ids):
        picture(folder / parts[0] / f"{name}.jpeg", 30 * i)
        film = {
            "plot": ["short", f"a longer plot {i}"],
            "genres": ["Drama", "News", "War"][: i + 1],
        }
        (folder / parts[1]).mkdir(exist_ok=True)
        (folder / parts[1] / f"{name}.json").write_text(json.dumps(film))
    return ids


@pytest.mark.parametrize("parts", [("dataset", "dataset"), ("images", "labels")])
def test_mm_imdb(tmp_path: Path, parts: tuple[str, str]) -> None:
    ids = mm_imdb(tmp_path, parts)
    (tmp_path / parts[0] / "0002.jpeg").unlink()
    data = load("mm_imdb", tmp_path, embeddings=embeddings(tmp_path, ids[:-1]), size=16)
    assert {m.name: (m.kind, m.shape) for m in data.modalities} == {
        "image": ("image", (3, 16, 16)),
        "text": ("vector", (6,)),
    }
    assert (len(data.train), len(data.valid), len(data.test)) == (3, 1, 2)
    assert data.task == "labels"
    assert data.outputs == 23
    assert data.train.target is not None
    names = [np.array(data.target_names)[row].tolist() for row in data.train.target]
    assert names == [["Drama"], ["Drama"], ["Drama", "War"]]
    assert data.train.available.tolist() == [[True, True], [False, True], [True, True]]
    assert data.test.available.tolist() == [[True, True], [True, False]]
    red = data.test.values["image"][:][:, 0].mean(axis=(1, 2))
    np.testing.assert_allclose(red, [120, 150], atol=4)


def food(folder: Path) -> list[str]:
    (folder / "texts").mkdir()
    names = []
    for split, n in {"train": 12, "test": 4}.items():
        with (folder / "texts" / f"{split}_titles.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            for i in range(n):
                dish = ("sushi", "apple_pie")[i % 2]
                name = f"{dish}_{split}_{i}.jpg"
                picture(folder / "images" / split / dish / name, 100 * (i % 2))
                writer.writerow([name, f"How to, {dish}", dish])
                names.append(name)
    return names


def test_food101(tmp_path: Path) -> None:
    names = food(tmp_path)
    data = load("food101", tmp_path, embeddings=embeddings(tmp_path, names), size=8)
    assert data.target_names == ("apple_pie", "sushi")
    assert (len(data.train), len(data.valid), len(data.test)) == (10, 2, 4)
    assert data.test.target is not None
    assert data.test.target.tolist() == [1, 0, 1, 0]
    red = data.test.values["image"][:][:, 0].mean(axis=(1, 2))
    np.testing.assert_allclose(red, [0, 100, 0, 100], atol=4)


LABELS = {
    "1": "positive,positive",
    "2": "neutral,positive",
    "3": "negative,neutral",
    "4": "positive,negative",
    "5": "neutral,neutral",
}


def mvsa(folder: Path, copies: int = 6) -> list[str]:
    lines, ids = ["ID\ttext,image"], []
    for copy in range(copies):
        for key, label in LABELS.items():
            name = f"{copy}{key}"
            lines.append(f"{name}\t{label}")
            picture(folder / "data" / f"{name}.jpg", 40 * int(key))
            (folder / "data" / f"{name}.txt").write_bytes(b"caf\xe9 " + key.encode())
            ids.append(name)
    (folder / "labelResultAll.txt").write_text("\n".join(lines) + "\n")
    return ids


def test_mvsa(tmp_path: Path) -> None:
    ids = mvsa(tmp_path)
    vectors = embeddings(tmp_path, ids)
    data = load("mvsa", tmp_path, embeddings=vectors, size=8, test_share=1 / 3, valid_share=0.25)
    assert data.target_names == ("negative", "neutral", "positive")
    # Contradictions are left out; what is not neutral counts.
    counts = [np.bincount(data[s].target).tolist() for s in ("train", "valid", "test")]  # type: ignore[arg-type]
    assert np.sum(counts, axis=0).tolist() == [6, 6, 12]
    assert counts[2] == [2, 2, 4]
    lists = {"train": ids[:20], "test": ids[20:]}
    for split, names in lists.items():
        text = "".join(f"{name}.jpg positive\n" for name in names)
        (tmp_path / f"{split}.txt").write_text(text)
    listed = load("mvsa", tmp_path, embeddings=vectors, size=8, cache=tmp_path / "other")
    assert len(listed.test) == 8
    assert list((tmp_path / "other").iterdir())


@pytest.mark.slow
def test_texts_are_encoded_by_a_model_in_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "how", "to", "sushi", "apple", "pie"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    model = tmp_path / "model"
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(model)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(model)
    from mmrl.data.loaders.media import encode_texts

    texts = ["how to sushi", "apple pie", "sushi"]
    vectors = encode_texts(texts, model, 16)
    assert vectors.shape == (3, 8)
    # A text's vector does not depend on how far the batch pads it.
    np.testing.assert_allclose(vectors[2], encode_texts(["sushi"], model, 16)[0], atol=1e-5)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    food(tmp_path)
    data = load("food101", tmp_path, text_model=model, size=8)
    assert data.modalities[1].shape == (8,)
    assert data.train.available.all()
    with pytest.raises(DataError, match="holds no transformers model"):
        encode_texts(texts, tmp_path / "texts", 16)


@pytest.mark.parametrize(
    ("name", "make", "gone", "message"),
    [
        ("mm_imdb", mm_imdb, "split.json", r"split.json.*; MM-IMDb is .* https://"),
        ("mm_imdb", mm_imdb, "dataset/0003.json", r"0003.json.*; MM-IMDb is"),
        ("food101", food, "texts/test_titles.csv", r"test_titles.csv.*; UPMC Food-101 is"),
        ("mvsa", mvsa, "labelResultAll.txt", r"labelResultAll.txt.*; MVSA-Single is"),
    ],
)
def test_missing_files_are_named(
    tmp_path: Path, name: str, make: Any, gone: str, message: str
) -> None:
    vectors = embeddings(tmp_path, make(tmp_path))
    (tmp_path / gone).unlink()
    with pytest.raises(DataError, match=message):
        load(name, tmp_path, embeddings=vectors)


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    ids = mvsa(tmp_path)
    vectors = embeddings(tmp_path, ids)
    path = tmp_path / "labelResultAll.txt"
    path.write_text("ID\ttext,image\ttext,image\n1\tpositive,neutral\tneutral,neutral\n")
    with pytest.raises(DataError, match="MVSA-Multiple, with three pairs a line, is not read"):
        load("mvsa", tmp_path, embeddings=vectors)
    for image in (tmp_path / "data").glob("*.jpg"):
        image.unlink()
    path.write_text("ID\ttext,image\n" + "".join(f"{n}\tpositive,neutral\n" for n in ids))
    with pytest.raises(DataError, match="none of the images of train can be read"):
        load("mvsa", tmp_path, embeddings=vectors)


def test_text_needs_one_source(tmp_path: Path) -> None:
    food(tmp_path)
    with pytest.raises(DataError, match=r"text needs one of text_model=.* and embeddings="):
        load("food101", tmp_path)
    with pytest.raises(DataError, match="must be an npz file with ids and values"):
        load("food101", tmp_path, embeddings=tmp_path / "none.npz")
    np.savez(tmp_path / "odd.npz", ids=np.array(["a"]), values=np.zeros((2, 3)))
    with pytest.raises(DataError, match=r"got \(1,\) and \(2, 3\)"):
        load("food101", tmp_path, embeddings=tmp_path / "odd.npz")
    with pytest.raises(DataError, match="have none of the ids"):
        load("food101", tmp_path, embeddings=embeddings(tmp_path, ["other"]))
