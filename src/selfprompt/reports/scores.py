"""Parts of a run's page about how good its answers are, and whether something cheaper would do."""

from __future__ import annotations

from selfprompt.reports import figures
from selfprompt.reports.page import Section
from selfprompt.scores.asked import WORDS
from selfprompt.scores.classes import Scores, told
from selfprompt.scores.several import LabelScores
from selfprompt.scores.verdicts import Verdict, metric_of
from selfprompt.tuning.records import Tested


def worth_section(found: list[Verdict], choice: str | None = None) -> Section:
    """What is kept beside the others; and why it is, where there was a choice."""
    own = "The linear probe" if choice else "Prompts"
    metric = metric_of(found[0])
    score = f"rival_test_{metric or 'accuracy'}"
    rows = [
        (
            row["rival"],
            f"{dict(row)[score]:.1f} %",
            f"{row['difference']:+.1f}",
            "{:+.1f} to {:+.1f}".format(*row["interval"]),
            row["verdict"],
        )
        for row in found
    ]
    words = (
        f"{own} less each rival on the same test examples, in percentage points, with Newcombe's 95 % interval for "
        "paired shares (1998, method 10). Rivals read the same frozen features; what they have to choose, the "
        "probe's regularisation and the number of neighbours (by cosine), is chosen on validation."
    )
    if metric:
        words = (
            f"{own} less each rival on the same test examples, in percentage points of the {WORDS[metric]}, with "
            "the 95 % interval of examples drawn anew 1,000 times. Rivals read the same frozen features; what they "
            "have to choose, the probe's regularisation and the number of neighbours (by cosine), is chosen on "
            "validation."
        )
    if choice:
        words = f"{choice[0].upper()}{choice[1:]}. {words}"
    head = ("against the", "its test score", "points", "95 % interval", "")
    return Section("Worth it?", words, head=head, rows=rows)


def labels_section(found: LabelScores, inputs: str) -> Section:
    """Scores of each of several labels, and the thresholds by which they are given."""
    line = told(found)
    words = (
        f"{line[:1].upper()}{line[1:]}. A class is given where its probability is no less than its threshold, which "
        "has the best F1 on validation. The average precision knows no threshold."
    )
    shares = ("average_precision", "precision", "recall", "f1")
    rows = [
        (
            row["name"],
            *("" if row[key] is None else f"{row[key]:.1f}" for key in shares),
            f"{row['threshold']:.3f}",
            row["support"],
        )
        for row in found["per_class"]
    ]
    head = ("class", "average precision, %", "precision, %", "recall, %", "F1, %", "threshold", f"{inputs}s")
    return Section("Scores", words, head=head, rows=rows)


def scores_section(found: Scores | LabelScores, metrics: Tested, inputs: str) -> Section:
    """Scores of each class, and how far probabilities can be believed."""
    if "map" in found:
        return labels_section(found, inputs)
    line = told(found)
    words = f"{line[:1].upper()}{line[1:]}."
    curves = {"as given": found["bins"]}
    if temperature := metrics.get("temperature"):
        words += f" Probabilities are at the temperature {temperature:.2f}, fitted on validation (Guo et al., 2017)."
        curves["without the temperature"] = found.get("bins_before", [])
    elif why := metrics.get("uncalibrated"):
        words += f" There is no temperature: {why}."
    words += (
        " The calibration error is the mean difference between answers' probability and how often they are right, "
        f"over 15 bins of equal width of the former, weighted by their {inputs}s."
    )
    rows = [
        (row["name"], *(f"{row[key]:.1f}" for key in ("precision", "recall", "f1")), row["support"])
        for row in found["per_class"]
    ]
    head = ("class", "precision, %", "recall, %", "F1, %", f"{inputs}s")
    plot = figures.reliability(curves), "on the diagonal, answers are right as often as they say"
    return Section("Scores", words, plots=[plot], head=head, rows=rows)
