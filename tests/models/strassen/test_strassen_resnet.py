"""The named recipe: its own full-precision network is the teacher, and any classifier can be the student."""

import dataclasses

import pytest

from models.contract import registry
from models.contract.recipe import ConfigError
from models.contract.training import Files
from models.distillation import student
from models.layers import cost

RECIPE = registry.get("strassen_resnet")
FILES = Files([], [], "", "")


def test_the_teacher_is_the_network_in_full_precision():
    options = {"student": "wide_resnet", "student_settings": "depth=10,width=4", "classes": 3, "image_size": 16}
    config = RECIPE.make_config("small", options)
    recipe, of_teacher = student.teacher_recipe(config)
    own, of_student = student.student_recipe(config)
    assert recipe is own and recipe.name == "wide_resnet"
    alike = {name: getattr(of_student, name) for name in ("budget", "int8", "seed")}
    assert dataclasses.replace(of_teacher, **alike) == of_student and of_teacher.seed != of_student.seed
    assert (of_teacher.budget, of_student.budget) == (0.0, 1.0)
    plain, other = (recipe.build(c).network for c in (of_teacher, of_student))
    assert cost.multiply_adds(other) < 0.05 * cost.multiply_adds(plain)


def test_students_and_controls_go_through_the_phases():
    config = RECIPE.make_config("small", {"steps": 100})
    for one in (config, student.control_of(config)):
        phases = list(student.RECIPE.phases(one, FILES))
        assert [(p.name, p.steps) for p in phases] == [("full", 60), ("ternary", 30), ("folded", 10)]
        assert [p.config(one).matrices for p in phases] == ["full", "ternary", "folded"]
        rates = [p.config(one).learning_rate / one.learning_rate for p in phases]
        assert rates == pytest.approx([1.0, 0.3, 0.1]) and not any(p.config(one).weight_decay for p in phases[1:])


def test_phases_that_exclude_each_other_are_refused():
    with pytest.raises(ConfigError, match="hint_terms: a budget of multiplications has phases of its own"):
        RECIPE.make_config("small", {"hint_terms": "hint(layer=stage2)"})
    with pytest.raises(ConfigError, match="budget: a route has stages of its own"):
        registry.get("route").make_config("small", {"budget": 1.0})
