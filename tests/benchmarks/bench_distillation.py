"""What distillation costs: training steps of every method over the student's own, and images a second of ResNet-20.

    python -m tests.benchmarks.bench_distillation [--steps 30] [--batch 64] [--peer PYTHON]

Student: SmallCNN of 8 channels; teacher: residual network of depth 14 and 16 channels; 32x32 pixels, random. Ratios are
medians over rounds in which the methods take turns, so that a busy machine slows all of them alike; "alone, again" is
the first step built a second time and says how far two such figures differ by chance. "cached" has the teacher's
outputs beside the pictures, "anew" runs the teacher in every step. PyTorch, where PYTHON has it (by default this one,
if it does), trains its own ResNet-20 of the same layers.
"""

import argparse
import importlib.util
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable

import numpy as np

from models.contract import registry
from models.distillation import route
from models.training.callbacks import KeepRoute
from tests.benchmarks.turns import Peer, seconds, step
from tests.claims.distillation import METHODS

MORE = {"born_again": "born_again", "cwtm": "cwtm", "dkpp": "dkpp", "rbf": METHODS["kd"] + " + 50*cckd(kernel=rbf)"}


def methods(batch_size: int, folder: str) -> dict[str, Callable]:
    """Steps of all methods: labels alone first, then with the teacher's outputs cached, then with KD's made anew."""
    random = np.random.default_rng(0)
    x = random.uniform(size=(batch_size, 32, 32, 3)).astype("float32")
    y = np.eye(10, dtype="float32")[random.integers(0, 10, batch_size)]
    common = {"classes": 10, "image_size": 32, "batch_size": batch_size}
    recipe = registry.get("resnet")
    config = recipe.make_config("small", common | {"depth": 14})
    keep = KeepRoute(recipe, config, folder)
    keep.set_model(recipe.build(config))
    keep.on_epoch_end(0)
    teacher = route.teachers.load(folder)
    said = teacher.features(["stage3", "embedding"])(x, training=False)
    cached = {"labels": y} | {f"teacher/{name}": value.numpy() for name, value in said.items()}
    options = common | {"student_settings": "width=8", "teacher": folder}
    found = {}
    for name, terms in (METHODS | MORE).items():
        if name == "alone":
            found[name] = step("distill", options | {"terms": terms}, (x, y))
            continue
        shapes = {n: list(v.shape[1:]) for n, v in said.items()}
        found[f"{name}, cached"] = step(
            "distill", options | {"terms": terms, "cached": json.dumps(shapes)}, (x, cached)
        )
    found["alone, again"] = step("distill", options | {"terms": METHODS["alone"]}, (x, y))
    found["kd, anew"] = step("distill", options | {"terms": METHODS["kd"]}, (x, y))
    return found


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="steps a round")
    parser.add_argument("--batch", type=int, default=64)
    installed = sys.executable if importlib.util.find_spec("torch") else None
    parser.add_argument("--peer", default=installed, help="a Python that has PyTorch")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = seconds(methods(given.batch, str(pathlib.Path(folder))), given.steps)
    print(f"training step, batch {given.batch}: ms, over that of labels alone")
    for name, value in found.items():
        print(f"  {name:24}{1e3 * value:9.1f}{value / found['alone']:8.2f}")
    cached, anew = found["kd, cached"], found["kd, anew"]
    print(f"teacher's outputs anew over cached: {anew / cached:.2f}")
    random = np.random.default_rng(0)
    x = random.uniform(size=(128, 32, 32, 3)).astype("float32")
    y = np.eye(10, dtype="float32")[random.integers(0, 10, 128)]
    steps = {"ours": step("resnet", {"classes": 10, "image_size": 32, "batch_size": 128}, (x, y))}
    peer = given.peer and Peer(given.peer, "peer_torch.py", "128")
    if peer:
        steps[f"PyTorch {peer.version}"] = peer
    for name, value in seconds(steps, max(1, given.steps // 6)).items():
        print(f"ResNet-20, batch 128, training, {name}: {128 / value:.0f} images/s")
    if not peer:
        print("PyTorch is not installed: nothing to compare with")


if __name__ == "__main__":
    main()
