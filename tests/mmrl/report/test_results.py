"""Results into files and back, summaries over seeds, tables."""

import csv
import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from scipy import stats

from mmrl.metrics.intervals import mean_interval
from mmrl.report.results import (
    MISSING_RATE,
    REALISED_RATE,
    RETURN,
    REWARD_PER_STEP,
    SUMMARY,
    Result,
    files_of,
    names,
    read_results,
    summarise,
    to_csv,
    write_results,
)
from mmrl.report.tables import comparison_table, cost_table, robustness_table, score_table
from mmrl.runs.folder import RunFolderError

OLDER = Path(__file__).parent / "older"


def row(seed: int = 0, level: float = -1.0, condition: str = "image", rate: float = 0.0) -> Result:
    rewards = tuple(np.random.default_rng(seed).normal(level, 0.1, 20).tolist())
    return Result("gmc", condition, rate, 0.0, seed, REWARD_PER_STEP, rewards)


def returns_of(result: Result) -> Result:
    return replace(result, metric=RETURN, values=tuple(300 * value for value in result.values))


def scored(
    seed: int, method: str = "sum", subset: str = "image", train_rate: float = 0.5
) -> Result:
    return Result(method, subset, 0.0, train_rate, seed, "accuracy", (0.8 + seed / 100,))


def shown(table: Table) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def test_csv_has_a_line_for_each_result() -> None:
    (line,) = csv.DictReader(io.StringIO(to_csv([row(seed=3)])))
    assert list(line) == [
        "label",
        "condition",
        "rate",
        "train_rate",
        "seed",
        "metric",
        "value",
        "count",
    ]
    assert (line["seed"], line["count"], line["metric"]) == ("3", "20", REWARD_PER_STEP)
    assert float(line["value"]) == pytest.approx(row(seed=3).mean, abs=1e-6)


def test_results_are_read_back(tmp_path: Path) -> None:
    results = [row(0), row(1, condition="bernoulli", rate=0.5), scored(2)]
    results += [replace(scored(3), train_rate=None, metric="pearson", values=(math.nan,))]
    write_results(tmp_path, "found", results, summarise(results), ["gmc-seed2"])
    assert {path.name for path in tmp_path.iterdir()} == set(files_of("found"))
    *read, last = read_results(tmp_path / "found.json")
    assert read == results[:-1]
    assert last.train_rate is None
    assert math.isnan(last.mean)
    lines = list(csv.DictReader((tmp_path / SUMMARY).read_text().splitlines()))
    assert [float(line["mean"]) for line in lines[:3]] == pytest.approx(
        [result.mean for result in results[:3]], abs=1e-6
    )


def test_files_of_control_from_before_there_was_one_record_are_read() -> None:
    found = read_results(OLDER / "robustness.json")
    assert found[0] == Result("gmc", "bernoulli", 0.5, None, 3, REWARD_PER_STEP, (-0.5, -0.7))
    assert found[1] == Result("gmc", "bernoulli", 0.5, None, 3, RETURN, (-150.0, -210.0))
    rates = [r.mean for r in found if r.metric in (MISSING_RATE, REALISED_RATE)]
    assert rates == [0.49, 0.51, 0.5, 0.5]  # the oldest have one rate only
    assert len(found) == 8


def test_files_of_classification_from_before_there_was_one_record_are_read() -> None:
    first, second = read_results(OLDER / "scores.json")
    assert first == Result("smil", "image+sound", 0.5, 0.9, 1, "accuracy", (0.875,))
    assert math.isnan(second.mean)


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"rows": [{"agent": "x"}]}', '{"results": [{"label": "x"}]}', "[]"]
)
def test_damaged_results_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "robustness.json"
    path.write_text(content)
    with pytest.raises(RunFolderError, match=r"robustness\.json is damaged"):
        read_results(path)


def test_missing_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="the run has no results yet"):
        read_results(tmp_path / "robustness.json")


def test_the_interval_of_one_seed_is_over_its_episodes() -> None:
    (summary,) = summarise([row()])
    expected = mean_interval([np.array(row().values)])
    assert (summary.ci_low, summary.ci_high) == expected
    assert summary.mean == pytest.approx(row().mean)


def test_metrics_and_training_rates_are_summarised_apart() -> None:
    results = [scored(s, train_rate=rate) for rate in (0.0, 0.5) for s in (0, 1)]
    results += [replace(r, metric="f1_macro") for r in results]
    found = summarise(results)
    assert [(s.train_rate, s.metric, s.seeds) for s in found] == [
        (rate, metric, 2) for metric in ("accuracy", "f1_macro") for rate in (0.0, 0.5)
    ]
    assert names(found) == ["sum, trained at 0%", "sum, trained at 50%"] * 2


def test_a_score_that_is_none_has_no_interval() -> None:
    (summary,) = summarise([replace(scored(s), values=(math.nan,)) for s in (0, 1)])
    assert all(math.isnan(x) for x in (summary.mean, summary.ci_low, summary.ci_high))


def test_several_seeds_are_summarised_by_the_mean_of_their_means() -> None:
    rows = [row(seed, level) for seed, level in enumerate((-1.0, -1.1, -1.2, -1.3))]
    (summary,) = summarise(rows)
    means = [r.mean for r in rows]
    assert summary.seeds == 4
    assert summary.mean == pytest.approx(np.mean(means))
    expected = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
    assert (summary.ci_low, summary.ci_high) == pytest.approx(expected)


def test_returns_are_summarised_as_rewards_are() -> None:
    for rows in ([row()], [row(0), row(1)]):
        (rewards,), (returns,) = summarise(rows), summarise(map(returns_of, rows))
        assert returns.mean == pytest.approx(300 * rewards.mean)
        assert returns.std == pytest.approx(300 * rewards.std)
        assert returns.ci_low < returns.mean < returns.ci_high
        table = shown(robustness_table([returns], title="t"))
        assert f"{returns.mean:.3f}" in table
        assert "per step" not in table


def test_one_seed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="several results of one seed"):
        summarise([row(), row()])


def test_the_table_shows_every_number_in_80_columns() -> None:
    rows = [
        replace(r, label=agent, condition=condition, rate=rate)
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
    assert f"{row().mean:.3f}" in single


def test_long_names_of_subsets_cost_no_number() -> None:
    name = "achieved_goal+camera+desired_goal+observation"
    rows = [replace(row(seed, condition=name), label="multi_input_dropout") for seed in (0, 1)]
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


def test_methods_stand_side_by_side() -> None:
    results = [
        scored(s, name, rate) for name in ("sum", "mla") for rate in ("a", "b") for s in (0, 1)
    ]
    text = shown(comparison_table(summarise(results), title="t"))
    assert text.count("0.805 ± 0.007") == 4
    text = shown(score_table(summarise([scored(0), scored(1)]), title="t"))
    assert "0.805 ± 0.007" in text
    assert "2 seeds" in text
