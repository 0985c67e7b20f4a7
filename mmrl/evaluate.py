"""`python -m mmrl.evaluate run=<folder>`: how well trained agents act while sensors fail.

Every subset of the sensors, and rates at which sensors are missing at random steps; the same start
states under every condition. Several runs are joined over their seeds, and so are the scores of
classification runs.
"""

from __future__ import annotations

from dataclasses import fields

from mmrl.control.measure import MeasureConfig
from mmrl.launch import measure
from mmrl.runs.command_line import command_line
from mmrl.runs.composed import Composed, to_plain
from mmrl.settings import typed


def main() -> None:
    """The command."""
    command_line("evaluate", work, MeasureConfig)


def work(settings: Composed) -> None:
    """Evaluates one or several runs into a new subfolder of the first."""
    plain = to_plain(settings)
    runs = plain.pop("run")
    given, usual = typed(MeasureConfig, plain, ""), MeasureConfig()
    changed = [f.name for f in fields(given) if getattr(given, f.name) != getattr(usual, f.name)]
    measure(runs, **{name: plain[name] for name in changed})


if __name__ == "__main__":
    main()
