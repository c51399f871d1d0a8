"""Tables and verdicts of `tests.claims.understanding`."""

from collections.abc import Mapping

import numpy as np

from tests.claims.verdicts import Difference, shown, verdicts

DATA = {"cifar": "accuracy, CIFAR-10", "camvid": "mean IoU, CamVid", "shapes": "mean IoU, simulated shapes"}
NAMES = ("codes", "pixels", "taught")
CLOSE = {"cifar": -0.03, "camvid": -0.02, "shapes": -0.02}  # by how much codes may be worse
RATE = 0.05  # share by which a joint training may move the rate


def _entries(done: Mapping, run: str, quality: int | None = None) -> dict[int, dict]:
    """The lines of a run by seed."""
    return {s: entry for (name, q, s), entry in done.items() if name == run and quality in (None, q)}


def _qualities(done: Mapping, data: str) -> list[int]:
    return sorted({q for name, q, _ in done if name.startswith(f"{data} ") and name != "cifar joint"})


def table(done: Mapping, data: str) -> list[str]:
    """A line a rate and network: score, multiply-adds, seconds."""
    lines = [f"| {DATA[data]} | bpp | network | seeds | score | M multiply-adds | seconds |",
             "| --- | ---: | --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for quality in _qualities(done, data):
        for name in NAMES:
            if entries := list(_entries(done, f"{data} {name}", quality).values()):
                score = shown(Difference(np.array([e["score"] for e in entries])), 3).replace("+", "")
                bpp, count, seconds = (np.mean([e[k] for e in entries]) for k in ("bpp", "multiply_adds", "seconds"))
                lines.append(f"| quality {quality} | {bpp:.3f} | {name} | {len(entries)} | {score} | {count / 1e6:.1f} "
                             f"| {seconds:.0f} |")  # fmt: skip
    return [*lines, ""] if len(lines) > 2 else []


def _hits(entry: Mapping) -> np.ndarray:
    """Who was right of the test's pictures, [count] float64."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(entry["hits"]), np.uint8))
    return bits[: entry["count"]].astype(np.float64)


def _gap(done: Mapping, data: str, quality: int, first: str = "codes", second: str = "pixels") -> np.ndarray | None:
    """First less second network, by seed; with the test's pictures apart where these are known."""
    one, other = (_entries(done, f"{data} {name}", quality) for name in (first, second))
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    if data == "cifar":
        return np.stack([_hits(one[s]) - _hits(other[s]) for s in seeds])
    return np.array([one[s]["score"] - other[s]["score"] for s in seeds])


def asked(done: Mapping) -> dict[str, Difference]:
    """The claims that there are lines for."""
    found: dict[str, Difference] = {}

    def ask(text: str, values, least: float = 0.0, of_examples: bool = False) -> None:
        if values is not None and len(values):
            found[text] = Difference(values, least, of_examples)

    for data in DATA:
        qualities = _qualities(done, data)
        for quality in qualities:
            gap = _gap(done, data, quality)
            ask(f"{DATA[data]}, quality {quality}: codes less pixels, not worse by {-CLOSE[data]}", gap, CLOSE[data],
                data == "cifar")  # fmt: skip
        if len(qualities) > 1:
            low, high = (_gap(done, data, q) for q in (qualities[0], qualities[-1]))
            if low is not None and high is not None and low.shape == high.shape:
                ask(f"{DATA[data]}: codes less pixels at the lowest rate less that at the highest", low - high, 0.0,
                    data == "cifar")  # fmt: skip
    for quality in _qualities(done, "cifar"):
        ask(f"accuracy, quality {quality}: taught less codes", _gap(done, "cifar", quality, "taught", "codes"), 0.0,
            of_examples=True)  # fmt: skip
    joint = [e for e in _entries(done, "cifar joint").values()
             if abs(e["after"]["bpp"] / e["before"]["bpp"] - 1) <= RATE]  # fmt: skip
    plain = {s: e["score"] for s, e in _entries(done, "cifar codes", min(_qualities(done, "cifar"), default=0)).items()}
    ask("joint training less as many more steps with the codec as it is",
        np.array([e["after"]["accuracy"] - e["longer"] for e in joint]))  # fmt: skip
    ask("a new network on the jointly trained, frozen codec less one on the first codec",
        np.array([e["fresh"] - plain[e["seed"]] for e in joint if e["seed"] in plain]))  # fmt: skip
    return found


def joint(done: Mapping) -> list[str]:
    """What joint training did to codec and classifier, by seed."""
    if not (entries := _entries(done, "cifar joint")):
        return []
    names = {"accuracy": 3, "bpp": 4, "psnr_db": 2, "ms_ssim": 4}
    lines = ["| joint training, seed | accuracy | bpp | PSNR, dB | MS-SSIM | longer | fresh |", "| ---: " * 7 + "|"]
    for seed, e in sorted(entries.items()):
        cells = [f"{e['before'][n]:.{d}f} to {e['after'][n]:.{d}f}" for n, d in names.items()]
        lines.append(f"| {seed} | {' | '.join(cells)} | {e['longer']:.3f} | {e['fresh']:.3f} |")
    return [*lines, ""]


def report(done: Mapping) -> str:
    """All tables, then a line a claim."""
    claims = asked(done)
    lines = [line for data in DATA for line in table(done, data)] + joint(done)
    lines += ["| claim | found (95 % interval) | visible | verdict |", "| --- | ---: | ---: | --- |"]
    for (text, claim), said in zip(claims.items(), verdicts(list(claims.values())), strict=True):
        seen = claim.visible(len(claims))
        lines.append(f"| {text} | {shown(claim, 3)} | {'' if seen is None else f'{seen:.3f}'} | {said} |")
    return "\n".join(lines)
