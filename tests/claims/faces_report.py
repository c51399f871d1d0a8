"""Tables and verdicts of `tests.claims.faces`."""

from collections.abc import Mapping

import numpy as np

from tests.claims.verdicts import Difference, shown, verdicts

STUDENTS = ("alone", "fcd", "fcd_random", "fcd_symmetric", "coupleface", "cckd", "rkd", "rco")
FIGURES = ("accuracy", "eer", "tar_1e-1", "tar_1e-2", "tar_1e-3", "rank1")
ERRORS = ("fcd_error", "negative_error", "correlation_error")
OPERATORS = ("raw", "subtract", "subtract, K=1", "subtract, K=50", "ratio", "zscore", "learned", "permuted")


def by_seed(done: Mapping, run: str) -> dict[int, dict]:
    """The lines of a run by seed."""
    return {seed: entry for (name, seed), entry in done.items() if name == run}


def table(done: Mapping) -> list[str]:
    """A line a network: means over seeds of all figures, on people whom none was trained on."""
    names = (*FIGURES, *ERRORS)
    lines = [f"| network | seeds | {' | '.join(names)} | seconds |", "| --- " + "| ---: " * (len(names) + 2) + "|"]
    for run in ("teacher", *STUDENTS):
        if entries := list(by_seed(done, run).values()):
            values = ["" if name not in entries[0] else f"{np.mean([e[name] for e in entries]):.4f}" for name in names]
            seconds = np.mean([e["seconds"] for e in entries])
            lines.append(f"| {run} | {len(entries)} | {' | '.join(values)} | {seconds:.0f} |")
    return lines


def aligned(done: Mapping) -> list[str]:
    """TAR at FAR 1e-2 by operator and population, then thresholds by group and correlations: means over seeds."""
    entries = list(by_seed(done, "ida").values())
    if not entries:
        return []
    lines = ["| TAR at FAR 1e-2 | seeds | as they are | half of low quality |", "| --- | ---: | ---: | ---: |"]
    for name in OPERATORS:
        values = [np.mean([e[population][name] for e in entries]) for population in ("plain", "mixed")]
        lines.append(f"| {name} | {len(entries)} | {values[0]:.4f} | {values[1]:.4f} |")
    lines += ["", "| on half of low quality | mean |", "| --- | ---: |"]
    for name in ("raw", "subtract"):
        values = np.mean([e["mixed"]["thresholds"][name] for e in entries], axis=0)
        lines.append(f"| thresholds by group, {name} | {', '.join(f'{v:.4f}' for v in values)} |")
    for name in ("spread", "r_prototypes", "r_virtual", "r_learned"):
        lines.append(f"| {name} | {np.mean([e['mixed'][name] for e in entries]):.3f} |")
    return lines


def shrinkage(entry: Mapping) -> float:
    """By what share the distance of the groups' thresholds is smaller after the alignment."""
    raw, new = (np.ptp(entry["mixed"]["thresholds"][name]) for name in ("raw", "subtract"))
    return float(1 - new / raw)


def _paired(done: Mapping, run: str, other: str, figure: str, sign: float = 1.0) -> list[float]:
    first, second = by_seed(done, run), by_seed(done, other)
    return [sign * (first[s][figure] - second[s][figure]) for s in sorted(first.keys() & second.keys())]


def found(done: Mapping) -> list[tuple[str, list[float], float]]:
    """(claim, a value a seed, the margin above which it holds)."""
    entries = list(by_seed(done, "ida").values())
    teacher = list(by_seed(done, "teacher").values())
    errors = [1 - e["negative_error"] / max(done["fcd", s]["negative_error"], 1e-12)
              for s, e in by_seed(done, "coupleface").items() if ("fcd", s) in done]  # fmt: skip
    worse = [e["fcd_error"] / done["fcd", s]["fcd_error"] - 1
             for s, e in by_seed(done, "coupleface").items() if ("fcd", s) in done]  # fmt: skip
    return [
        ("mined over random negatives' mean cosine, at least 2", [t["mined"] / abs(t["random"]) for t in teacher], 2.0),
        ("share by which CoupleFace's error on mined negatives is below FCD's", errors, 0.0),
        ("FCD's own error grows by CoupleFace by at most 5 %", [-w for w in worse], -0.05),
        *((f"TAR at FAR 1e-2 of {run} less that of {other}, at least {least:g}",
           _paired(done, run, other, "tar_1e-2"), least)
          for run, other, least in (("coupleface", "fcd", -0.005), ("coupleface", "fcd_random", 0.0),
                                    ("coupleface", "fcd_symmetric", 0.0), ("rco", "fcd", 0.0))),
        *((f"equal error rate of alone less that of {run}", _paired(done, "alone", run, "eer"), 0.0)
          for run in STUDENTS[1:]),
        ("share by which CCKD's correlation error is below alone's, at least 0.3",
         [1 - e["correlation_error"] / done["alone", s]["correlation_error"]
          for s, e in by_seed(done, "cckd").items() if ("alone", s) in done], 0.3),
        ("IDA 1: TAR gained on half of low quality, at least 0.03",
         [e["mixed"]["subtract"] - e["mixed"]["raw"] for e in entries], 0.03),
        ("IDA 2: TAR lost on faces as they are, at most 0.02",
         [e["plain"]["subtract"] - e["plain"]["raw"] for e in entries], -0.02),
        ("IDA 3: groups' thresholds nearer by a share of at least 0.3", [shrinkage(e) for e in entries], 0.3),
        ("IDA 4: correlation of virtual candidates' discrepancy with real impostors', at least 0.7",
         [e["mixed"]["r_virtual"] for e in entries], 0.7),
        ("IDA 4: correlation of the estimator's discrepancy with the bank's, at least 0.6",
         [e["mixed"]["r_learned"] for e in entries], 0.6),
        ("IDA 5: TAR of the alignment less that of the permuted control",
         [e["mixed"]["subtract"] - e["mixed"]["permuted"] for e in entries], 0.0),
    ]  # fmt: skip


def claims(done: Mapping) -> list[str]:
    """A line a claim: the mean over seeds with its interval, how far from its margin it could be seen, the verdict."""
    asked = {text: Difference(np.array(values), least) for text, values, least in found(done) if values}
    lines = ["| claim | found (95 % interval) | visible | verdict |", "| --- | ---: | ---: | --- |"]
    for (text, claim), said in zip(asked.items(), verdicts(list(asked.values())), strict=True):
        seen = claim.visible(len(asked))
        lines.append(f"| {text} | {shown(claim)} | {'' if seen is None else f'{seen:.4f}'} | {said} |")
    return lines


def report(done: Mapping) -> str:
    """All tables."""
    return "\n".join([*table(done), "", *aligned(done), "", *claims(done)])
