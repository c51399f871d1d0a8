"""The code that a step runs, found by reading it: what is imported, named or found at run time, and nothing else."""

import modulefinder
import pathlib

import pytest

from components import closure
from models.contract import registry
from pipeline.shapes import line

SOURCES = {
    "components/__init__.py": "",
    "components/step.py": "import os\nfrom models import layer\n\n"
    'def run():\n    from components.late import x\n    "a.css"\n',
    "components/late.py": 'x = 1\nRUN = "tuning.search.tune"\n',
    "components/a.css": "p {}",
    "components/sets.py": "import importlib\n\ndef get(name):\n"
    '    return importlib.import_module(f"components.sets_.{name}.{name}_builder")\n',
    "components/sets_/digits/digits_builder.py": "",
    "components/sets_/photos/photos_builder.py": "from components import late\n",
    "components/sets_/photos/other.py": "",
    "components/found/__init__.py": "import importlib, pathlib\n\ndef all_of_them():\n"
    "    return [importlib.import_module(p.stem) for p in pathlib.Path(__file__).parent.iterdir()]\n",
    "components/found/one.py": "",
    "components/kinds/__init__.py": '"""The kinds."""\n',
    "components/kinds/registry.py": "import importlib\n\ndef get(noun):\n"
    '    return importlib.import_module(f"{__package__}.{noun}.kind")\n',
    "components/kinds/pictures/kind.py": "",
    "components/kinds/sounds/kind.py": "from components import late\n",
    "components/parts/__init__.py": '"""A file a part."""\n',
    "components/parts/mean.py": "",
    "components/parts/sum.py": "",
    "components/finder.py": "import importlib\n\ndef find(package, name):\n"
    '    return importlib.import_module(f"{package.__name__}.{name}")\n',
    "components/whole.py": "from components import finder, parts\n\ndef get(name):\n"
    "    return finder.find(parts, name)\n",
    "components/by_name.py": "from models.contract import registry\n",
    "models/__init__.py": "",
    "models/layer/__init__.py": "from .conv import Conv\n",
    "models/layer/conv.py": "import typing\nfrom .. import base\n"
    "if typing.TYPE_CHECKING:\n    from models import unused\n",
    "models/base.py": "",
    "models/unused.py": "",
    "models/contract/__init__.py": "",
    "models/contract/registry.py": "import importlib\n\ndef get(module):\n    return importlib.import_module(module)\n",
    "models/one.py": 'RECIPE = Recipe(\n    name="first",\n)\n',
    "models/two.py": 'RECIPE = Recipe(name="second")\n',
    "models/odd.py": "RECIPE = made()\n",
    "tuning/search.py": "def tune(): ...\n",
}


@pytest.fixture
def sources(tmp_path, monkeypatch):
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(closure, "ROOT", tmp_path)
    return tmp_path


def found(*modules, names=()):
    return set(closure.files(*modules, names=names))


def test_imports_anywhere_packages_named_modules_and_files_count(sources):
    assert found("components.step") == {
        "components/__init__.py", "components/step.py", "components/late.py", "components/a.css", "tuning/search.py",
        "models/__init__.py", "models/layer/__init__.py", "models/layer/conv.py", "models/base.py",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "builders"),
    [(("digits",), {"digits/digits"}), (("photos", "x"), {"photos/photos"}), ((), {"digits/digits", "photos/photos"})],
)
def test_of_what_a_pattern_finds_that_counts_which_is_named(sources, names, builders):
    late = {"components/late.py", "tuning/search.py"} if "photos/photos" in builders else set()
    builders = {f"components/sets_/{name}_builder.py" for name in builders}
    assert found("components.sets", names=names) - late == {"components/__init__.py", "components/sets.py"} | builders


def test_what_is_found_in_a_folder_counts_whole(sources):
    assert {"components/found/__init__.py", "components/found/one.py"} < found("components.found", names=("one",))


def test_a_pattern_may_begin_with_the_package_it_stands_in(sources):
    room = {"components/__init__.py", "components/kinds/__init__.py", "components/kinds/registry.py"}
    late = {"components/late.py", "tuning/search.py"}
    kinds = {f"components/kinds/{name}/kind.py" for name in ("pictures", "sounds")}
    assert found("components.kinds.registry", names=("pictures",)) == room | {"components/kinds/pictures/kind.py"}
    assert found("components.kinds.registry") == room | late | kinds


def test_a_package_that_holds_nothing_is_imported_to_be_searched(sources):
    parts = {f"components/parts/{name}.py" for name in ("__init__", "mean", "sum")}
    assert found("components.whole") == parts | {f"components/{name}.py" for name in ("__init__", "whole", "finder")}


def test_of_the_recipes_those_count_that_are_named_and_those_whose_name_is_not_said(sources):
    recipes = {"models/one.py", "models/two.py", "models/odd.py"}
    assert found("components.by_name", names=("second",)) & recipes == {"models/two.py", "models/odd.py"}
    assert found("components.by_name") & recipes == recipes


@pytest.mark.parametrize("name", ["models/base.py", "components/a.css", "components/late.py"])
def test_the_digest_follows_every_file_of_the_closure(sources, name):
    before = closure.digest("components.step")
    (sources / "models" / "new.py").write_text("")
    (sources / "models" / "unused.py").write_text("x = 2\n")
    assert closure.digest("components.step") == before
    (sources / name).write_text((sources / name).read_text() + "\n")
    assert closure.digest("components.step") != before


def test_a_module_that_is_not_there_is_an_error(sources):
    with pytest.raises(FileNotFoundError, match=r"no module components\.absent"):
        closure.digest("components.absent")


STEPS = (
    "components.ingest.example_gen", "components.kinds.recordings.transform", "components.training.trainer",
    "components.training.tuner", "components.training.teacher", "components.training.ensemble",
    "components.evaluation.baseline", "components.evaluation.evaluator", "components.evaluation.comparison",
    "components.serving.check", "components.serving.pusher", "components.report.component",
)  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_nothing_that_a_step_imports_is_missing(step):
    """The standard library finds imports as well, in another way: in the compiled code."""
    recipe = next(module for module, name in registry.modules().items() if name == "hyperprior")
    finder = modulefinder.ModuleFinder([str(closure.ROOT)])
    for module in (step, recipe):
        finder.import_hook(module)
    loaded = {pathlib.Path(module.__file__) for module in finder.modules.values() if module.__file__}
    loaded = {path.relative_to(closure.ROOT).as_posix() for path in loaded}
    assert len(loaded) > 10 and loaded - found(step, recipe, names=("hyperprior",)) == set()


def test_a_recipes_training_knows_its_own_modules_and_no_other_recipe():
    files = found(line.RUN_FN.rpartition(".")[0], names=("hyperprior",))
    assert {"models/codecs/hyperprior.py", "models/training/loop.py", "models/layers/gdn.py"} < files
    assert not {"models/codecs/edic.py", "models/ecg/ecg_cnn.py", "models/classifiers/resnet.py"} & files
    assert not [f for f in files if pathlib.Path(f).parts[0] in ("pipeline", "tuning")]
