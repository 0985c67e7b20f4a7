import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from mmrl.data.arrays import ArrayData
from mmrl.methods.gmc.gather import gather
from mmrl.methods.gmc.method import GMC
from mmrl.modality import Modality
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

MODALITIES = (Modality("sound", (6,), "vector"), Modality("touch", (4,), "vector"))
RANKS = 2


def data() -> ArrayData:
    rng = np.random.default_rng(0)
    values = {m.name: rng.normal(size=(64, *m.shape)).astype(np.float32) for m in MODALITIES}
    return ArrayData(values, MODALITIES)


def train(steps: int) -> tuple[GMC, list[float]]:
    torch.manual_seed(0)
    gmc, losses = GMC(MODALITIES), []
    config = FitConfig(steps=steps, batch_size=16, optimizer="sgd", lr=0.1, accelerator="cpu")
    fit(gmc, data(), config, seed=0, on_step=lambda _, terms: losses.append(terms["loss"]))
    return gmc, losses


def train_rank(rank: int, folder: str, port: int) -> None:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(RANKS),
        "LOCAL_WORLD_SIZE": str(RANKS),
        "GROUP_RANK": "0",
        "TORCHELASTIC_RUN_ID": "test",
    }
    torch.set_num_threads(1)
    torch.manual_seed(0)
    gmc = GMC(MODALITIES)
    losses: list[float] = []
    config = FitConfig(
        steps=3,
        batch_size=16,
        optimizer="sgd",
        lr=0.1,
        accelerator="cpu",
        devices=RANKS,
        strategy="ddp",
    )
    fit(gmc, data(), config, seed=0, on_step=lambda _, terms: losses.append(terms["loss"]))
    gathered = gather(torch.full((2, 1), float(rank)))
    weights = {key: value.clone() for key, value in gmc.state_dict().items()}
    torch.save(
        {"losses": torch.tensor(losses), "gathered": gathered, **weights},
        Path(folder) / f"{rank}.pt",
    )
    dist.destroy_process_group()


def test_without_ranks_nothing_is_gathered() -> None:
    rows = torch.ones(3, 2)
    assert gather(rows) is rows


@pytest.mark.slow
def test_two_ranks_train_as_one_process_with_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spawn(train_rank, args=(str(tmp_path), port), nprocs=RANKS)
    alone, losses = train(3)
    for rank in range(RANKS):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.pop("gathered").flatten().tolist() == [0, 0, 1, 1]
        torch.testing.assert_close(found.pop("losses").tolist(), losses, rtol=1e-5, atol=1e-6)
        # Plain gradient descent: the same weights after three steps mean the same gradients.
        torch.testing.assert_close(found, dict(alone.state_dict()), rtol=1e-4, atol=1e-6)
