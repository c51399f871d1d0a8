"""Discovery: a file that assigns RECIPE is a recipe; two of one name, or a broken one, and the files are named."""

import pathlib

import pytest

import models
from models.contract import registry

SOURCE = """
from models.codecs import codec
from models.contract.recipe import Evaluation, Recipe

RECIPE = Recipe(name="{name}", shape="codec", summary="-", config=codec.CodecConfig, presets={{}}, build=None,
                inputs=None, signatures=None, evaluation=Evaluation(()))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that takes the place of models/ in discovery."""
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    return tmp_path


def discover():
    return registry.recipes.__wrapped__()


def test_the_shipped_recipes_are_found_in_order():
    names = list(registry.recipes())
    assert names == sorted(names)
    assert {"autoregressive", "factorized", "hyperprior", "mean_scale_hyperprior"} <= set(names)
    assert all(registry.get(n).name == n for n in names)


def test_the_list_is_read_from_the_sources_alone(monkeypatch):
    shipped = [
        (r.name, pathlib.Path(r.source).parent.name, r.data, tuple(r.presets), r.summary)
        for r in registry.recipes().values()
    ]
    monkeypatch.setattr(registry, "recipes", None)  # of no shipped recipe is the module needed
    assert registry.headlines() == shipped


def test_a_recipe_that_computes_its_headline_is_imported(folder, monkeypatch):
    (folder / "reg_computed.py").write_text(SOURCE.format(name="computed").replace('summary="-"', 'summary="-" * 3'))
    monkeypatch.setattr(registry, "recipes", registry.recipes.__wrapped__)
    assert registry.headlines() == [registry.Headline("computed", "", "pictures", (), "---")]


def test_an_unknown_name_gets_the_nearest_and_the_list():
    with pytest.raises(registry.RegistryError, match="no recipe 'hyperpior'; did you mean 'hyperprior'.*factorized"):
        registry.get("hyperpior")
    with pytest.raises(registry.RegistryError, match="no recipe ''"):
        registry.get("")


def test_files_are_found_wherever_they_lie(folder):
    (folder / "reg_inner").mkdir()
    (folder / "reg_b.py").write_text(SOURCE.format(name="b"))
    (folder / "reg_inner" / "reg_a.py").write_text(SOURCE.format(name="a"))
    (folder / "reg_helper.py").write_text("raise RuntimeError('helpers are not imported')\n")
    found = discover()
    assert list(found) == ["a", "b"] and found["a"].source == str(folder / "reg_inner" / "reg_a.py")


def test_two_recipes_of_one_name_name_both_files(folder):
    for file in ("reg_first.py", "reg_second.py"):
        (folder / file).write_text(SOURCE.format(name="same"))
    with pytest.raises(registry.RegistryError, match="named 'same': .*reg_first.py and .*reg_second.py"):
        discover()


INDENTED = "def f():\n    '''\nRECIPE = 1\n'''"
BROKEN = ["RECIPE = (", "import no_such_module_at_all\nRECIPE = 1", "RECIPE = 1 / 0", INDENTED]


@pytest.mark.parametrize("n, source", enumerate(BROKEN))
def test_a_broken_file_is_named(folder, n, source):
    (folder / f"reg_broken_{n}.py").write_text(source)
    with pytest.raises(registry.RegistryError, match=f"reg_broken_{n}.py does not import: [A-Z]"):
        discover()


def test_a_recipe_that_is_none_is_named(folder):
    (folder / "reg_number.py").write_text("RECIPE = 3\n")
    with pytest.raises(registry.RegistryError, match="reg_number.py: RECIPE is an int, not a Recipe"):
        discover()
