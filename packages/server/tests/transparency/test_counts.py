"""Every number of a report against a count of the test's own, over random ledgers."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from scipy.stats import binomtest  # type: ignore[attr-defined]

from support.transparency_ledgers import (
    DAY,
    HOUR,
    OUTCOMES,
    SIGNER,
    Sealed,
    Writer,
    random_ledger,
)
from wavebreak.ledger import OpeningFile
from wavebreak_server.transparency import (
    OpenedAccounts,
    Period,
    Publication,
    Report,
    Sources,
    build_report,
    last_checkpoint,
    list_accounts,
    read_history,
)
from wavebreak_server.transparency.review_counts import wilson_interval

FEBRUARY = Period(date(2026, 2, 1), date(2026, 3, 1))
FELT = OUTCOMES[OUTCOMES.index("challenge") :]
MEASURES = OUTCOMES[OUTCOMES.index("limit") :]
KINDS = {"limit": "provision", "restrict": "provision", "suspend": "account", "ban": "account"}
DECIDED = ("unchanged", "partially_reversed", "reversed")


def report_on(
    sealed: Sealed,
    period: Period = FEBRUARY,
    reports: dict[str, list[int]] | None = None,
    **options: Any,
) -> Report:
    """The operator's report, all numbers unless `internal` is false."""
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    checkpoint = last_checkpoint(sealed.place, SIGNER.key)
    history = read_history(sealed.place, checkpoint, OpenedAccounts(openings))
    openings.close()
    publication = Publication("Example", **({"internal": True} | options))
    listed = list_accounts(history, period)
    return build_report(
        history, period, checkpoint, publication, Sources(True, True, reports),
        accounts_sha256=listed.digest(), unopened=history.unopened(),
    )  # fmt: skip


class Naive:
    """A recount that shares no code with the report: plain loops over records."""

    def __init__(self, sealed: Sealed, period: Period, reports: dict[str, list[int]]) -> None:
        self.low, self.high, self.reports = period.start_ms, period.end_ms, reports
        enforced, self.made, self.shadow, self.all = True, [], 0, {}
        for each in sealed.records:
            if each["kind"] == "policy":
                enforced = each["mode"] == "enforce"
            if each["kind"] != "decision":
                continue
            if not enforced:
                self.shadow += self.within(each["ts"])
                continue
            self.all[each["position"]] = each
            if self.within(each["ts"]):
                self.made.append(each)
        self.sealed = sealed
        self.measures = [d for d in self.made if d["outcome"] in MEASURES]
        self.numbers: dict[str, Any] = {}
        self.decisions()
        self.accounts()
        self.appeals()
        self.reviews()
        self.errors()
        self.classifiers()

    def within(self, at: int) -> bool:
        return self.low <= at < self.high

    def decisions(self) -> None:
        by = Counter(d["outcome"] for d in self.made)
        applied = {r["decision"] for r in self.sealed.of("receipt")}
        n = self.numbers
        n |= {f"decisions.{outcome}": by[outcome] for outcome in OUTCOMES}
        n["decisions.total"] = len(self.made)
        n["decisions.measures"] = len(self.measures)
        n["decisions.provision"] = by["limit"] + by["restrict"]
        n["decisions.applied"] = sum(d["position"] in applied for d in self.measures)
        n["decisions.shadow"] = self.shadow
        person = [d for d in self.measures if d["basis"] == "person"]
        unnamed = [d for d in self.measures if d["basis"] == "" and d["stage"] == "review"]
        solely = [d for d in self.measures if d not in person and d not in unnamed]
        n["automation.solely"] = len(solely)
        n["automation.not_solely"] = len(person) + len(unnamed)
        n["automation.person"] = len(person)
        n["automation.unnamed"] = len(unnamed)
        n["automation.on_reports"] = sum(d["stage"] == "feedback" for d in solely)
        n["automation.detected"] = sum(d["stage"] != "feedback" for d in solely)
        for stage in ("registration", "messaging", "review"):
            n[f"automation.{stage}"] = sum(d["stage"] == stage for d in solely)
        for name, part in (("share", "solely"), ("detected_share", "detected")):
            n[f"automation.{name}"] = self.share(n[f"automation.{part}"], len(self.measures))
        for basis in {d["basis"] or "not named" for d in solely}:
            n[f"basis.{basis}"] = sum((d["basis"] or "not named") == basis for d in solely)

    def share(self, count: int, of: int) -> float | None:
        return round(count / of, 4) if of else None

    def accounts(self) -> None:
        met = [d for d in self.made if d["outcome"] in FELT]
        by_account: dict[str, list[dict[str, Any]]] = {}
        for d in sorted(met, key=lambda d: (d["ts"], d["position"])):
            by_account.setdefault(d["account"], []).append(d)
        worst = Counter(
            max((d["outcome"] for d in each), key=OUTCOMES.index) for each in by_account.values()
        )
        n = self.numbers
        n["accounts.total"] = len(by_account)
        n["accounts.actioned"] = worst["restrict"] + worst["suspend"] + worst["ban"]
        n["accounts.erased"] = 0
        n |= {f"accounts.{outcome}": worst[outcome] for outcome in FELT}
        for scope, least in (("total", 3), ("actioned", 5), ("ban", 7)):
            firsts = [
                next(d for d in each if OUTCOMES.index(d["outcome"]) >= least)
                for each in by_account.values()
                if any(OUTCOMES.index(d["outcome"]) >= least for d in each)
            ]
            n[f"accounts.{scope}.at_registration"] = sum(
                d["stage"] == "registration" for d in firsts
            )
            reported = [[d["ts"] - t for t in self.reports.get(d["account"], [])] for d in firsts]
            n[f"accounts.{scope}.before_any_report"] = sum(
                not any(ago >= 0 for ago in each) for each in reported
            )
            n[f"accounts.{scope}.no_report_7d"] = sum(
                not any(0 <= ago < 7 * DAY for ago in each) for each in reported
            )

    def appeals(self) -> None:
        cases: list[dict[str, Any]] = []
        for each in self.sealed.of("appeal"):
            mine = [c for c in cases if c["decision"] == each["decision"] and not c["decided"]]
            if each["state"] == "opened":
                if not mine:
                    cases.append(
                        {"decision": each["decision"], "opened": each["at"], "decided": None}
                    )
                continue
            case = mine[0] if mine else {"decision": each["decision"], "opened": None}
            if not mine:
                cases.append(case)
            case |= {"decided": each["at"], "state": each["state"]}
        for case in cases:
            about = self.all.get(case["decision"])
            case["kind"] = KINDS.get(about["outcome"], "other") if about else "other"
        n = self.numbers
        before = [c for c in cases if c["opened"] is not None and c["opened"] < self.low]
        n["appeals.open_before"] = sum(
            c["decided"] is None or c["decided"] >= self.low for c in before
        )
        decided = [c for c in cases if c["decided"] is not None and self.within(c["decided"])]
        n["appeals.opening_not_sealed"] = sum(c["opened"] is None for c in decided)
        for kind in ("", "provision", "account", "other"):
            prefix = f"appeals.{kind}." if kind else "appeals."
            some = [c for c in cases if kind in ("", c["kind"])]
            done = [c for c in decided if kind in ("", c["kind"])]
            n[f"{prefix}received"] = sum(
                self.within(c["opened"] if c["opened"] is not None else c["decided"]) for c in some
            )
            n[f"{prefix}decided"] = len(done)
            for state in DECIDED:
                n[f"{prefix}{state}"] = sum(c["state"] == state for c in done)
            n[f"{prefix}open"] = sum(
                c["opened"] is not None
                and c["opened"] < self.high
                and (c["decided"] is None or c["decided"] >= self.high)
                for c in some
            )
            hours = [(c["decided"] - c["opened"]) / HOUR for c in done if c["opened"] is not None]
            n[f"{prefix}median_hours"] = round(median(hours), 2) if hours else None

    def reviews(self) -> None:
        some = [o for o in self.sealed.of("override") if self.within(o["at"])]
        n = self.numbers
        n["overrides.total"] = len(some)
        n["overrides.state"] = sum(o["decision"] not in self.all for o in some)
        n["overrides.lifted"] = sum(o["decision"] in self.all and self.milder(o) for o in some)
        n["overrides.kept"] = sum(o["decision"] in self.all and not self.milder(o) for o in some)
        labels = [each for each in self.sealed.of("label") if self.within(each["at"])]
        n["labels.total"] = len(labels)
        for label in ("abusive", "benign"):
            n[f"labels.{label}"] = sum(each["label"] == label for each in labels)
        erased = [e["openings"] for e in self.sealed.of("erasure") if self.within(e["at"])]
        n["erasures.total"], n["erasures.openings"] = len(erased), sum(erased)

    def milder(self, override: dict[str, Any]) -> bool:
        about = self.all[override["decision"]]["outcome"]
        return OUTCOMES.index(override["outcome"]) < OUTCOMES.index(about)

    def errors(self) -> None:
        wrong: dict[int, bool] = {}
        for each in self.sealed.of("appeal"):
            if each["state"] in DECIDED:
                at = each["decision"]
                wrong[at] = wrong.get(at, False) or each["state"] != "unchanged"
        for each in self.sealed.of("override"):
            if (at := each["decision"]) in self.all:
                wrong[at] = wrong.get(at, False) or self.milder(each)
        groups: dict[str, list[dict[str, Any]]] = {"errors": self.measures}
        for d in self.measures:
            groups.setdefault(f"errors.basis:{d['basis'] or 'not named'}", []).append(d)
            groups.setdefault(f"errors.policy:{d['policy']}", []).append(d)
            if self.scored(d):
                groups.setdefault(f"errors.model:{d['model']}", []).append(d)
        for name, some in groups.items():
            reviewed = [wrong[d["position"]] for d in some if d["position"] in wrong]
            low, high = wilson_interval(sum(reviewed), len(reviewed))
            self.numbers |= {
                f"{name}.reviewed": len(reviewed),
                f"{name}.overturned": sum(reviewed),
                f"{name}.share": self.share(sum(reviewed), len(reviewed)),
                f"{name}.low": round(low, 4) if reviewed else None,
                f"{name}.high": round(high, 4) if reviewed else None,
            }

    def scored(self, d: dict[str, Any]) -> bool:
        return d["model"] is not None and not d["rules"] and d["basis"] in ("", "doubt")

    def classifiers(self) -> None:
        last = {}
        for each in self.sealed.of("label"):
            if self.within(each["at"]) and each["source"] in ("analyst", "appeal"):
                last[each["account"]] = each
        for name in ("all", "rules", "model"):
            cells: Counter[tuple[bool, bool]] = Counter()
            for account, label in last.items():
                earlier = [
                    d
                    for d in self.all.values()
                    if d["account"] == account
                    and d["position"] < label["position"]
                    and d["outcome"] in MEASURES
                    and d["basis"] != "person"
                    and (name == "all" or self.scored(d) == (name == "model"))
                ]
                cells[bool(earlier), label["label"] == "abusive"] += 1
            tp, fp, fn, tn = (
                cells[found, bad]
                for found, bad in ((True, True), (True, False), (False, True), (False, False))
            )
            prefix = f"classifier.{name}"
            self.numbers |= {
                f"{prefix}.true_positive": tp,
                f"{prefix}.false_positive": fp,
                f"{prefix}.false_negative": fn,
                f"{prefix}.true_negative": tn,
                f"{prefix}.accuracy": self.share(tp + tn, tp + fp + fn + tn),
                f"{prefix}.precision": self.share(tp, tp + fp),
                f"{prefix}.recall": self.share(tp, tp + fn),
            }


def some_reports(sealed: Sealed) -> dict[str, list[int]]:
    """Reports of every second account, some of them at the very time of a decision."""
    found: dict[str, list[int]] = {}
    for k, each in enumerate(sealed.of("decision")):
        if k % 2:
            ago = (0, 3 * DAY, 7 * DAY, 7 * DAY - 1, 30 * DAY)[k % 5]
            found.setdefault(each["account"], []).append(each["ts"] - ago)
    return {account: sorted(times) for account, times in found.items()}


@pytest.mark.parametrize("seed", range(6))
def test_report_equals_a_naive_count(tmp_path: Path, seed: int) -> None:
    sealed = random_ledger(tmp_path / "log", seed)
    reports = some_reports(sealed)
    report = report_on(sealed, reports=reports)
    expected = Naive(sealed, FEBRUARY, reports).numbers
    counted = {name: number.value for name, number in report.numbers().items()}
    assert counted == expected
    assert len(sealed.of("decision")) > 100


@pytest.mark.parametrize(("count", "of"), [(0, 7), (7, 7), (3, 10), (1, 400), (250, 900)])
def test_wilson_interval_equals_scipy(count: int, of: int) -> None:
    expected = binomtest(count, of).proportion_ci(0.95, "wilson")
    assert wilson_interval(count, of) == pytest.approx((expected.low, expected.high))


def test_months_add_up_to_the_quarter(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 7)
    days = [date(2026, month, 1) for month in (1, 2, 3, 4)]
    whole = report_on(sealed, Period(days[0], days[-1])).numbers()
    parts = [report_on(sealed, Period(a, b)).numbers() for a, b in pairwise(days)]
    for name in ("decisions.total", "decisions.ban", "appeals.received", "overrides.total"):
        assert whole[name].value == sum(part[name].value or 0 for part in parts)
    for earlier, later in pairwise(parts):
        assert earlier["appeals.open"].value == later["appeals.open_before"].value


def test_shadow_decisions_count_in_no_other_number(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    writer.now += 32 * DAY
    writer.mode("shadow", "p1")
    for k in range(7):
        writer.decide(f"a{k}", "ban")
    numbers = report_on(writer.close()).numbers()
    assert numbers["decisions.shadow"].value == 7
    assert not any(each.value for name, each in numbers.items() if name != "decisions.shadow")


def test_erased_account_is_counted_as_a_decision_only(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    writer.now += 32 * DAY
    for account in ("a", "b", "b"):
        writer.decide(account, "restrict")
    sealed = writer.close()
    openings = OpeningFile(sealed.place / "private" / "openings.sqlite3")
    openings.erase("account", "b")
    openings.close()
    numbers = report_on(sealed).numbers()
    assert numbers["decisions.restrict"].value == 3
    assert numbers["accounts.total"].value == 1
    assert numbers["accounts.erased"].value == 2


def test_reports_without_an_event_log_are_not_known(tmp_path: Path) -> None:
    sealed = random_ledger(tmp_path / "log", 1, 40)
    number = report_on(sealed).numbers()["accounts.total.before_any_report"]
    assert (number.value, number.withheld) == (None, "unknown")
    assert number.definition.startswith("Not known from the ledger alone")


def test_public_report_withholds_small_counts_and_shares(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    writer.now += 32 * DAY
    positions = [writer.decide(f"a{k}", "limit") for k in range(40)]
    positions += [writer.decide(f"b{k}", "ban") for k in range(3)]
    for position in positions[-3:]:
        writer.appeal(position, "opened")
        writer.now += HOUR
        writer.appeal(position, "reversed")
    sealed = writer.close()
    numbers = report_on(sealed, internal=False).numbers()
    assert numbers["decisions.ban"].withheld == "small"
    assert numbers["decisions.provision"].withheld == "beside_small"
    assert numbers["decisions.limit"].withheld == "beside_small"
    assert numbers["decisions.total"].value == 43
    assert numbers["errors.share"].withheld == "few"
    assert numbers["appeals.median_hours"].withheld == "few"
    shown = [each for each in numbers.values() if isinstance(each.value, int)]
    assert all(each.value == 0 or each.value >= 5 for each in shown if each.value is not None)
    full = report_on(sealed).numbers()
    assert full["errors.share"].value == 1.0
    assert full["appeals.median_hours"].value == 1.0
