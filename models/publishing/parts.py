"""SavedModels of some signatures, cut out of one that has more.

A server or a process that only compresses need not load what decompresses and evaluates: a part holds the nodes and
functions that its signatures reach, and what restores the variables. It reads the variables of the whole model, and
any of TensorFlow's loaders takes it.

Beside a model lies a part of each signature for processes that are to answer at once. Its functions are put in their
places ahead of time, which TensorFlow would else do at the first call, for seconds.
"""

import collections
import gzip
import os
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence

from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2, saved_model_pb2

# There is no public way to the graph optimiser; its results are held by tests.
from tensorflow.python.grappler import tf_optimizer

from models.files import replacing
from models.publishing import pushed

FOLDER = "parts"  # below `pushed.EXTRA`: NAME.pb.gz for each signature
_GRADIENT = "_gradient_op_type"  # names a Python function of the process that traced


def write(directory: str | os.PathLike) -> None:
    """Writes a part for each signature of the SavedModel at a folder, beside what else is kept there."""
    directory = pathlib.Path(directory)
    saved, folder = read(directory), directory / pushed.EXTRA / FOLDER
    folder.mkdir(parents=True)
    for name in signatures(saved):
        part = inlined(cut(saved, [name]))
        (folder / f"{name}.pb.gz").write_bytes(gzip.compress(part.SerializeToString(), mtime=0))


def inlining() -> config_pb2.ConfigProto:
    """Has a session put functions in the places where they are called, and rewrite nothing else."""
    config, off = config_pb2.ConfigProto(), rewriter_config_pb2.RewriterConfig.OFF
    rewriting = config.graph_options.rewrite_options
    rewriting.meta_optimizer_iterations = rewriting.ONE
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    rewriting.disable_tfg_optimizer = True  # takes a third of the time and changes nothing here
    for rewrite in ("arithmetic_optimization", "common_subgraph_elimination", "constant_folding", "layout_optimizer",
                    "loop_optimization", "remapping", "shape_optimization"):  # fmt: skip
        setattr(rewriting, rewrite, off)
    return config


def inlined(saved: saved_model_pb2.SavedModel) -> saved_model_pb2.SavedModel:
    """The same SavedModel with its functions in the places where they are called; else nothing is rewritten."""
    result = saved_model_pb2.SavedModel()
    result.CopyFrom(saved)
    meta = meta_graph_pb2.MetaGraphDef()
    meta.CopyFrom(saved.meta_graphs[0])
    meta.collection_def["train_op"].node_list.value.extend(filter(None, _ends(meta)))  # what the optimiser keeps
    result.meta_graphs[0].graph_def.CopyFrom(tf_optimizer.OptimizeGraph(inlining(), meta, verbose=False))
    return result


def groups(saved: saved_model_pb2.SavedModel) -> Mapping[str, list[str]]:
    """Signatures that are deployed together, by what they do: "compress" with its variants, "evaluate", ..."""
    found = collections.defaultdict(list)
    for name in signatures(saved):
        found["evaluate" if name == "serving_default" else name.partition("_")[0]].append(name)
    return found


def split(directory: str | os.PathLike, target: str | os.PathLike) -> list[pathlib.Path]:
    """Writes a SavedModel for each of `groups`: `target`/GROUP/VERSION, as servers want folders.

    Args:
      directory: a SavedModel; its folder's name is the version, if that is a number, else it is 1.

    Returns:
      The folders, each complete or absent.

    Raises:
      FileNotFoundError: no model there. FileExistsError: one of the folders is there already; none is written then.
    """
    directory, saved = pathlib.Path(directory), read(directory)
    version = directory.name if directory.name.isdecimal() else "1"
    folders = {pathlib.Path(target) / name / version: names for name, names in groups(saved).items()}
    if there := [folder for folder in folders if folder.exists()]:
        raise FileExistsError(f"{there[0]} exists")
    for folder, names in folders.items():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as part:
            shutil.copytree(directory / "variables", part / "variables")
            (part / "saved_model.pb").write_bytes(cut(saved, names).SerializeToString())
            about = directory / pushed.EXTRA / pushed.ABOUT
            if about.is_file():
                (part / pushed.EXTRA).mkdir()
                shutil.copy(about, part / pushed.EXTRA)
    return list(folders)


def read(directory: str | os.PathLike) -> saved_model_pb2.SavedModel:
    """The description of the SavedModel at a folder. Raises FileNotFoundError: there is none."""
    return saved_model_pb2.SavedModel.FromString((pathlib.Path(directory) / "saved_model.pb").read_bytes())


def signatures(saved: saved_model_pb2.SavedModel) -> list[str]:
    """Names of what a SavedModel answers, in order; the loader's own entries begin with two underscores."""
    return sorted(name for name in saved.meta_graphs[0].signature_def if not name.startswith("__"))


def cut(saved: saved_model_pb2.SavedModel, names: Sequence[str]) -> saved_model_pb2.SavedModel:
    """A SavedModel of the signatures `names`. Its variables are those of `saved`; Python's objects are not kept.

    Raises:
      KeyError: there is no such signature.
    """
    whole = saved.meta_graphs[0]
    if missing := set(names) - set(whole.signature_def):
        raise KeyError(f"no signature {min(missing)}")
    part = saved_model_pb2.SavedModel(saved_model_schema_version=saved.saved_model_schema_version)
    meta = part.meta_graphs.add(meta_info_def=whole.meta_info_def, saver_def=whole.saver_def)
    for name, signature in whole.signature_def.items():
        if name in names or name.startswith("__"):
            meta.signature_def[name].CopyFrom(signature)
    nodes = _reached_nodes(whole.graph_def, _ends(meta))
    functions = _reached_functions(whole.graph_def, nodes)
    meta.graph_def.versions.CopyFrom(whole.graph_def.versions)
    meta.graph_def.node.extend(nodes)
    meta.graph_def.library.function.extend(functions)
    for node in (*meta.graph_def.node, *(n for f in meta.graph_def.library.function for n in f.node_def)):
        if _GRADIENT in node.attr:
            del node.attr[_GRADIENT]
    return part


def _ends(meta: meta_graph_pb2.MetaGraphDef) -> list[str]:
    """The nodes that are fed, fetched or run: inputs and outputs of the signatures, and what restores the variables."""
    tensors = [info.name for s in meta.signature_def.values() for info in (*s.inputs.values(), *s.outputs.values())]
    saver = meta.saver_def
    tensors += [saver.restore_op_name, saver.filename_tensor_name, saver.save_tensor_name]
    return [_node_of(tensor) for tensor in tensors]


def _node_of(tensor: str) -> str:
    """The node of a tensor's or of a control input's name."""
    return tensor.lstrip("^").partition(":")[0]


def _reached_nodes(graph: graph_pb2.GraphDef, ends: Iterable[str]) -> list[node_def_pb2.NodeDef]:
    nodes = {node.name: node for node in graph.node}
    reached, waiting = set(), list(ends)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += map(_node_of, nodes[name].input)
    return [node for node in graph.node if node.name in reached]


def _reached_functions(graph: graph_pb2.GraphDef, nodes: Iterable[node_def_pb2.NodeDef]) -> list:
    functions = {function.signature.name: function for function in graph.library.function}

    def called(by: Iterable[node_def_pb2.NodeDef]) -> Iterable[str]:
        for node in by:
            yield node.op
            for value in node.attr.values():
                yield value.func.name
                yield from (function.name for function in value.list.func)

    reached, waiting = set(), list(called(nodes))
    while waiting:
        name = waiting.pop()
        if name in functions and name not in reached:
            reached.add(name)
            waiting += called(functions[name].node_def)
    return [function for function in graph.library.function if function.signature.name in reached]
