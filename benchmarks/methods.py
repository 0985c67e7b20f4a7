"""Updates of the methods at the sizes of their papers, beside plain PyTorch of the same step.

Ours and the plain version take turns in one process on one thread; the best CPU time of each
counts. The plain versions have the same layers and shapes, module after module, and no more.

    python benchmarks/methods.py --repeats 20
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from mmrl.methods.dicmor.config import DiCMoRConfig
from mmrl.methods.dicmor.method import DiCMoR
from mmrl.methods.gmc.method import GMC, GMCConfig
from mmrl.methods.mla.projection import GradientProjection
from mmrl.methods.smil.config import SMILConfig
from mmrl.methods.smil.method import SMIL
from mmrl.modality import Modality
from mmrl.testing import made_data, optimization

Step = Callable[[], object]
LENT = contextlib.ExitStack()
"""Keeps what updates need."""


class PlainSMIL(nn.Module):
    """The vectorised step of SMIL's released code: image always there, sound guessed."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.Conv2d(1, 5, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(5, 10, 5),
            nn.Dropout(0.5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        layers: list[nn.Module] = []
        for depth, width in ((1, 32), (32, 48), (48, 20)):
            layers += [nn.Conv2d(depth, width, 2), nn.BatchNorm2d(width), nn.ReLU()]
        pool = nn.MaxPool2d(2, stride=4)
        self.sound = nn.Sequential(*layers, pool, nn.Dropout(0.25), nn.Flatten())
        self.fc1, self.fc2 = nn.Linear(480, 64), nn.Linear(64, 10)
        self.weights = nn.Linear(160, 10)
        self.noise1, self.noise2 = nn.Linear(160, 480), nn.Linear(480, 64)
        self.register_buffer("centres", torch.randn(10, 320))

    def forward(self, x1: Tensor, x2: Tensor | None, noisy: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Features, hidden layer and logits."""
        h = self.image(x1)
        if x2 is not None:
            f = torch.cat([h, self.sound(x2)], dim=1)
            g = F.relu(self.fc1(f))
        else:
            w = F.softplus(self.weights(h))
            guess = w @ self.get_buffer("centres") / w.sum(dim=1, keepdim=True)
            u, mu = torch.cat([h, guess], dim=1), self.noise1(h)
            f = u + F.softplus(mu + torch.randn_like(mu) * noisy)
            mu = self.noise2(f)
            g = F.relu(self.fc1(f)) + F.softplus(mu + torch.randn_like(mu) * noisy)
        return f, g, self.fc2(F.dropout(g, 0.5))


def smil(variant: str) -> tuple[Step, Step]:
    """A meta step with 64 incomplete and 64 complete pairs of digits."""
    modalities = [Modality("image", (1, 28, 28), "image"), Modality("sound", (1, 20, 20), "sound")]
    data = made_data(modalities, outputs=10, samples=128)
    data.available[64:, 1] = False
    encoders = {"image": {"kind": "digit_image"}, "sound": {"kind": "digit_sound"}}
    released = {"weights": "convex", "noise": "unit", "outer": "reconstructed", "kl_weight": 0.0}
    settings = released if variant == "released" else {}
    config = SMILConfig(encoders=encoders, common_dim=None, pretrain_steps=1, **settings)  # type: ignore[arg-type]
    ours = SMIL(modalities, config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = data.batch(np.arange(128))
    LENT.enter_context(optimization(ours, data))
    ours.update(batch)

    plain = PlainSMIL()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3, weight_decay=1e-4)
    x1, x2, y = batch.values["image"] / 255.0, batch.values["sound"], batch.target
    assert y is not None

    def plain_step() -> None:
        names = [n for n, _ in plain.named_parameters() if n.startswith(("image", "fc"))]
        theta = {n: p for n, p in plain.named_parameters() if n in names}
        inner = F.cross_entropy(plain(x1[64:], None, True)[2], y[64:])
        gradients = torch.autograd.grad(inner, list(theta.values()), create_graph=True)
        fast = {n: p - 1e-3 * g for (n, p), g in zip(theta.items(), gradients, strict=True)}
        f, g, logits = functional_call(plain, fast, (x1[:64], None, False))
        f_c, g_c, _ = functional_call(plain, fast, (x1[:64], x2[:64], False))
        loss = inner + F.cross_entropy(logits, y[:64])
        loss = loss + 0.01 * F.mse_loss(f_c, f) + 0.01 * F.mse_loss(g_c, g)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return lambda: ours.update(batch), plain_step


def mla() -> tuple[Step, Step]:
    """The head's two steps for two modalities, width 512, with and without the projection."""
    head, projection = nn.Linear(512, 6), GradientProjection(512, 0.1)
    sgd = torch.optim.SGD(head.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    features, y = torch.randn(2, 64, 512), torch.randint(6, (64,))

    def ours() -> None:
        projection.restart()
        for h in features:
            loss = F.cross_entropy(head(h), y)
            weight, bias = torch.autograd.grad(loss, [head.weight, head.bias])
            head.weight.grad, head.bias.grad = projection.project(weight, h.mean(dim=0)), bias
            sgd.step()

    def plain() -> None:
        P = torch.eye(512)
        for h in features:
            sgd.zero_grad()
            F.cross_entropy(head(h), y).backward()
            with torch.no_grad():
                mean = h.mean(dim=0)
                q = P @ mean / (0.1 + mean @ P @ mean)
                P = P - torch.outer(q, mean) @ P
                assert head.weight.grad is not None
                head.weight.grad = head.weight.grad @ P
            sgd.step()

    return ours, plain


class PlainFlow(nn.Module):
    """32 couplings as modules, as the released code has them."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 64, 1),
                nn.ReLU(),
                nn.Conv2d(64, 64, 1),
                nn.ReLU(),
                nn.Conv2d(64, 32, 1),
            )
            for _ in range(32)
        )
        self.scales = nn.ParameterList(nn.Parameter(torch.zeros(1, 32, 1, 1)) for _ in range(32))

    def forward(self, x: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
        """Latents and log-determinants, or the way back."""
        log_det = torch.zeros(len(x))
        order = range(31, -1, -1) if reverse else range(32)
        for i in order:
            a, b = x.chunk(2, dim=1)
            log_s, t = (self.nets[i](a) * torch.exp(3 * self.scales[i])).chunk(2, dim=1)
            s = torch.sigmoid(log_s + 2.0)
            x = torch.cat([a, b / s - t if reverse else (b + t) * s], dim=1)
            log_det = log_det + s.log().flatten(1).sum(dim=1)
        return x, log_det


class PlainRefiner(nn.Module):
    """20 channel-attention blocks as modules."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv1d(32, 64, 1), nn.Conv1d(64, 32, 1)
        self.last = nn.Conv1d(64, 64, 3, padding=1)
        self.bodies = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv1d(64, 64, 3, padding=1)
            )
            for _ in range(20)
        )
        self.attentions = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool1d(1),
                nn.Conv1d(64, 4, 1),
                nn.ReLU(),
                nn.Conv1d(4, 64, 1),
                nn.Sigmoid(),
            )
            for _ in range(20)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Refined sequences."""
        x = start = self.head(x)
        for body, attention in zip(self.bodies, self.attentions, strict=True):
            y = body(x)
            x = x + y * attention(y)
        refined: Tensor = self.tail(self.last(x) + start)
        return refined


class PlainEncoder(nn.Module):
    """Layers of torch's own attention, in a loop."""

    def __init__(self, width: int, layers: int = 4) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(
            nn.MultiheadAttention(width, 8, dropout=0.2) for _ in range(layers)
        )
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4 * width, width)
            )
            for _ in range(layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * layers + 1))

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """Encoded sequences."""
        x = F.dropout(math.sqrt(x.shape[2]) * x, 0.2)
        keys = None if keys is None else F.dropout(math.sqrt(x.shape[2]) * keys, 0.2)
        mask = torch.full((len(x), len(x)), -torch.inf).triu(1)
        for i, (attention, net) in enumerate(zip(self.attentions, self.nets, strict=True)):
            q = self.norms[2 * i](x)
            k = q if keys is None else self.norms[2 * i](keys)
            x = x + F.dropout(attention(q, k, k, attn_mask=mask, need_weights=True)[0], 0.1)
            x = x + F.dropout(net(self.norms[2 * i + 1](x)), 0.1)
        encoded: Tensor = self.norms[-1](x)
        return encoded


class PlainDiCMoR(nn.Module):
    """The released code's step with one pattern for the whole batch, batch 4 of CMU-MOSI."""

    def __init__(self) -> None:
        super().__init__()
        widths = (768, 20, 5)
        self.project = nn.ModuleList(nn.Conv1d(w, 32, 5, bias=False) for w in widths)
        self.flows = nn.ModuleList(PlainFlow() for _ in range(3))
        self.refiners = nn.ModuleList(PlainRefiner() for _ in range(3))
        self.combine = nn.ModuleList(nn.Conv1d(64, 32, 1) for _ in range(3))
        self.cross = nn.ModuleList(PlainEncoder(32) for _ in range(6))
        self.memory = nn.ModuleList(PlainEncoder(64) for _ in range(3))
        self.residual1, self.residual2 = nn.Linear(192, 192), nn.Linear(192, 192)
        self.out = nn.Linear(192, 1)
        self.priors = nn.Parameter(torch.zeros(7, 64))

    def forward(self, values: list[Tensor], y: Tensor, available: tuple[int, ...]) -> Tensor:
        """The loss."""
        with torch.no_grad():
            x = [p(v.transpose(1, 2)) for p, v in zip(self.project, values, strict=True)]
        classes = y[:, 0].round().clamp(-3, 3).long() + 3
        z, loss = [], torch.zeros(())
        for flow, one in zip(self.flows, x, strict=True):
            latent, log_det = flow(one.unsqueeze(3))
            z.append(latent)
            total = log_det
            for i in range(4):
                mean, log_std = self.priors[classes[i]].view(2, 32, 1, 1)
                normal = -0.5 * ((latent[i] - mean) / log_std.exp()) ** 2 - log_std - 0.919
                total = total + F.one_hot(torch.tensor(i), 4) * normal.sum()
            loss = loss - 0.1 * total.sum() / (math.log(2) * 4 * 32 * 46)
        for m in set(range(3)) - set(available):
            made = [self.flows[m](z[a], reverse=True)[0].squeeze(3).detach() for a in available]
            guess = made[0] if len(made) == 1 else self.combine[m](torch.cat(made, dim=1))
            refined = self.refiners[m](guess)
            loss = loss + 0.1 * F.mse_loss(refined, x[m])
            x[m] = refined
        h = [one.permute(2, 0, 1) for one in x]
        last, pairs = [], iter(self.cross)
        for i in range(3):
            attended = [next(pairs)(h[i], h[j]) for j in range(3) if j != i]
            last.append(self.memory[i](torch.cat(attended, dim=2))[-1])
        fused = torch.cat(last, dim=1)
        fused = fused + self.residual2(F.dropout(F.relu(self.residual1(fused)), 0.5))
        return loss + F.l1_loss(self.out(fused), y)


def dicmor(available: tuple[int, ...]) -> tuple[Step, Step]:
    """A step at the sizes of CMU-MOSI, batch 4, one pattern for all samples (ours could differ)."""
    widths = {"text": 768, "vision": 20, "audio": 5}
    modalities = [Modality(name, (50, width), "sequence") for name, width in widths.items()]
    data = made_data(modalities, outputs=1, task="regression", samples=4)
    config = DiCMoRConfig(
        outputs=1, task="regression", pretrain_steps=1, hide_rate=0.0, no_ground_truth=False
    )
    ours = DiCMoR(modalities, config)
    batch = data.batch(np.arange(4))
    LENT.enter_context(optimization(ours, data))
    ours.update(batch)
    for m in set(range(3)) - set(available):
        batch.available[:, m] = False
    plain = PlainDiCMoR()
    adam = torch.optim.Adam(plain.parameters(), lr=1e-4)
    target = batch.target
    assert target is not None

    def plain_step() -> None:
        adam.zero_grad()
        plain([batch.values[name] for name in widths], target, available).backward()
        adam.step()

    return lambda: ours.update(batch), plain_step


class PlainGMC(nn.Module):
    """GMC on MHD: four modalities, each with an encoder of its own, and all jointly."""

    def __init__(self) -> None:
        super().__init__()
        widths = (6272, 2048, 512, 10)
        self.encoders = nn.ModuleList(nn.ModuleList(self._encoders()) for _ in range(2))
        self.alone = nn.ModuleList(nn.Linear(width, 64) for width in widths)
        self.joint = nn.Linear(sum(widths), 64)
        self.head = nn.Sequential(
            nn.Linear(64, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 64)
        )

    def _encoders(self) -> list[nn.Module]:
        image = nn.Sequential(
            nn.Conv2d(1, 64, 4, 2, 1, bias=False),
            nn.SiLU(),
            nn.Conv2d(64, 128, 4, 2, 1, bias=False),
            nn.SiLU(),
            nn.Flatten(),
        )
        layers: list[nn.Module] = []
        shapes: tuple[tuple[int, int, dict[str, tuple[int, int]]], ...] = (
            (1, 128, {"kernel_size": (1, 128)}),
            (128, 128, {"kernel_size": (4, 1), "stride": (2, 1), "padding": (1, 0)}),
            (128, 256, {"kernel_size": (4, 1), "stride": (2, 1), "padding": (1, 0)}),
        )
        for depth, width, shape in shapes:
            layers.append(nn.Conv2d(depth, width, bias=False, **shape))  # type: ignore[arg-type]
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        trajectory = nn.Sequential(nn.Linear(200, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU())
        return [image, nn.Sequential(*layers, nn.Flatten()), trajectory, nn.Identity()]

    def forward(self, values: list[Tensor]) -> Tensor:
        """The loss."""
        alone, jointly = (
            [encoder(x) for encoder, x in zip(encoders, values, strict=True)]  # type: ignore[call-overload]
            for encoders in self.encoders
        )
        common = [self.joint(torch.cat(jointly, dim=1))]
        common += [layer(x) for layer, x in zip(self.alone, alone, strict=True)]
        joint, *z = (F.normalize(self.head(c), dim=1) for c in common)
        loss, rows = torch.zeros(()), torch.arange(128)
        for one in z:
            vectors = torch.cat([joint, one])
            logits = vectors @ vectors.T / 0.1
            logits = logits.masked_fill(torch.eye(128, dtype=torch.bool), -torch.inf)
            loss = loss + F.cross_entropy(logits, (rows + 64) % 128)
        return loss


def gmc() -> tuple[Step, Step]:
    """A step on MHD's four modalities, batch 64."""
    modalities = [
        Modality("image", (1, 28, 28), "image"),
        Modality("sound", (1, 32, 128), "sound"),
        Modality("trajectory", (200,), "vector"),
        Modality("label", (10,), "label"),
    ]
    data = made_data(modalities, outputs=10, samples=64)
    config = GMCConfig(
        latent_dim=64,
        common_dim=64,
        head=(512, 512),
        temperature=0.1,
        encoders={"image": {"channels": (64, 128)}},
    )
    ours = GMC(modalities, config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = data.batch(np.arange(64))
    LENT.enter_context(optimization(ours, data))
    plain = PlainGMC()
    for network in (ours, plain):
        # Standardisation has no weights.
        assert sum(p.numel() for p in network.parameters()) == 2_884_224
    adam = torch.optim.Adam(plain.parameters(), lr=1e-3)
    names = [m.name for m in modalities]

    def plain_step() -> None:
        adam.zero_grad()
        values = [batch.values[name] for name in names]
        plain([values[0] / 255.0, *values[1:]]).backward()
        adam.step()

    return lambda: ours.update(batch), plain_step


CASES: dict[str, Callable[[], tuple[Step, Step]]] = {
    "SMIL meta step, 64 + 64 pairs of digits": lambda: smil("paper"),
    "SMIL, released variant": lambda: smil("released"),
    "GMC, MHD, batch 64": gmc,
    "MLA, two head steps with projection, width 512": mla,
    "DiCMoR, CMU-MOSI, batch 4, three available": lambda: dicmor((0, 1, 2)),
    "DiCMoR, two available": lambda: dicmor((0, 1)),
    "DiCMoR, one available": lambda: dicmor((0,)),
}


def best(steps: tuple[Step, ...], repeats: int) -> list[float]:
    """Smallest CPU seconds of each, taking turns."""
    found = [math.inf] * len(steps)
    for _ in range(repeats):
        for i, step in enumerate(steps):
            began = time.process_time()
            step()
            found[i] = min(found[i], time.process_time() - began)
    return found


def main() -> None:
    """Prints milliseconds of CPU time, ours and plain, and how many times faster ours is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':48}{'ours ms':>10}{'plain ms':>10}{'ratio':>8}")
    for name, case in CASES.items():
        if arguments.only in name:
            ours, plain = best(case(), arguments.repeats)
            print(f"{name:48}{1e3 * ours:10.2f}{1e3 * plain:10.2f}{plain / ours:8.2f}")


if __name__ == "__main__":
    main()
