"""`python -m mmrl.data check FILE`: validates data of one's own and says what is in them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from mmrl.data.check import check_file, show
from mmrl.data.dataset import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m mmrl.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check", help="say what is in a file, and what is wrong with it (layout: docs/data.md)"
    )
    check.add_argument("path", type=Path, help="an npz file, or a folder of npy files")
    check.add_argument("--strict", action="store_true", help="fail on warnings too")
    options = parser.parse_args(arguments)
    console = Console()
    try:
        report = check_file(options.path)
    except DataError as error:
        text = f"[red]error:[/] {escape(str(error))}"
        Console(stderr=True).print(text, highlight=False, soft_wrap=True)
        return 1
    show(report, console)
    return int(options.strict and bool(report.warnings))


if __name__ == "__main__":
    sys.exit(main())
