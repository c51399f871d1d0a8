"""What the sections of the report have in common: each is a file in `sections/` that measures and draws one thing.

The last line of a file says SECTION = its section, and the file's name is what a recipe's `report` calls it by.
"""

import abc
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from components import found
from components.report import sections
from components.serving.served_codec import one_line
from models.contract.recipe import Recipe


class Notes(list):
    """Sentences on what the page lacks."""

    def attempt(self, what: str, read: Callable[[], Any]) -> Any:
        """What `read` returns; or None and a sentence more, since a page with a gap is better than none."""
        try:
            return read()
        except Exception as error:  # noqa: BLE001
            self.append(f"No {what} on this page: {type(error).__name__}: {one_line(error)}")
            return None


@dataclasses.dataclass(frozen=True)
class Run:
    """What a section can measure.

    Attributes:
      recipe: its name. config: the options that the model was trained with.
      model_dir: SavedModel. pushed: folder of the version that was pushed ("": none).
      files: of the test split's records. count: of those that are enough where all would take too long.
      comparison: folder of the table of a run that compares models ("": it does not).
      notes: take what a section cannot measure while it can go on.
    """

    recipe: str
    config: Mapping[str, Any]
    model_dir: str
    pushed: str
    files: Sequence[str]
    count: int
    comparison: str
    notes: Notes

    @property
    def class_names(self) -> list[str]:
        """Names of the model's classes in its order; empty if it has none."""
        return json.loads(self.config.get("class_names") or "[]")


class Cards(NamedTuple):
    """The large figures at the top: dicts of "label", "value", "unit" and "about", and a sentence on all of them."""

    cards: list[dict[str, str]]
    about: str


class Section(abc.ABC):
    """One thing that the page shows of a model.

    Attributes:
      what: is missing from the page where it cannot be measured.
      training_about, evaluation_about: what is said beneath the curves of the training and the table of the evaluation
        ("": nothing that differs from other systems).
    """

    what = ""
    training_about = ""
    evaluation_about = ""

    def measure(self, run: Run) -> Any:
        """What the section shows of a model, as JSON has it; None where it measures nothing itself.

        Raises whatever stands in the way: the section is then rendered without.
        """
        del run

    @abc.abstractmethod
    def render(self, measured: Any, data: Mapping[str, Any]) -> str:
        """The section as HTML, one <section> or several.

        Args:
          measured: what `measure` returned, None if it could not. data: all numbers of the report.
        """

    def cards(self, measured: Any, values: Mapping[str, float], examples: int | None) -> Cards | None:
        """The figures at the top of the page, if they are others than the first metrics.

        Args:
          values: what the evaluation gave by the metrics' names; empty without one. examples: how many there were.
        """
        del measured, values, examples

    def rows(self, measured: Any) -> list[tuple[str, str]]:
        """(name, value) of what is printed at the end of a run as well."""
        del measured
        return []

    def lines(self, measured: Any) -> list[str]:
        """What is printed below, as it stands."""
        del measured
        return []


def get(name: str) -> Section:
    """The section of that name. Raises LookupError: there is none; the message lists those there are."""
    return found.find(sections, name, "section of the report").SECTION


def check(recipe: Recipe) -> None:
    """Raises LookupError if the recipe asks for a section that there is not."""
    for name in recipe.report:
        get(name)


def measured(names: Sequence[str], run: Run) -> dict[str, Any]:
    """What each section measures of a run, by its name in their order; None with a note where one cannot."""
    return {name: run.notes.attempt(get(name).what or name, lambda n=name: get(n).measure(run)) for name in names}
