"""Which folder holds which package.

The environments, the agents and the configurations live beside `mmrl/`, not in it. New
subpackages are found by themselves; everything else about the project is in pyproject.toml.
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
