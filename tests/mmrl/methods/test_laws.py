"""Every method obeys every law. A new method is covered by one line in CASES."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmrl.methods import METHODS, Method
from mmrl.methods.method import MethodConfig
from mmrl.modality import Modality
from mmrl.testing import LAWS, Subject, check_method, fitting_data, optimization
from mmrl.training.config import FitConfig
from mmrl.training.fit import fit

MODALITIES = [
    Modality("image", (1, 8, 8), "image"),
    Modality("sound", (2, 3), "vector"),
    Modality("pen", (4, 2), "sequence"),
]
ENCODERS = {"image": {"channels": [4]}, "sound": {"hidden": [8]}, "pen": {"hidden": 4}}
FUSION = {"latent_dim": 6, "outputs": 3, "encoders": ENCODERS}
CASES = {
    "gmc": {"latent_dim": 6, "common_dim": 8, "head": (8,), "encoders": ENCODERS},
    "gmc_supervised": {
        **FUSION,
        "task": "classification",
        "common_dim": 8,
        "width": 4,
        "heads": 2,
        "layers": 1,
    },
    "downstream": {
        "outputs": 3,
        "hidden": (8,),
        "encoder": "sum",
        "encoder_config": {"latent_dim": 6, "encoders": ENCODERS},
    },
    "unimodal": {**FUSION, "modality": "sound"},
    "late_fusion": FUSION,
    "sum": FUSION,
    "concat": {**FUSION, "contrastive_weight": 0.1},
    "zero_filling": {**FUSION, "task": "regression", "outputs": 2},
    "mean_filling": FUSION,
    "modality_dropout": FUSION,
    "simbamm": {**FUSION, "width": 8, "heads": 2},
    "smil": {**FUSION, "common_dim": 8, "clusters": 3, "pretrain_steps": 2},
    "dicmor": {
        **FUSION,
        "encoders": {name: options for name, options in ENCODERS.items() if name != "pen"},
        "width": 4,
        "kernel": 2,
        "heads": 2,
        "layers": 1,
        "couplings": 2,
        "hidden": 4,
        "refiner_blocks": 1,
        "pretrain_steps": 1,
    },
    "mla": {**FUSION, "contrastive_weight": 0.1},
    "gmc_fused": {**FUSION, "common_dim": 8},
}


def subject(name: str) -> Subject:
    settings = CASES[name]

    def build() -> Method:
        config: MethodConfig = METHODS[name].Config(**settings)  # type: ignore[arg-type]
        return METHODS[name](MODALITIES, config)

    return Subject(build, fitting_data(build()), updates=25)


# What methods do with several labels per sample, where it is not the task's loss alone.
LABELS = {
    "late_fusion": {},
    "mla": {},
    "smil": {},
    "dicmor": {"condition": "none"},
    "downstream": {},
    "gmc_supervised": {},
    "gmc_fused": {},
}


@pytest.mark.parametrize("name", LABELS)
def test_methods_of_labels_obey_all_laws(name: str) -> None:
    settings = {**CASES[name], **LABELS[name], "task": "labels", "outputs": 4}
    sensors = MODALITIES[1:]
    if name == "downstream":
        settings["encoder_config"] = {"latent_dim": 6}
    else:
        settings["encoders"] = {"sound": ENCODERS["sound"]}

    def build() -> Method:
        config: MethodConfig = METHODS[name].Config(**settings)  # type: ignore[arg-type]
        return METHODS[name](sensors, config)

    check_method(build, updates=20)


@pytest.mark.parametrize("name", ["late_fusion", "mean_filling", "gmc_supervised"])
def test_methods_that_see_what_is_missing_obey_all_laws(name: str) -> None:
    settings = {**CASES[name], "encoders": {}}
    sensors = [
        Modality("depth", (8, 8), "image", partial="indicate"),
        Modality("lidar", (6,), "vector", partial="indicate"),
        Modality("gait", (4, 2), "sequence", partial="indicate"),
    ]

    def build() -> Method:
        config: MethodConfig = METHODS[name].Config(**settings)  # type: ignore[arg-type]
        return METHODS[name](sensors, config)

    check_method(build, updates=20)


def test_no_method_is_left_out() -> None:
    assert set(CASES) == set(METHODS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", CASES)
def test_law(name: str, law: Callable[[Subject], None]) -> None:
    law(subject(name))


@pytest.mark.parametrize("name", ["gmc", "gmc_fused", "late_fusion", "smil", "mla"])
def test_a_modality_may_be_called_like_a_term(name: str) -> None:
    words = ["loss", "joint", "task"]
    modalities = [Modality(word, (3,), "vector") for word in words]

    def build() -> Method:
        torch.manual_seed(0)
        settings: dict[str, Any] = {} if name == "gmc" else {"outputs": 3}
        return METHODS[name](modalities, METHODS[name].Config(**settings))

    with optimization(method := build(), data := fitting_data(build())):
        terms = method.update(data.batch(np.arange(16)))
    assert terms["loss"] == pytest.approx(sum(v for key, v in terms.items() if key != "loss"))
    before = dict(build().named_parameters())
    moved = {key for key, p in method.named_parameters() if not torch.equal(p, before[key])}
    for word in words:
        assert any(f".{word}." in key for key in moved), f"nothing of {word!r} is trained"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", CASES)
def test_laws_hold_on_a_gpu(name: str) -> None:
    check_method(subject(name).build, updates=25, device="cuda")


@pytest.mark.parametrize("name", CASES)
def test_methods_learn_in_mixed_precision(name: str) -> None:
    case = subject(name)
    method = case.build()
    types = set()

    def see(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        if module.training:  # What is looked at outside of updates has full precision.
            types.add(output.dtype)

    for module in method.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(see)
    losses: list[float] = []
    config = FitConfig(steps=4, batch_size=16, accelerator="cpu", precision="bf16-mixed")
    fit(method, case.data, config, seed=0, on_step=lambda _, terms: losses.append(terms["loss"]))
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    assert types == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in method.parameters())


@pytest.mark.parametrize("name", CASES)
def test_printed_it_tells_modalities_networks_and_all_parameters(name: str) -> None:
    method = subject(name).build()
    first, *lines = str(method).splitlines()
    assert first.startswith(f"{name}: {method.latent_dim} numbers from any of ")
    for modality in method.modalities:
        assert f"  {modality.name}: {modality.kind} {modality.shape}" in lines
    *sizes, rest = [
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) parameters", str(method))
    ]
    assert sum(sizes[1:]) + rest == sizes[0] == sum(p.numel() for p in method.parameters())
    assert name == "unimodal" or len(sizes) > len(method.modalities)
    assert ": Standardize" not in str(method)


@pytest.mark.filterwarnings("ignore:.torch.jit.trace. is deprecated:DeprecationWarning")
def test_a_recording_that_forgets_the_mask_is_refused() -> None:
    modalities = (Modality("a", (3,), "vector"), Modality("b", (2,), "vector"))
    method = METHODS["gmc"](modalities).eval()
    values = (torch.ones(1, 3), torch.ones(1, 2))

    def both(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return method.encode({"a": a, "b": b})

    class Module(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return both(a, b)

    with pytest.raises(RuntimeError, match="cannot be traced or exported"):
        torch.jit.trace(both, values)
    with pytest.raises(Exception, match="cannot be traced or exported"):
        torch.export.export(Module(), values)
    assert both(*values).shape == (1, method.latent_dim)
