"""The configuration files that TensorFlow Serving reads beside the pushed models."""

import os
import pathlib

from models.files import write_text

_BATCHING = """max_batch_size {{ value: 8 }}
batch_timeout_micros {{ value: 0 }}
num_batch_threads {{ value: {cores} }}
max_enqueued_batches {{ value: 100 }}
allowed_batch_sizes: 1
allowed_batch_sizes: 2
allowed_batch_sizes: 4
allowed_batch_sizes: 8
"""


def write_configuration(push_dir: pathlib.Path, name: str, batching: bool) -> tuple[pathlib.Path, ...]:
    """Writes `<name>.models.config` and, if requests may be batched, `<name>.batching.config` beside a serving folder.

    A codec, for one, takes the pictures of a batch one after the other, so a batch saves nothing, and one picture or
    stream that is refused would fail the whole batch, which the server makes of the requests of several clients.

    The two newest versions are served: `canary` is the newest, `stable` the one before it (the same, if alone).

    Args:
      push_dir: the serving folder, with one numbered folder a version. name: of the served model.
      batching: its recipe's.

    Returns:
      The files.

    Raises:
      FileNotFoundError: the folder holds no version.
    """
    versions = sorted(int(p.name) for p in push_dir.iterdir() if p.name.isdigit() and (p / "saved_model.pb").exists())
    if not versions:
        raise FileNotFoundError(f"{push_dir} holds no pushed model")
    canary, stable = versions[-1], versions[-2] if len(versions) > 1 else versions[-1]
    served = "".join(f"      versions: {v}\n" for v in sorted({canary, stable}))
    labels = "".join(
        f'    version_labels {{ key: "{k}" value: {v} }}\n' for k, v in (("canary", canary), ("stable", stable))
    )
    models = (
        "model_config_list {\n  config {\n"
        f'    name: "{name}"\n    base_path: "{push_dir}"\n    model_platform: "tensorflow"\n'
        f"    model_version_policy {{\n    specific {{\n{served}    }}\n    }}\n{labels}"
        "  }\n}\n"
    )
    texts = {f"{name}.models.config": models, f"{name}.batching.config": _BATCHING.format(cores=os.cpu_count() or 1)}
    if not batching:
        # One of an earlier version would go on mixing requests.
        (push_dir.parent / f"{name}.batching.config").unlink(missing_ok=True)
        del texts[f"{name}.batching.config"]
    paths = tuple(push_dir.parent / file for file in texts)
    for path, text in zip(paths, texts.values(), strict=True):
        write_text(path, text)
    return paths
