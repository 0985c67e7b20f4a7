"""What holds for every test: one thread, no window, settings that start from their defaults.

Shapes and types are enforced by jaxtyping's plugin (pyproject.toml), not here, so that doctests
of a single module are enforced too.
"""

import matplotlib as mpl
import torch

from mmrl.defaults import store_defaults

mpl.use("agg")
torch.set_num_threads(1)
store_defaults()
