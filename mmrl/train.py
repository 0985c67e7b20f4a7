"""`python -m mmrl.train`: collect, pretrain, train, evaluate; everything lands in one folder.

python -m mmrl.train                        the default experiment
python -m mmrl.train task=classification    data with labels instead of an environment
python -m mmrl.train --help                 settings, groups, examples
python -m mmrl.train resume=outputs/latest  continue what was interrupted
"""

from __future__ import annotations

from mmrl.defaults import store_defaults
from mmrl.launch import assist, is_other_rank, resume, run
from mmrl.runs.command_line import command_line, refuse_other_settings
from mmrl.runs.composed import Composed, to_plain
from mmrl.runs.folder import RunFolder
from mmrl.runs.paths import settled
from mmrl.runs.settings import RunSettings


def main() -> None:
    """The command."""
    store_defaults()
    command_line("train", work, RunSettings)


def work(settings: Composed) -> float | None:
    """Starts or continues one run.

    Returns:
        Its score, which Hydra's sweepers search by, see `mmrl.launch.Outcome`; None of a process
        that only shares the training of another.
    """
    given = to_plain(settings)
    folder = given.pop("resume", None)
    if is_other_rank():
        assist(given, folder)
        return None
    if folder is None:
        return run(given).score
    opened = RunFolder.open(folder)
    refuse_other_settings(opened.config, settled(given))
    return resume(opened).score


if __name__ == "__main__":
    main()
