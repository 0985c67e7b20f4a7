import numpy as np
import torch

from mmrl.nn.residual_head import ResidualHead


def test_the_head_is_its_formula() -> None:
    torch.manual_seed(0)
    head = ResidualHead(4, 3).double()
    z = torch.randn(5, 4).double()
    p = {name: x.detach().numpy() for name, x in head.state_dict().items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return np.asarray(x @ p[f"{name}.weight"].T + p[f"{name}.bias"])

    x = z.numpy()
    inner = linear(np.maximum(linear(x, "residual1"), 0), "residual2")
    np.testing.assert_allclose(head(z).detach().numpy(), linear(x + inner, "out"), rtol=1e-12)
