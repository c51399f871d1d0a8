"""Whole runs of tiny classifiers, repeated with changes: what was done, and what the cache answered."""

import contextlib
import dataclasses
import functools
import io
import pathlib
import re

import numpy as np
import pytest

from components import artifacts
from models.contract import registry
from pipeline import cli
from tests.models.kinds import photograph, png

SETTINGS = {"image_size": 16, "batch_size": 8, "steps": 4, "steps_per_epoch": 2}


def class_folders(folder: pathlib.Path, count: int = 60) -> pathlib.Path:
    """Pictures of two classes, dark and light ones, enough for every split to have some."""
    for n in range(count):
        place = folder / ("dark", "light")[n % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = photograph(18, 20, 5 * n) // 2 + (100 if n % 2 else 0)
        (place / f"{n}.png").write_bytes(png(pixels.astype(np.uint8)))
    return folder


@functools.cache
def unbounded() -> dict:
    """The recipes without bounds, since four steps of training make no good model."""
    found = {}
    for name, recipe in registry.recipes().items():
        metrics = tuple(
            dataclasses.replace(m, lower_bound=None, upper_bound=None, tolerance=None)
            for m in recipe.evaluation.metrics
        )
        found[name] = dataclasses.replace(recipe, evaluation=dataclasses.replace(recipe.evaluation, metrics=metrics))
    return found


class TinyRun:
    """One output folder and the command that is repeated in it."""

    def __init__(self, root: pathlib.Path, recipe: str, pictures: pathlib.Path, **settings):
        self.out, self.recipe, self.pictures = root / "out", recipe, pictures
        self.settings = SETTINGS | settings
        self.printed, self.status = "", None

    def run(self, **more) -> dict[str, str]:
        """Runs the command with more settings; gives of each step "done" or "cached"."""
        arguments = ["run", self.recipe, "--data", str(self.pictures), "--out", str(self.out)]
        for name, value in (self.settings | more).items():
            arguments += ["--set", f"{name}={value}"]
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            recipes = unbounded()
            patch.setattr(registry, "recipes", lambda: recipes)
            self.status = cli.main(arguments)
        self.printed = printed.getvalue()
        steps = re.findall(r"^\S+ ([\w-]+) (unchanged|[\d.]+ s)", self.printed, re.MULTILINE)
        return {name: "cached" if how == "unchanged" else "done" for name, how in steps}

    def done(self, **more) -> set[str]:
        """Runs the command; gives the steps that the cache did not answer. It must have pushed a model."""
        steps = self.run(**more)
        assert self.status == 0 and len(steps) > 5, self.printed
        return {name for name, how in steps.items() if how == "done"}

    @property
    def named(self) -> str:
        """The pushed model that the last run named."""
        return re.search(r"^pushed model +(.*)$", self.printed, re.MULTILINE)[1]

    def versions(self) -> list[str]:
        """Paths of what is served, newest first."""
        return [v.path for v in artifacts.pushed_versions(str(self.out / "serving" / self.recipe))]
