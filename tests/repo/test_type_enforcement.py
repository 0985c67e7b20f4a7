"""Shapes and types are enforced in our packages while tests run, and only then."""

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from mmrl.losses import nt_xent


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="positive"):
        nt_xent(torch.eye(2), torch.eye(3), temperature=1.0)


def test_wrong_type_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="temperature"):
        nt_xent(torch.eye(2), torch.eye(2), temperature="hot")  # type: ignore[arg-type]


def test_users_do_not_pay_for_the_checks() -> None:
    code = "import sys, mmrl.losses; print('beartype' in sys.modules)"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
