"""Tables and verdicts of `tests.claims.weighting`."""

from collections.abc import Mapping

import numpy as np

from tests.claims.verdicts import Difference, shown, verdicts

RULES = ("uniform", "focal", "self_paced", "early_stopping", "meta", "law", "oracle")
HIGH = 7  # the tenths of the loss from here on are "high"


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
            accuracy = shown(Difference(np.array([e["test"] for e in entries])), 3).replace("+", "")
            shares = recovered(done, run) if run in RULES else []
            share = shown(Difference(np.array(shares)), 3) if shares else ""
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
    """A line a claim: what was found over the seeds, whether it holds, and how far from its bound it could be seen."""
    noisy, clean, plain, one = (_by_seed(done, n) for n in ("law", "clean_law", "clean_uniform", "law_one_transition"))
    variances = _by_seed(done, "variance").values()
    late = [np.mean(np.array(e["search"]["errors"])[1:]) for e in noisy.values()]
    found = [
        ("recovers at least 0.25 of the head-room", recovered(done, "law"), 0.25),
        *((f"test accuracy less that of {rule}", [noisy[s]["test"] - done[rule, s]["test"]
                                                  for s in noisy if (rule, s) in done], 0.0)
          for rule in ("early_stopping", "meta", "self_paced")),
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
    asked = {text: Difference(np.array(values), least) for text, values, least in found if values}
    lines = ["| claim | found (95 % interval) | visible | verdict |", "| --- | ---: | ---: | --- |"]
    for (text, claim), said in zip(asked.items(), verdicts(list(asked.values())), strict=True):
        seen = claim.visible(len(asked))
        lines.append(f"| {text} | {shown(claim, 3)} | {'' if seen is None else f'{seen:.3f}'} | {said} |")
    return lines


def report(done: Mapping) -> str:
    """Both tables."""
    return "\n".join([*table(done), "", *claims(done)])
