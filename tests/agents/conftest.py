"""Fixtures of the tests of `mmrl_agents`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmrl import checkpoint
from mmrl.methods import METHODS
from tests.agents.tiny import TinyEncoder


@pytest.fixture
def encoder() -> TinyEncoder:
    torch.manual_seed(0)
    return TinyEncoder()


@pytest.fixture
def encoder_file(encoder: TinyEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of `encoder`, which `mmrl.checkpoint.load` can read."""
    monkeypatch.setitem(METHODS, TinyEncoder.name, TinyEncoder)
    encoder.norm.running_mean = torch.randn(encoder.latent_dim)
    checkpoint.save(encoder, tmp_path / "encoder")
    return tmp_path / "encoder" / "encoder.safetensors"
