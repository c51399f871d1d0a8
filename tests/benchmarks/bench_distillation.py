"""What distillation costs: training steps of every method over the student's own, and images a second of ResNet-20.

    python -m tests.benchmarks.bench_distillation [--steps 30] [--batch 64]

Student: SmallCNN of 8 channels; teacher: residual network of depth 14 and 16 channels; 32x32 pixels, random. Ratios are
medians over rounds in which the methods take turns, so that a busy machine slows all of them alike. "cached" has the
teacher's outputs beside the pictures, "anew" runs the teacher in every step. PyTorch, if it is installed, trains its
own ResNet-20 of the same layers.
"""

import argparse
import json
import pathlib
import tempfile
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from models import registry
from models.distillation import route
from models.train import compiled_model
from tests.claims.distillation import METHODS

ROUNDS = 5
MORE = {"born_again": "born_again", "cwtm": "cwtm", "dkpp": "dkpp", "rbf": METHODS["kd"] + " + 50*cckd(kernel=rbf)"}


def step(recipe_name: str, options: dict, batch) -> Callable[[], None]:
    """One training step of a recipe on a batch, compiled and run once."""
    recipe = registry.get(recipe_name)
    model = compiled_model(recipe, recipe.make_config("small", options))
    model.make_train_function()
    # The iterator is endless; each call takes one batch of it and waits for the loss.
    iterator = iter(tf.data.Dataset.from_tensors(batch).repeat())
    model.train_function(iterator)
    return lambda: model.train_function(iterator)


def seconds(steps: dict[str, Callable], count: int) -> dict[str, float]:
    """Median over the rounds of the seconds that one step takes."""
    taken: dict[str, list] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, call in steps.items():
            start = time.perf_counter()
            for _ in range(count):
                call()
            taken[name].append((time.perf_counter() - start) / count)
    return {name: float(np.median(values)) for name, values in taken.items()}


def methods(batch_size: int, folder: str) -> dict[str, Callable]:
    """Steps of all methods: labels alone first, then with the teacher's outputs cached, then with KD's made anew."""
    random = np.random.default_rng(0)
    x = random.uniform(size=(batch_size, 32, 32, 3)).astype("float32")
    y = np.eye(10, dtype="float32")[random.integers(0, 10, batch_size)]
    common = {"classes": 10, "image_size": 32, "batch_size": batch_size}
    recipe = registry.get("resnet")
    config = recipe.make_config("small", common | {"depth": 14})
    keep = route.KeepRoute(recipe, config, folder)
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
    found["kd, anew"] = step("distill", options | {"terms": METHODS["kd"]}, (x, y))
    return found


def torch_step(batch_size: int) -> Callable[[], None] | None:
    """A training step of PyTorch's ResNet-20 of the same layers; None without PyTorch."""
    try:
        import torch
        from torch import nn
    except ImportError:
        return None

    class Block(nn.Module):
        def __init__(self, before, after, stride):
            super().__init__()
            self.one, self.two = (
                nn.Sequential(nn.Conv2d(c, after, 3, s, 1, bias=False), nn.BatchNorm2d(after))
                for c, s in ((before, stride), (after, 1))
            )
            self.short = nn.Sequential()
            if before != after:
                self.short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

        def forward(self, x):
            return torch.relu(self.short(x) + self.two(torch.relu(self.one(x))))

    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:], strict=False)]
    stem = (nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    model = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    x, y = torch.rand(batch_size, 3, 32, 32), torch.randint(0, 10, (batch_size,))

    def call():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    call()
    return call


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="steps a round")
    parser.add_argument("--batch", type=int, default=64)
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
    if peer := torch_step(128):
        steps["PyTorch"] = peer
    for name, value in seconds(steps, max(1, given.steps // 6)).items():
        print(f"ResNet-20, batch 128, training, {name}: {128 / value:.0f} images/s")
    if not peer:
        print("PyTorch is not installed: nothing to compare with")


if __name__ == "__main__":
    main()
