"""The tables of `tests.claims.understanding` say what the lines give."""

import numpy as np

from tests.claims import understanding_report


def line(run: str, quality: int, seed: int, hits) -> dict:
    hits = np.asarray(hits, bool)
    figures = {"score": float(hits.mean()), "bpp": quality / 100, "multiply_adds": 2e6, "seconds": 9.0}
    told = {"count": len(hits), "hits": np.packbits(hits).tobytes().hex()}
    return {"run": run, "quality": quality, "seed": seed} | figures | told


def lines() -> dict:
    """Three seeds: on codes one of 41 pictures more is right at the lowest rate, and at the highest half are not."""
    rows, draw = [], np.random.default_rng(1)
    for seed in (1, 2, 3):
        pixels = draw.random(41) < 0.8
        pixels[0] = False
        better, worse = pixels.copy(), pixels & (np.arange(41) % 2 == 0)
        better[0] = True
        for quality, codes in ((10, better), (75, worse)):
            rows += [line("cifar codes", quality, seed, codes), line("cifar pixels", quality, seed, pixels)]
        rows.append({
            "run": "cifar joint", "quality": 10, "seed": seed, "longer": 0.7, "fresh": float(better.mean()) + 0.1,
            "before": {"accuracy": 0.7, "bpp": 0.1, "psnr_db": 30.0, "ms_ssim": 0.9},
            "after": {"accuracy": 0.8, "bpp": 0.2 if seed == 3 else 0.1, "psnr_db": 29.0, "ms_ssim": 0.9},
        })  # fmt: skip
    return {(row["run"], row["quality"], row["seed"]): row for row in rows}


def test_gaps_are_paired_by_seed_and_picture():
    asked = understanding_report.asked(lines())
    low, high = (next(c for t, c in asked.items() if f"quality {q}:" in t and "pixels" in t) for q in (10, 75))
    assert low.values.shape == (3, 41) and np.isclose(low.mean, 1 / 41) and low.least == -0.03
    assert high.mean < -0.2
    shrinks = next(c for t, c in asked.items() if "lowest rate less" in t)
    assert np.isclose(shrinks.mean, low.mean - high.mean)


def test_joint_trainings_whose_rate_moved_do_not_count():
    asked = understanding_report.asked(lines())
    longer = next(c for t, c in asked.items() if t.startswith("joint training"))
    fresh = next(c for t, c in asked.items() if t.startswith("a new network"))
    assert longer.runs == fresh.runs == 2 and np.isclose(longer.mean, 0.1) and np.isclose(fresh.mean, 0.1)


def test_the_report_says_what_holds_and_shows_every_seed():
    text = understanding_report.report(lines())
    rows = [row for row in text.splitlines() if row.startswith("| accuracy, CIFAR-10, quality")]
    # 41 pictures cannot show three points.
    assert len(rows) == 2 and rows[0].endswith("| not shown |") and rows[1].endswith("| does not hold |")
    assert "| 3 | 0.700 to 0.800 | 0.1000 to 0.2000 |" in text
    assert understanding_report.report({}).startswith("| claim |")
