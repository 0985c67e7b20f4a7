"""Transformer encoders, several of the same size side by side, and their use for fusion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mmrl.nn.dropout import check_rates, dropout, dropout_mask

T = TypeVar("T")
READOUTS = ("last", "mean")


class ParallelLinear(nn.Module):
    """A linear map for each group."""

    def __init__(self, groups: int, width: int, out: int) -> None:
        super().__init__()
        bound = math.sqrt(6.0 / (width + out))
        self.weight = nn.Parameter(torch.empty(groups, width, out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(groups, 1, out))

    def forward(self, x: Float[Tensor, "groups rows width"]) -> Float[Tensor, "groups rows out"]:
        """Maps the rows of each group."""
        return torch.baddbmm(self.bias, x, self.weight)


class ParallelNorm(nn.Module):
    """Layer normalisation with weights of its own for each group."""

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(groups, 1, 1, width))
        self.bias = nn.Parameter(torch.zeros(groups, 1, 1, width))

    def forward(self, x: Float[Tensor, "groups batch steps width"]) -> Tensor:
        """Normalises over the last axis."""
        return self.scale(F.layer_norm(x, x.shape[-1:]))

    def scale(self, x: Float[Tensor, "groups batch steps width"]) -> Tensor:
        """Weighs what is normalised already."""
        return torch.addcmul(self.bias, x, self.weight)


class ParallelLayer(nn.Module):
    """Attention to keys (or to itself) and a two-layer network, each after normalisation."""

    def __init__(
        self, groups: int, width: int, heads: int, relu_dropout: float, residual_dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.relu_dropout = relu_dropout
        self.residual_dropout = residual_dropout
        self.project = ParallelLinear(groups, width, 3 * width)
        self.out = ParallelLinear(groups, width, width)
        self.widen = ParallelLinear(groups, width, 4 * width)
        self.narrow = ParallelLinear(groups, 4 * width, width)
        self.norm1 = ParallelNorm(groups, width)
        self.norm2 = ParallelNorm(groups, width)

    def forward(
        self,
        x: Tensor,
        keys: Tensor | None,
        mask: Tensor,
        rate: float | Tensor = 0.0,
        last_only: bool = False,
    ) -> Tensor:
        """One layer.

        Args:
            x: Queries (groups, batch, steps, width).
            keys: What is attended to, normalised but for the layer's own weights;
                None: the queries themselves.
            mask: Added to the attention's logits (steps, key steps).
            rate: Rate of the attention's dropout, one or (groups, 1, 1).
            last_only: Whether only the last step's result is wanted.
        """
        queries = self.norm1(x)
        seen = queries if keys is None else self.norm1.scale(keys)
        if last_only:
            x, queries, mask = x[:, :, -1:], queries[:, :, -1:], mask[-1:]
        y = self._attend(queries, seen, mask, rate)
        x = x + dropout(y, self.residual_dropout, self.training)
        h = F.relu(self.widen(self.norm2(x).flatten(1, 2)))
        h = self.narrow(dropout(h, self.relu_dropout, self.training)).view(x.shape)
        return x + dropout(h, self.residual_dropout, self.training)

    def _attend(self, x: Tensor, keys: Tensor, mask: Tensor, rate: float | Tensor) -> Tensor:
        groups, batch, steps, width = x.shape
        each = width // self.heads
        if x is keys:
            q, k, v = self.project(x.flatten(1, 2)).chunk(3, dim=2)
        else:
            sizes = [width, 2 * width]
            (to_q, to_kv), (for_q, for_kv) = (
                p.split(sizes, dim=2) for p in (self.project.weight, self.project.bias)
            )
            q = torch.baddbmm(for_q, x.flatten(1, 2), to_q)
            k, v = torch.baddbmm(for_kv, keys.flatten(1, 2), to_kv).chunk(2, dim=2)
        q = self._split(q * each**-0.5, steps)
        k, v = (self._split(one, keys.shape[2]) for one in (k, v))
        drop = self._drop(torch.Size([len(q), steps, keys.shape[2]]), groups, rate, q)
        # Steps are the last axis: with heads a few numbers wide, products whose result is as wide
        # as the sequence are several times faster than those whose result is as wide as a head.
        weights = torch.baddbmm(mask.to(q.dtype), q.transpose(1, 2), k).softmax(dim=2).to(v.dtype)
        weights = weights if drop is None else weights * drop
        y = torch.bmm(v, weights.transpose(1, 2)).view(groups, batch, self.heads, each, steps)
        attended: Tensor = self.out(y.permute(0, 1, 4, 2, 3).flatten(3).flatten(1, 2))
        return attended.view(x.shape)

    def _drop(
        self, shape: torch.Size, groups: int, rate: float | Tensor, like: Tensor
    ) -> Tensor | None:
        if not isinstance(rate, Tensor):
            return dropout_mask(shape, rate, like) if rate else None
        return dropout_mask(shape, rate.repeat_interleave(shape[0] // groups, dim=0), like)

    def _split(self, x: Tensor, steps: int) -> Tensor:
        """From (groups, batch x steps, width) to (groups x batch x heads, head width, steps)."""
        groups, _, width = x.shape
        by_head = x.view(groups, -1, steps, self.heads, width // self.heads)
        return by_head.permute(0, 1, 3, 4, 2).flatten(0, 2)


class ParallelTransformer(nn.Module):
    """Causal transformer encoders, as many as there are groups, computed together.

    Normalisation comes before attention and network and once more at the end; inputs are scaled
    by the root of the width, and sinusoidal positions are added (Tsai et al. 2019).

    Args:
        groups: How many encoders.
        width: Width of the inputs; a multiple of `heads`.
        heads: Number of heads of the attention.
        layers: Number of layers of each encoder.
        attention_dropout: Dropout rate of the attention weights, by group.
        relu_dropout: In the two-layer network.
        residual_dropout: Before each addition.
        embedding_dropout: Dropout rate of the inputs.

    Raises:
        ValueError: Sizes that do not fit each other, or a rate of dropout out of range.
    """

    def __init__(
        self,
        groups: int,
        width: int,
        heads: int,
        layers: int,
        *,
        attention_dropout: Sequence[float] = (),
        relu_dropout: float = 0.1,
        residual_dropout: float = 0.1,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if width % heads or min(groups, layers) < 1:
            raise ValueError(f"width {width} must be a multiple of heads {heads}, with layers")
        rates = list(attention_dropout) or [0.0] * groups
        if len(rates) != groups:
            raise ValueError(f"{groups} groups got {len(rates)} rates of attention dropout")
        for rate in rates:
            check_rates(attention_dropout=rate)
        check_rates(
            relu_dropout=relu_dropout,
            residual_dropout=residual_dropout,
            embedding_dropout=embedding_dropout,
        )
        self.drops_attention = any(rates)
        self.rate = rates[0] if len(set(rates)) == 1 else None
        self.register_buffer("rates", torch.tensor(rates).view(-1, 1, 1), persistent=False)
        self.embedding_dropout = embedding_dropout
        self.layers = nn.ModuleList(
            ParallelLayer(groups, width, heads, relu_dropout, residual_dropout)
            for _ in range(layers)
        )
        self.norm = ParallelNorm(groups, width)

    def forward(
        self,
        x: Float[Tensor, "groups batch steps width"],
        keys: Float[Tensor, "groups batch key_steps width"] | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "groups batch result_steps width"]:
        """Encodes sequences, attending to themselves or to `keys`.

        Args:
            x: By group.
            keys: What they attend to.
            last_only: Whether the result has only the last step.
        """
        x = self._embed(x)
        if keys is not None:
            # The same for all layers, but for the weights of each one's normalisation.
            keys = F.layer_norm(self._embed(keys), keys.shape[-1:])
        mask = causal_mask(x.shape[2], (x if keys is None else keys).shape[2], x)
        rate = self._rate()
        for layer in self.layers[:-1]:
            x = layer(x, keys, mask, rate)
        encoded: Tensor = self.norm(self.layers[-1](x, keys, mask, rate, last_only))
        return encoded

    def _rate(self) -> float | Tensor:
        if not self.training or not self.drops_attention:
            return 0.0
        return self.get_buffer("rates") if self.rate is None else self.rate

    def _embed(self, x: Tensor) -> Tensor:
        width = x.shape[-1]
        embedded = math.sqrt(width) * x + positions(x.shape[2], width, x)
        return dropout(embedded, self.embedding_dropout, self.training)


def causal_mask(steps: int, key_steps: int, like: Tensor) -> Float[Tensor, "steps key_steps"]:
    """Minus infinity where a query would see keys of its future, else zero (Tsai et al. 2019).

    Sequences of different lengths are aligned at the start, and the longer one's surplus is seen.
    """
    full = torch.full((steps, key_steps), -torch.inf, device=like.device, dtype=like.dtype)
    return full.triu(1 + abs(key_steps - steps))


def positions(steps: int, width: int, like: Tensor) -> Float[Tensor, "steps width"]:
    """Sinusoidal position embeddings, sines first, then cosines."""
    half = (width + 1) // 2
    scale = math.log(10_000) / max(1, half - 1)
    place = torch.arange(1, steps + 1, device=like.device, dtype=like.dtype)
    rate = torch.exp(-scale * torch.arange(half, device=like.device, dtype=like.dtype))
    angle = place[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=1)[:, :width]


class MultimodalTransformer(nn.Module):
    """Fuses sequences: every modality attends to every other, then to itself.

    Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov: "Multimodal Transformer for Unaligned
    Multimodal Language Sequences", ACL 2019, https://arxiv.org/abs/1906.00295.

    Args:
        lengths: Steps of each modality's sequence.
        width: Features per step.
        heads: Number of heads of the attention.
        layers: Number of layers of the cross-modal encoders and of the memories.
        attention_dropout: By the modality that is attended to.
        memory_dropout: Dropout rate of the memories' attention.
        relu_dropout: In the two-layer networks.
        residual_dropout: Before each addition.
        embedding_dropout: Dropout rate of the inputs of every encoder.
        readout: What stands for a memory's sequence: its `last` step (the paper), or the `mean` of
            all, which is easier to learn from few sequences.

    Raises:
        ValueError: Fewer than two modalities, or an unknown readout.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        width: int,
        heads: int,
        layers: int,
        *,
        attention_dropout: Sequence[float],
        memory_dropout: float = 0.0,
        relu_dropout: float = 0.1,
        residual_dropout: float = 0.1,
        embedding_dropout: float = 0.0,
        readout: str = "last",
    ) -> None:
        super().__init__()
        if readout not in READOUTS:
            raise ValueError(f"readout is {readout!r}; known: {', '.join(READOUTS)}")
        self.last_only = readout == "last"
        count = len(lengths)
        if count < 2 or len(attention_dropout) != count:
            raise ValueError("cross-modal attention wants two modalities or more, a rate for each")
        self.features = count * (count - 1) * width
        pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
        self.pairs = _by_key(pairs, [(lengths[i], lengths[j]) for i, j in pairs])
        self.memories = _by_key(list(range(count)), [(n, n) for n in lengths])
        rates = (relu_dropout, residual_dropout, embedding_dropout)
        self.cross = nn.ModuleList(
            _encoder(len(g), width, heads, layers, [attention_dropout[j] for _, j in g], rates)
            for g in self.pairs
        )
        self.memory = nn.ModuleList(
            _encoder(len(g), (count - 1) * width, heads, layers, [memory_dropout] * len(g), rates)
            for g in self.memories
        )

    def forward(self, sequences: Sequence[Tensor]) -> Float[Tensor, "batch features"]:
        """Fused features of sequences (batch, steps, width)."""
        attended: dict[tuple[int, int], Tensor] = {}
        for encoder, pairs in zip(self.cross, self.pairs, strict=True):
            queries = torch.stack([sequences[i] for i, _ in pairs])
            keys = torch.stack([sequences[j] for _, j in pairs])
            attended.update(zip(pairs, encoder(queries, keys).unbind(), strict=True))
        read: dict[int, Tensor] = {}
        count = len(sequences)
        for encoder, members in zip(self.memory, self.memories, strict=True):
            joined = [
                torch.cat([attended[i, j] for j in range(count) if j != i], dim=2) for i in members
            ]
            encoded = encoder(torch.stack(joined), last_only=self.last_only)
            read.update(zip(members, encoded.mean(dim=2).unbind(), strict=True))
        return torch.cat([read[i] for i in range(count)], dim=1)


def _encoder(
    groups: int,
    width: int,
    heads: int,
    layers: int,
    attention_dropout: list[float],
    rates: tuple[float, float, float],
) -> ParallelTransformer:
    return ParallelTransformer(
        groups,
        width,
        heads,
        layers,
        attention_dropout=attention_dropout,
        relu_dropout=rates[0],
        residual_dropout=rates[1],
        embedding_dropout=rates[2],
    )


def _by_key(items: list[T], keys: list[tuple[int, int]]) -> list[list[T]]:
    """Items with the same key together, for encoders of the same shape run as one."""
    groups: dict[tuple[int, int], list[T]] = {}
    for item, key in zip(items, keys, strict=True):
        groups.setdefault(key, []).append(item)
    return list(groups.values())
