"""Computing for some rows of some groups only, in tensors that hold all rows of all groups."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Packing:
    """Chosen rows of each group, moved together; groups without any are left out.

    Args:
        chosen: Which rows of which groups; at least one.

    Attributes:
        groups: Those that have a row.
        rows: Rows of each of them, filled up with any others to the same number.

    Example:
        >>> packing = Packing(torch.tensor([[False, True], [False, False]]))
        >>> packing.pack(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[2.]])
        >>> packing.unpack(torch.tensor([[9.0]]), torch.zeros(2, 2))
        tensor([[0., 9.],
                [0., 0.]])
    """

    groups: Int[Tensor, " packed"]
    rows: Int[Tensor, "packed slots"]

    def __init__(self, chosen: Bool[Tensor, "groups rows"]) -> None:
        count = chosen.sum(dim=1)
        self.groups = count.nonzero().squeeze(1)
        # The chosen rows first, in order.
        first = (~chosen[self.groups]).to(torch.uint8).argsort(dim=1, stable=True)
        self.rows = first[:, : int(count.max())]
        self._valid = chosen[self.groups[:, None], self.rows]
        self._all = len(self.groups) == len(chosen)

    @property
    def chosen_groups(self) -> Tensor | None:
        """The groups, or None where that is all of them."""
        return None if self._all else self.groups

    def pack(self, x: Float[Tensor, "groups rows ..."]) -> Float[Tensor, "packed slots ..."]:
        """The chosen rows."""
        return x[self.groups[:, None], self.rows]

    def unpack(
        self, y: Float[Tensor, "packed slots ..."], x: Float[Tensor, "groups rows ..."]
    ) -> Float[Tensor, "groups rows ..."]:
        """`x` with the chosen rows replaced."""
        group, slot = self._valid.nonzero(as_tuple=True)
        return x.index_put((self.groups[group], self.rows[group, slot]), y[group, slot])
