"""Which folder holds which package.

The environments, the agents and the configurations live beside `mmrl/`, not in it. New
subpackages are found by themselves; everything else about the project is in pyproject.toml.

The packages are layers of one distribution, not projects of their own: `mmrl_envs` stands alone,
`mmrl_agents` builds on the lower rows of `mmrl` (modalities, networks, methods, training), and the
tasks and commands in the upper rows of `mmrl` build on `mmrl_agents`. Seen as whole packages, the
two refer to each other; module by module the imports point one way, as
`tests/repo/test_import_direction.py` lists. A fourth package for the lower rows would take
`mmrl.methods` and `mmrl.testing` from where users look for them, and give nothing for it.
"""

from setuptools import find_packages, setup

ROOTS = {"mmrl": ".", "mmrl_envs": "envs", "mmrl_agents": "agents"}

setup(
    packages=[
        "mmrl.configs",
        *(
            package
            for name, folder in ROOTS.items()
            for package in find_packages(folder, include=[name, f"{name}.*"])
        ),
    ],
    package_dir={
        "mmrl": "mmrl",
        "mmrl.configs": "configs",
        "mmrl_agents": "agents/mmrl_agents",
        "mmrl_envs": "envs/mmrl_envs",
    },
)
