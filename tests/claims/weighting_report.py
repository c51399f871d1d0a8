"""Tables and verdicts of `tests.claims.weighting`."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

RULES = ("uniform", "focal", "self_paced", "early_stopping", "meta", "law", "oracle")
HIGH = 7  # the tenths of the loss from here on are "high"


def interval(values) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % interval (Student's t); ends are infinite for one value."""
    values = np.asarray(values, np.float64)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else np.inf
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def verdict(values, least: float) -> str:
    """Whether a number is at least so large: "holds" or "does not hold" if the interval says so, else "not shown"."""
    _, low, high = interval(values)
    return "holds" if low >= least else "does not hold" if high < least else "not shown"


def shown(values) -> str:
    """Mean and interval as text."""
    mean, low, high = interval(values)
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _by_seed(done: Mapping, run: str) -> dict[int, dict]:
    return {seed: entry for (name, seed), entry in done.items() if name == run}


def recovered(done: Mapping, run: str) -> list[float]:
    """Share of the way from uniform to oracle weights, by seed, in test accuracy."""
    plain, best, own = (_by_seed(done, name) for name in ("uniform", "oracle", run))
    seeds = sorted(set(plain) & set(best) & set(own))
    return [(own[s]["test"] - plain[s]["test"]) / (best[s]["test"] - plain[s]["test"]) for s in seeds]


def table(done: Mapping) -> list[str]:
    """A line a method: accuracy, recovered share of the head-room, AUC of the weights, seconds."""
    lines = ["| method | seeds | test accuracy | recovered | AUC of weights | seconds |", "| --- " * 6 + "|"]
    for run in (*RULES, "clean_uniform", "clean_law"):
        if entries := list(_by_seed(done, run).values()):
            accuracy = shown([e["test"] for e in entries])
            share = shown(recovered(done, run)) if run in RULES and recovered(done, run) else ""
            auc = [e["weights"]["auc_all"] for e in entries if e["weights"]["auc_all"] is not None]
            seconds = np.mean([e["seconds"] for e in entries])
            told = f"{np.mean(auc):.3f}" if auc else ""
            lines.append(f"| {run} | {len(entries)} | {accuracy} | {share} | {told} | {seconds:.0f} |")
    return lines


def falls(entry: Mapping) -> float:
    """By how much the mean weight of high losses falls from the first to the last third of the stages."""
    high = [np.mean(stage[HIGH:]) for stage in entry["weights"]["by_loss"] if None not in stage]
    third = max(1, len(high) // 3)
    return float(np.mean(high[:third]) - np.mean(high[-third:]))


def distance(entry: Mapping) -> float:
    """Mean |w - 1| over a training."""
    counts = np.sum(entry["weights"]["histogram"], axis=0)
    middles = (np.arange(len(counts)) + 0.5) * entry["weights"]["highest"] / len(counts)
    return float((counts * np.abs(middles - 1)).sum() / counts.sum())


def claims(done: Mapping) -> list[str]:
    """A line a claim: what was found over the seeds, and whether it holds."""
    noisy, clean, plain, one = (_by_seed(done, n) for n in ("law", "clean_law", "clean_uniform", "law_one_transition"))
    variances = _by_seed(done, "variance").values()
    late = [np.mean(np.array(e["search"]["errors"])[1:]) for e in noisy.values()]
    found = [
        ("recovers at least 0.25 of the head-room", recovered(done, "law"), 0.25),
        ("AUC of the weights at least 0.75", [e["weights"]["auc_all"] for e in noisy.values()], 0.75),
        ("weights of high losses fall over the stages, by", [falls(e) for e in noisy.values()], 0.0),
        ("no harm on clean data: accuracy less uniform's", [clean[s]["test"] - plain[s]["test"]
                                                            for s in clean if s in plain], -0.005),
        ("clean data: 0.2 less the mean distance of weights from 1", [0.2 - distance(e) for e in clean.values()], 0.0),
        ("independent over shared variance of a reward, at least 4",
         [v["independent"] / max(v["shared"], 1e-12) for v in variances], 4.0),
        ("critic's error with one transition a stage less that with all",
         [np.mean(np.array(one[s]["search"]["errors"])[1:]) - late[n] for n, s in enumerate(noisy) if s in one], 0.0),
    ]  # fmt: skip
    lines = ["| claim | found | verdict |", "| --- | --- | --- |"]
    return lines + [f"| {text} | {shown(v)} | {verdict(v, least)} |" for text, v, least in found if v]


def report(done: Mapping) -> str:
    """Both tables."""
    return "\n".join([*table(done), "", *claims(done)])
