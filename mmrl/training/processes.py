"""Who starts the processes that train together."""

from __future__ import annotations

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment


def started_by() -> LightningEnvironment | TorchElasticEnvironment:
    """What Fabric takes ranks from: torchrun where it has started this process, else itself.

    Left to choose, Fabric hints at `srun` wherever Slurm's client is installed, and takes an
    allocation of several tasks for as many ranks, although this process is the only one.
    """
    return TorchElasticEnvironment() if TorchElasticEnvironment.detect() else LightningEnvironment()
