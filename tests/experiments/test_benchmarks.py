"""The benchmarks' figures, labels and credibility, on small data made here."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from typer.testing import CliRunner

from experiments import benchmarks
from experiments.benchmarks import (
    datasets,
    github,
    reporter_credibility,
    sichuan,
    tagged_reports,
    tolokers,
)
from experiments.benchmarks.__main__ import app
from experiments.benchmarks.learners import (
    BLENDED,
    Blend,
    best_single,
    blended,
    even,
    folds,
    out_of_fold,
)
from experiments.benchmarks.metrics import figures, precision_at
from wavebreak.errors import FileError, UsageError

SMALL = Blend({"rounds": 10, "leaves": 4}, fits=1, trees={"n_estimators": 10}, machine={"C": 1.0})


def drawn(n: int = 400, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores with many ties that go with them."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(n) < 0.3).astype(np.uint8)
    return labels, np.round(draw.normal(labels, 1.0), 1)


def test_metrics_match_scikit_learn_with_ties() -> None:
    labels, scores = drawn()
    found = figures(labels, scores, threshold=0.5)
    assert found.auc.value == pytest.approx(roc_auc_score(labels, scores))
    assert found.average_precision.value == pytest.approx(average_precision_score(labels, scores))
    taken = scores >= 0.5
    assert found.macro_f1 is not None
    assert found.weighted_f1 is not None
    assert found.macro_f1.value == pytest.approx(f1_score(labels, taken, average="macro"))
    assert found.weighted_f1.value == pytest.approx(f1_score(labels, taken, average="weighted"))


def test_recall_keeps_to_false_positives_and_groups_ties() -> None:
    labels = np.array([1] * 5 + [0] * 200, np.uint8)
    scores = np.array([9, 9, 7, 5, 1] + [7, 5, 5] + [0] * 197, float)
    at = figures(labels, scores).at_few
    assert (at.found, at.false) == (3, 1)
    assert figures(labels, scores).at_fewer.found == 2


def test_interval_contains_its_metric_and_is_seeded() -> None:
    labels, scores = drawn()
    one, again, other = (figures(labels, scores, seed=s) for s in (1, 1, 2))
    assert one == again != other
    assert one.auc.low < one.auc.value < one.auc.high


def test_missing_score_ranks_last() -> None:
    labels, scores = np.array([1, 0, 0], np.uint8), np.array([0.5, np.nan, -9.0])
    assert figures(labels, scores).auc.value == 1.0


def test_zero_false_positives_do_not_give_precision_one() -> None:
    assert precision_at(1.0, 0, 999) == pytest.approx(0.5, abs=0.001)


def test_folds_hold_out_each_row_once_with_both_labels() -> None:
    labels = np.array([1] * 10 + [0] * 30, np.uint8)
    held = [h for _, h in folds(labels, 5, 0)]
    assert sorted(np.concatenate(held).tolist()) == list(range(40))
    assert all(labels[h].sum() == 2 for h in held)


def test_best_single_feature_is_found_with_its_sign() -> None:
    labels, scores = drawn()
    noise = np.random.default_rng(0).random(labels.size)
    assert best_single(np.column_stack([noise, -scores]), labels) == (1, -1)


def test_labels_are_read_by_id_and_errors_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,label\na,1\nb,0\n")
    at, labels = datasets.matched(datasets.read_labels(path), ["c", "b", "a"], path)
    assert (at.tolist(), labels.tolist()) == ([2, 1], [1, 0])
    with pytest.raises(FileError, match="1 of 2 ids that are not in the file"):
        datasets.matched(datasets.read_labels(path), ["a", "c"], path)
    for text, said in (
        ("name,label\na,1\n", "has no column id; it has the columns name, label"),
        ("id,label\nb,1\na,2\n", "neither 0 nor 1, the first in row 2"),
        ("id,label\na,1\na,0\n", "more than once, first again in row 2"),
    ):
        path.write_text(text)
        with pytest.raises(FileError, match=said):
            datasets.read_labels(path)
    path.write_text("id,label\na,1\n")
    with pytest.raises(FileError, match="both labels"):
        datasets.matched(datasets.read_labels(path), ["a"], path)


def test_labels_in_other_formats_are_read_alike(tmp_path: Path) -> None:
    for name, text in (
        ("plain.csv", "id,label\n7,1\n8,0\n"),
        ("more.csv", "split,ID,Label\ntest,7,1.0\ntest,8,0.0\n"),
        ("words.csv", '"contributor","bot"\n"7","Bot"\n"8","Human"\n'),
        ("marked.csv", "\ufeffaccount,label\r\n7,true\r\n8,false\r\n"),
        ("packed.csv.gz", "account,label\n 7 ,1\n8,0\n"),
    ):
        path = tmp_path / name
        packed = gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode()
        path.write_bytes(packed)
        assert datasets.read_labels(path) == {"7": 1, "8": 0}, name


def test_missing_or_text_column_is_named(tmp_path: Path) -> None:
    found = pa.table({"calls": ["many"]})
    for column in ("calls", "texts"):
        with pytest.raises(FileError, match="absent or not numeric"):
            datasets.numbers(found, [column])


def test_rows_are_scored_out_of_fold_once_per_repeat() -> None:
    labels = np.array([1] * 6 + [0] * 12, np.uint8)
    rows = np.arange(18.0)[:, None]

    def unseen(known: np.ndarray, _: np.ndarray, asked: np.ndarray, __: int) -> np.ndarray:
        assert not np.isin(asked, known).any()
        return asked[:, 0]

    made = out_of_fold(rows, labels, unseen, count=3, repeats=2)
    assert [one.tolist() for one in made] == [rows[:, 0].tolist()] * 2


@pytest.mark.parametrize("splines", [None, 0.01])
def test_blend_is_seeded_and_accepts_missing_values(splines: float | None) -> None:
    labels, scores = drawn()
    values = np.column_stack([scores, np.where(labels == 1, np.nan, scores)])
    small = SMALL._replace(splines=splines)
    one, again = (blended(values, labels, values[:50], small, seed=4) for _ in range(2))
    assert np.isfinite(one).all()
    assert one.tolist() == again.tolist()


def test_even_odds_threshold_balances_both_labels() -> None:
    draw = np.random.default_rng(5)
    scores = draw.normal(size=4_000)
    labels = (draw.random(4_000) < 1 / (1 + np.exp(-3 * (scores - 0.7)))).astype(np.uint8)
    assert even(scores, labels) == pytest.approx(0.7, abs=0.05)


def _reports(*pairs: tuple[int, int]) -> reporter_credibility.Reports:
    both = np.array(pairs, np.int64)
    return reporter_credibility.Reports(both[:, 0], both[:, 1], int(both.max()) + 1)


def test_reporter_weight_follows_past_accuracy() -> None:
    reports = _reports((0, 5), (0, 6), (1, 7), (1, 8), (2, 9))
    known = np.full(10, reporter_credibility.UNKNOWN)
    known[5], known[7] = 1, 0
    odds = reporter_credibility.settled(reports, known, reporter_credibility.dependent(reports))
    live = reporter_credibility.live(reports, known)
    assert odds[6] > odds[9] > odds[8]
    assert live[6] > live[9] == 0.75 > live[8]


def test_report_does_not_count_for_its_own_reporter() -> None:
    reports = _reports((0, 3), (1, 3), (2, 4))
    apart = reporter_credibility.dependent(reports)
    abusive, benign = (
        np.full(5, reporter_credibility.UNKNOWN),
        np.full(5, reporter_credibility.UNKNOWN),
    )
    abusive[3], benign[3] = 1, 0
    odds = [reporter_credibility.settled(reports, known, apart)[3] for known in (abusive, benign)]
    assert odds[0] == odds[1]


def test_reporters_with_shared_targets_count_once() -> None:
    gang = [(who, of) for of in (10, 11) for who in (0, 1, 2)]
    reports = _reports(*gang, (3, 12), (4, 12), (5, 12))
    known = np.full(13, reporter_credibility.UNKNOWN)
    odds = reporter_credibility.settled(reports, known, reporter_credibility.dependent(reports), 0)
    assert odds[12] == pytest.approx(3 * odds[10])


def _write(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    text = "\n".join([header, *rows, ""])
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def _numbers(directory: Path) -> None:
    """Make three files of telephone numbers: fraud calls more numbers and shorter."""
    draw = np.random.default_rng(0)
    named = {name for pair in sichuan.RATIOS for name in pair}
    others = sorted(named - {"opposite_count", "call_dur_mean"})
    for file, first, last in (("train", 0, 200), ("val", 200, 300), ("test_unlabelled", 300, 400)):
        rows = []
        for i in range(first, last):
            label = i % 3 == 0
            calls, length = draw.normal(9 + 4 * label), draw.normal(60 - 30 * label, 9)
            flat = ",1" * len(others)
            rows.append(f"{i},{calls:.3f},{length:.3f}{flat}" + f",{label:d},x" * (first < 300))
        header = ",".join(["id,opposite_count,call_dur_mean", *others])
        header += ",label,split" * (first < 300)
        _write(directory / "sichuan" / f"{file}.csv.gz", header, rows)


def test_test_file_is_scored_with_labels_given_at_run_time(tmp_path: Path) -> None:
    _numbers(tmp_path)
    labels = tmp_path / "labels.csv"
    _write(labels, "id,label", [f"{i},{i % 3 == 0:d}" for i in range(300, 400)])
    found = sichuan.run(tmp_path, test_labels=labels, blend=SMALL)
    given = ["test, fitted on train", "test, fitted on train and val"]
    assert [bar.on for bar in found.bars[::2]] == ["val", *given]
    ours = [row.figures for row in found.rows if row.role == "ours" and row.figures]
    assert [f.accounts for f in ours] == [200] + [100] * 6
    assert all(f.auc.value > 0.9 for f in ours)
    assert {row.role for row in found.rows} == {"ours", "baseline", "published"}
    _write(labels, "id,label", ["5,1", "301,0"])
    with pytest.raises(FileError, match="not in the file"):
        sichuan.run(tmp_path, test_labels=labels, blend=SMALL)


def test_validation_labels_do_not_affect_training(tmp_path: Path) -> None:
    _numbers(tmp_path)
    before = sichuan.run(tmp_path, blend=SMALL)
    path = tmp_path / "sichuan" / "val.csv.gz"
    turned = gzip.decompress(path.read_bytes()).decode().replace(",1,x", ",2,x")
    turned = turned.replace(",0,x", ",1,x").replace(",2,x", ",0,x")
    path.write_bytes(gzip.compress(turned.encode()))
    after = sichuan.run(tmp_path, blend=SMALL)
    assert after.protocol == before.protocol
    assert after.bars[0].value == pytest.approx(1 - before.bars[0].value)


def _sightings(directory: Path) -> None:
    """Make accounts seen in two periods: bots are busier; the test file holds the first alone."""
    draw = np.random.default_rng(2)
    for file, names, first, last in (
        ("train", github.NAMES.values(), 0, 120), ("train_newmap", github.NAMES, 0, 90),
        ("test_unlabelled", github.NAMES.values(), 120, 180),
    ):  # fmt: skip
        rows = []
        for i in range(first, last):
            values = draw.normal(9 + 4 * (i % 2), 2.0, len(github.NAMES))
            rows.append(",".join([f"a{i}", *(f"{v:.2f}" for v in values), str(i % 2)]))
        label = {"train": "bot", "train_newmap": "label", "test_unlabelled": "unused"}[file]
        header = ",".join(["contributor", *names, label])
        _write(directory / "github_bots" / f"{file}.csv.gz", header, rows)


def test_github_test_file_is_held_to_the_target(tmp_path: Path) -> None:
    _sightings(tmp_path)
    labels = tmp_path / "labels.csv"
    _write(labels, "contributor,bot", [f"a{i},{i % 2}" for i in range(120, 180)])
    found = github.run(tmp_path, test_labels=labels, repeats=1)
    assert [bar.on for bar in found.bars] == ["train", "train, both maps joined", "test"]
    ours = [row for row in found.rows if row.on == "test" and row.role == "ours"]
    assert [row.method for row in ours] == [BLENDED, github.ALONE]
    assert ours[0].figures is not None
    assert found.bars[-1].value == ours[0].figures.at_few.share.value
    assert found.bars[-1].met


def _folds(directory: Path) -> None:
    """Make reports: reporters 0 to 19 are right, 20 to 39 wrong; even targets are abusive."""
    draw = np.random.default_rng(1)
    pairs = [(draw.integers(0, 20) + 20 * (of % 2), of) for of in range(100, 400) for _ in "ab"]
    _write(
        directory / "tagged_reports" / "reports.csv.gz", "reporter,reported",
        [f"{by},{of}" for by, of in pairs],
    )  # fmt: skip
    for fold in (1, 2):
        rows = [f"{of},{1 - of % 2}" for of in range(100 * fold, 100 * fold + 100)]
        _write(directory / "tagged_reports" / f"labels_fold{fold}.csv", "account,label", rows)


def test_only_a_third_fold_can_be_given(tmp_path: Path) -> None:
    _folds(tmp_path)
    third = tmp_path / "third.csv"
    _write(third, "account,label", [f"{of},{1 - of % 2}" for of in range(300, 400)])
    found = tagged_reports.run(tmp_path, test_labels=third, trained=False)
    assert [bar.on for bar in found.bars] == ["fold 1 → 2", "fold 2 → 1", "folds 1, 2 → given"]
    assert all(bar.met for bar in found.bars)
    _write(third, "account,label", ["100,1", "101,0"])
    with pytest.raises(FileError, match="folds 1 or 2"):
        tagged_reports.run(tmp_path, test_labels=third, trained=False)


def test_benchmark_errors_name_absent_and_invalid_files(tmp_path: Path) -> None:
    for run in (sichuan.run, tagged_reports.run, github.run, tolokers.run):
        with pytest.raises(FileError, match="is absent"):
            run(tmp_path)
    with pytest.raises(UsageError, match="holds the labels"):
        tolokers.run(tmp_path, test_labels=tmp_path)
    with pytest.raises(UsageError, match="its trace and its labels"):
        benchmarks.run("botornot", tmp_path, test_labels=tmp_path)
    with pytest.raises(UsageError, match="unknown benchmark"):
        benchmarks.run("other", tmp_path)


def test_neighbour_features_ignore_labels_and_isolation() -> None:
    made = tolokers.features(np.array([[1.0], [3.0], [5.0]]), np.array([[0, 1]]))
    assert np.isfinite(made).all()
    assert made[:, 1].tolist() == [3.0, 1.0, 0.0]


def test_command_prints_tables_or_json_and_writes_a_file(tmp_path: Path) -> None:
    _folds(tmp_path)
    out = tmp_path / "figures.json"
    said = CliRunner().invoke(app, ["tagged", str(tmp_path), "--json", "-o", str(out)])
    assert said.exit_code == 0, said.output
    told = json.loads(out.read_text())
    assert json.loads(said.stdout) == told
    assert told["bars"][0]["met"] is True
    assert told["rows"][2]["figures"]["auc"].keys() == {"value", "low", "high"}
    tables = CliRunner().invoke(app, ["tagged", str(tmp_path)], env={"COLUMNS": "160"})
    assert "reached" in tables.stdout
    assert tables.stdout.count("1 % FPR") == 4
