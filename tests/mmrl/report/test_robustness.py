"""Tables: rows into files and back, summaries over seeds."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from scipy import stats

from mmrl.report.robustness import (
    COLUMNS,
    RETURN,
    Row,
    cost_table,
    read_rows,
    robustness_table,
    summarise,
    to_csv,
    to_json,
)
from mmrl.runs.folder import RunFolderError


def row(seed: int = 0, level: float = -1.0, condition: str = "image", rate: float = 0.0) -> Row:
    rewards = tuple(np.random.default_rng(seed).normal(level, 0.1, 20).tolist())
    returns = tuple(300 * reward for reward in rewards)
    return Row(
        agent="gmc",
        condition=condition,
        rate=rate,
        seed=seed,
        rewards=rewards,
        returns=returns,
        missing_rate=rate,
        realised_rate=rate / 2,
        ci_low=level - 0.05,
        ci_high=level + 0.05,
    )


def shown(table: Table) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def test_csv_has_the_promised_columns() -> None:
    (line,) = csv.DictReader(io.StringIO(to_csv([row(seed=3)])))
    assert tuple(line) == COLUMNS
    assert {"agent", "condition", "rate", "seed", "episodes", "mean_reward_per_step"} <= set(line)
    assert {"mean_return", "ci_low", "ci_high"} <= set(line)
    assert (line["seed"], line["episodes"]) == ("3", "20")
    assert float(line["mean_return"]) == pytest.approx(
        300 * float(line["mean_reward_per_step"]), 1e-4
    )


def test_rows_are_read_back(tmp_path: Path) -> None:
    rows = [row(0), row(1, condition="bernoulli", rate=0.5)]
    path = tmp_path / "robustness.json"
    path.write_text(json.dumps(to_json(rows, summarise(rows))))
    assert read_rows(path) == rows


def test_rows_from_before_the_rates_were_two_are_read(tmp_path: Path) -> None:
    content = to_json([row(rate=0.5)], [])
    older = json.dumps(content).replace('"missing_rate": 0.5, ', "")
    path = tmp_path / "robustness.json"
    path.write_text(older)
    (read,) = read_rows(path)
    assert read.missing_rate == read.realised_rate == 0.25


@pytest.mark.parametrize("content", ["{", "{}", '{"rows": [{"agent": "x"}]}', "[]"])
def test_damaged_rows_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "robustness.json"
    path.write_text(content)
    with pytest.raises(RunFolderError, match=r"robustness\.json is damaged"):
        read_rows(path)


def test_missing_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not evaluated yet"):
        read_rows(tmp_path / "robustness.json")


def test_one_seed_keeps_its_own_interval() -> None:
    (summary,) = summarise([row()])
    assert (summary.ci_low, summary.ci_high) == (row().ci_low, row().ci_high)
    assert summary.mean == pytest.approx(row().mean_reward_per_step)


def test_several_seeds_are_summarised_by_the_mean_of_their_means() -> None:
    rows = [row(seed, level) for seed, level in enumerate((-1.0, -1.1, -1.2, -1.3))]
    (summary,) = summarise(rows)
    means = [r.mean_reward_per_step for r in rows]
    assert summary.seeds == 4
    assert summary.mean == pytest.approx(np.mean(means))
    expected = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
    assert (summary.ci_low, summary.ci_high) == pytest.approx(expected)


def test_returns_are_summarised_as_rewards_are() -> None:
    for rows in ([row()], [row(0), row(1)]):
        (rewards,), (returns,) = summarise(rows), summarise(rows, score=RETURN)
        assert returns.mean == pytest.approx(300 * rewards.mean)
        assert returns.std == pytest.approx(300 * rewards.std)
        assert returns.ci_low < returns.mean < returns.ci_high
        table = shown(robustness_table([returns], title="t", score=RETURN))
        assert f"{returns.mean:.3f}" in table
        assert "per step" not in table


def test_one_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="several results of one seed"):
        summarise([row(), row()])


def test_the_table_shows_every_number_in_80_columns() -> None:
    rows = [
        replace(r, agent=agent, condition=condition, rate=rate, ci_low=-1.05, ci_high=-0.95)
        for agent in ("gmc", "multi_input_dropout")
        for condition, rate in (("image+sound", 0.0), ("bernoulli", 0.5))
        for seed in (0, 1)
        for r in [row(seed)]
    ]
    text = shown(
        robustness_table(summarise(rows), title="two agents", reference={"optimum": -0.46})
    )
    assert "…" not in text
    for word in (
        "multi_input_dropout",
        "image+sound",
        "at random",
        "50%",
        "intervals over",
        "optimum: -0.46",
    ):
        assert word in text
    single = shown(robustness_table(summarise([row()]), title="one"))
    assert "over episodes" in " ".join(single.split())
    assert f"{row().mean_reward_per_step:.3f}" in single


def test_long_names_of_subsets_cost_no_number() -> None:
    name = "achieved_goal+camera+desired_goal+observation"
    rows = [replace(row(seed, condition=name), agent="multi_input_dropout") for seed in (0, 1)]
    rows += [row(seed, condition=name) for seed in (0, 1)]
    summaries = summarise(rows)
    text = shown(robustness_table(summaries, title="two agents"))
    assert "…" not in text
    for summary in summaries:
        assert f"{summary.ci_low:.3f} to {summary.ci_high:.3f}" in text


def test_costs_are_shown_with_units() -> None:
    text = shown(cost_table([{"agent": "gmc", "steps/s": 1234.5, "parameters": 52000}], title="c"))
    assert "1,234.5" in text
    assert "52,000" in text
