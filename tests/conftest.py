"""What holds for every test: one thread, no window.

Shapes and types are enforced by jaxtyping's plugin (pyproject.toml), not here, so that doctests
of a single module are enforced too.
"""

import matplotlib as mpl
import torch

mpl.use("agg")
torch.set_num_threads(1)
