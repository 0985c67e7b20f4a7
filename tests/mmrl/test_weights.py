import io
import pickle
import zipfile
from typing import Any

import pytest
import torch
from torch import nn

from mmrl.files import FileError
from mmrl.weights import check_finite, load_safetensors, load_tensors, no_larger_than


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def with_index(index: bytes) -> bytes:
    """A file of torch's whose index is another pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved([]))) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, index if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


class Called:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_states_are_what_was_written() -> None:
    layer = nn.Linear(2, 3)
    adam = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    adam.step()
    content = {
        "weights": layer.state_dict(),
        "optimizer": adam.state_dict(),
        "stream": torch.get_rng_state(),
        "types": [torch.ones(2, dtype=t) for t in (torch.bfloat16, torch.bool, torch.int64)],
        "plain": (1, 2.5, "x", None, True, float("-inf")),
    }
    found = load_tensors(saved(content))
    assert found["plain"] == content["plain"]
    assert torch.equal(found["weights"]["weight"], layer.weight)
    assert torch.equal(
        found["optimizer"]["state"][0]["exp_avg"], adam.state[layer.weight]["exp_avg"]
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        saved([])[:-40],
        pickle.dumps([1]),
        with_index(pickle.dumps(Called(bytearray, 3_000_000_000), 2)),
        with_index(pickle.dumps(Called(print, "ran"), 2)),
        with_index(pickle.dumps(Called(print, "ran"), 4)),
        with_index(b"."),
        saved(nn.Linear(1, 1)),
        saved(torch.ones(1).expand(10**9)),
    ],
)
def test_anything_else_is_refused_without_advice_to_load_it(
    content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FileError) as error:
        load_tensors(content)
    assert "weights_only" not in str(error.value)
    assert len(str(error.value)) < 300
    assert capsys.readouterr().out == ""


def test_numbers_must_be_finite() -> None:
    check_finite({"a": torch.ones(2), "b": torch.tensor([1])})
    with pytest.raises(FileError, match="its weights b are NaN or inf"):
        check_finite({"a": torch.ones(2), "b": torch.tensor([1.0, torch.inf])})
    with pytest.raises(FileError, match="no safetensors file"):
        load_safetensors(b"\xff" * 20)


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Linear(10**4, 10**4),
        lambda: nn.LSTM(10**3, 10**4),
        lambda: nn.BatchNorm1d(10**8, affine=False),
    ],
)
def test_networks_do_not_outgrow_their_weights(build: Any) -> None:
    weights = list(nn.Linear(10, 10).parameters())
    with pytest.raises(FileError, match="a larger network"), no_larger_than(weights):
        build()
    with no_larger_than(weights):
        nn.Linear(10, 10)
    nn.Linear(100, 100)  # outside nothing is counted


def test_many_small_parts_outgrow_them_too() -> None:
    with pytest.raises(FileError, match="a larger network"), no_larger_than([torch.ones(3)]):
        nn.Sequential(*(nn.ReLU() for _ in range(10_000)))
