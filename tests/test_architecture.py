"""Holds the house rules that no interpreter checks: who imports whom, sizes, docstrings, the build targets."""

import ast
import collections
import pathlib
import re
import sys

import pytest

from tests.build_file import build_targets, reachable
from tests.sources import ROOT, SOURCES, definitions, imports, python_files, tops, tree

FOLDERS = (*SOURCES, "tests", "docs", "scripts", ".ci")
TFX_FAMILY = {"tfx", "apache_beam", "ml_metadata", "tensorflow_data_validation", "tensorflow_model_analysis",
              "tensorflow_transform", "tfx_bsl"}  # fmt: skip
NEVER_IMPORTS = {
    "models": {"tuning", "components", "pipeline", "keras_tuner", "tensorflow_datasets", "kfp", *TFX_FAMILY},
    "tuning": {"components", "pipeline", "kfp", *TFX_FAMILY},
    "components": {"pipeline", "kfp"},
    "pipeline": set(),
}
KERAS_BASES = {"Layer", "Model", "Sequential", "Functional", "Metric", "Loss", "Initializer", "Constraint",
               "Configured", "Codec", "Classifier", "DistillationLoss", "Term", "TrainedTerm"}  # fmt: skip
REGISTRY_HOSTS = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org", "deb.deb" + "ian.org")
MACHINE_PATH = re.compile(r"(?<![\w.])/(work|root|home|Users|farm)/[A-Za-z.]")
DUPLICATE_LINES = 9
# Where the name to import is not the name to install.
DISTRIBUTIONS = {"PIL": "pillow", "xdist": "pytest-xdist", "skimage": "scikit-image", "sklearn": "scikit-learn",
                 "tensorflow_serving": "tensorflow-serving-api", "grpc": "grpcio",
                 "google": "protobuf", "absl": "absl-py", "yaml": "pyyaml"}  # fmt: skip

# Only a benchmark's peer imports these, in an environment of its own.
PEERS = {"tensorflow_compression", "torch"}


def is_training_code(path: pathlib.Path) -> bool:
    """Whether a module of models/ must also run on JAX: a shared layer, a recipe, or a Keras layer or model."""
    if "serving" in path.parts or path.stem.endswith("serving"):
        return False
    body = tree(path).body
    recipe = any(isinstance(n, ast.Assign) and any(ast.unparse(t) == "RECIPE" for t in n.targets) for n in body)
    bases = {ast.unparse(b).rpartition(".")[2] for n in body if isinstance(n, ast.ClassDef) for b in n.bases}
    return "layers" in path.parts or recipe or bool(bases & KERAS_BASES)


@pytest.mark.parametrize("folder", SOURCES)
def test_imports_point_one_way(folder):
    wrong = {str(p): sorted(tops(p) & NEVER_IMPORTS[folder]) for p in python_files(folder)}
    assert python_files(folder)
    assert not {path: names for path, names in wrong.items() if names}


def test_training_code_imports_no_tensorflow():
    training = [p for p in python_files("models") if is_training_code(p)]
    assert pathlib.Path("models/codecs/mean_scale_hyperprior.py") in training
    assert pathlib.Path("models/entropy/densities/factorized.py") in training
    assert pathlib.Path("models/distillation/terms/relational.py") in training
    assert not [str(p) for p in training if tops(p) & {"tensorflow", "tf_keras"}]


def test_saved_graphs_hold_no_foreign_coder():
    assert not [str(p) for p in python_files(*SOURCES) if "tensorflow_compression_ops" in tops(p)]


def test_no_component_postpones_its_annotations():
    """TFX reads the annotations of `@component` functions as objects, and fails on text."""
    tfx = [p for p in python_files("components", "pipeline") if "tfx" in tops(p)]
    assert tfx and not [str(p) for p in tfx if "__future__.annotations" in imports(p)]


def test_no_module_waits_for_clients_of_a_cloud():
    """TFX's `v1` imports Google's AI Platform client with it: four seconds of every command that runs a pipeline."""
    tfx = [p for p in python_files(*SOURCES, "tests") if "tfx" in tops(p)]
    assert tfx and not [str(p) for p in tfx if any(name.startswith("tfx.v1") for name in imports(p))]


def test_requirements_name_every_direct_dependency():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+ +# \S.*", pin) for pin in pins), "pinned, with a reason"
    direct = {canonical(re.split(r"[\[=]", pin)[0]) for pin in pins}
    missing = {}
    for path in python_files(*FOLDERS):
        for name in tops(path) - set(sys.stdlib_module_names) - set(FOLDERS) - PEERS:
            if canonical(DISTRIBUTIONS.get(name, name)) not in direct:
                missing.setdefault(name, str(path))
    assert not missing


def canonical(distribution: str) -> str:
    """Name of a distribution as the index compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def locked(name: str) -> dict[str, str]:
    """Versions by name, of a lock."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if not line.startswith("#"))
    return {canonical(n): v for n, _, v in (line.partition("==") for line in lines if not line.startswith("#"))}


def pinned(name: str) -> dict[str, str]:
    """Versions by name, of direct dependencies; a condition behind a pin is left out."""
    found = re.findall(r"^([\w.-]+)(?:\[.*?\])?==([\w.]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonical(n): v for n, v in found}


@pytest.mark.parametrize("stack", ["", "-tfx121"])
def test_lock_holds_every_direct_pin(stack):
    lock, pins, own = locked(f"requirements{stack}.lock"), pinned("requirements.txt"), {}
    if stack:
        own = pinned(f"requirements{stack}.txt")
        assert own and own.keys() <= pins.keys(), "it takes the place of lines, and adds none"
        left_out = "tensorflow-compression-ops"  # by a condition that no machine fulfils
        assert own.pop(left_out) and pins.pop(left_out) and left_out not in lock
    assert pins and {n: v for n, v in (pins | own).items() if lock.get(n) != v} == {}
    assert {"pip", "setuptools", "wheel"} <= set(lock)
    assert int(lock["setuptools"].split(".")[0]) < 81


def test_files_and_functions_are_short():
    files = {str(p): n for p in python_files(*FOLDERS) if (n := len((ROOT / p).read_text().splitlines())) > 400}
    assert not files
    functions = {
        f"{path}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for path in python_files(*SOURCES, "scripts")
        for node in definitions(tree(path))
        if not isinstance(node, ast.ClassDef) and node.end_lineno - node.lineno + 1 > 60
    }
    assert not functions


def test_rooms_can_be_overlooked():
    """Who opens a folder sees at most fifteen modules."""
    seen = collections.Counter(path.parent for path in python_files(*SOURCES) if path.name != "__init__.py")
    assert not {str(folder): count for folder, count in seen.items() if count > 15}


def test_families_stand_apart():
    """A family imports what lies below, and of the other families what is drawn; what lies below knows no family."""
    targets = build_targets()
    families = (
        "codecs classifiers compressed ecg distillation faces generative lossless pursuit strassen understanding video "
    )
    families += "weighting"
    families = {f"models_{name}" for name in families.split()}
    sideways = {name: reachable(targets, name) & families - {name} for name in targets if name.startswith("models")}
    drawn = dict.fromkeys(
        ("compressed", "ecg", "distillation", "distillation_terms", "weighting"), {"models_classifiers"}
    )
    alone = {"models_codecs"}
    drawn["lossless"] = drawn["generative"] = drawn["generative_perception"] = drawn["video"] = alone
    drawn = {f"models_{name}": found for name, found in drawn.items()}
    drawn |= dict.fromkeys(("models_faces", "models_strassen"), {"models_classifiers", "models_distillation"})
    drawn["models_understanding"] = {"models_classifiers", "models_codecs", "models_distillation"}
    assert {name: found for name, found in sideways.items() if found} == drawn


def test_the_document_shows_the_rooms_that_there_are():
    rows = re.findall(r"^\| `([\w/]+)` \| .* \| (.*) \|$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE)
    shown = {room: re.findall(r"`([\w/]+)`", imported) for room, imported in rows}
    targets = {name: t for name, t in build_targets().items() if name in {room.replace("/", "_") for room in shown}}
    assert {name for name, t in build_targets().items() if t["kind"] == "py_library"} - set(targets) == {
        "tests_shared", "systems", "kinds",
    }  # fmt: skip
    for room, imported in shown.items():
        deps = [d for d in targets[room.replace("/", "_")]["deps"] if d.startswith(":")]
        assert [f":{other.replace('/', '_')}" for other in imported] == deps, room


def test_public_names_have_docstrings():
    """Modules, and their public classes and functions; methods that fill in a framework's contract may go without."""
    bare = []
    for path in python_files(*SOURCES):
        module, defined = tree(path), set(definitions(tree(path)))
        bare += [] if ast.get_docstring(module) else [str(path)]
        for node in module.body:
            if node in defined and not node.name.startswith("_") and not ast.get_docstring(node):
                bare.append(f"{path}:{node.lineno} {node.name}")
    assert not bare


def texts() -> list[tuple[pathlib.Path, str]]:
    """Every text file of the repository as (path relative to the root, content)."""
    suffixes = {".py", ".md", ".txt", ".lock", ".toml", ".sh", ".yaml", ".json", ".html", ".svg", ".csv", ""}
    top = [p for p in ROOT.iterdir() if p.is_file() and not p.name.endswith(".kmp")]
    inner = [p for f in FOLDERS for p in (ROOT / f).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return [(p.relative_to(ROOT), p.read_text(encoding="utf-8")) for p in top + inner if p.suffix in suffixes]


def test_nothing_names_a_machine_or_a_registry():
    found = []
    for path, text in texts():
        found += [f"{path}: {m.group()}" for m in MACHINE_PATH.finditer(text)]
        found += [f"{path}: {host}" for host in REGISTRY_HOSTS if host in text]
    assert len(texts()) > 30 and not found


def test_keras_3_is_never_switched_off():
    flag = "TF_USE_" + "LEGACY_KERAS"
    assert not [str(path) for path, text in texts() if flag in text and path.suffix != ".md"]


def test_no_block_stands_twice():
    """The same lines in two places drift apart: they belong in one."""
    seen = collections.defaultdict(set)
    for path in python_files(*SOURCES):
        lines = [line.strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()]
        lines = [s for s in lines if s and not s.startswith(("#", "import ", "from "))]
        for i in range(len(lines) - DUPLICATE_LINES + 1):
            seen["\n".join(lines[i : i + DUPLICATE_LINES])].add((str(path), i))
    assert not [sorted(places) for places in seen.values() if len(places) > 1]


def test_tests_mirror_the_sources():
    missing = [str(p) for p in python_files(*SOURCES) if p.name == "__init__.py" and not mirrored(p.parent)]
    assert not missing


def mirrored(package: pathlib.Path) -> bool:
    """Whether the tests of a package exist: below its own folder, or in one above it."""
    above = any(any((ROOT / "tests" / p).glob("test_*.py")) for p in list(package.parents)[:-1])
    return above or any((ROOT / "tests" / package).rglob("test_*.py"))
