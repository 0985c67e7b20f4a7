"""Training on machines where Slurm is installed, or has allocated something."""

from pathlib import Path

import numpy as np
import pytest
from lightning_fabric import Fabric

from mmrl.data.arrays import ArrayData
from mmrl.methods.gmc.method import GMC
from mmrl.modality import Modality
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit
from mmrl.training.processes import started_by

ALLOCATED = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "training", "SLURM_PROCID": "3"}
STARTED_BY_TORCHRUN = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "GROUP_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "none",
}


@pytest.mark.parametrize("variables", [{}, ALLOCATED])
def test_slurm_on_the_machine_changes_nothing(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tmp_path / "srun"
    client.write_text("#!/bin/sh\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    modalities = (Modality("a", (3,), "vector"), Modality("b", (2,), "vector"))
    rng = np.random.default_rng(0)
    values = {m.name: rng.normal(size=(40, *m.shape)).astype(np.float32) for m in modalities}
    config = FitConfig(steps=2, batch_size=8, accelerator="cpu")
    # The hint would be a warning, which is an error here.
    assert fit(GMC(modalities), ArrayData(values, modalities), config, seed=0).steps == 2


def test_torchrun_gives_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in STARTED_BY_TORCHRUN.items():
        monkeypatch.setenv(name, value)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp", plugins=started_by())
    assert (fabric.global_rank, fabric.world_size) == (1, 2)
