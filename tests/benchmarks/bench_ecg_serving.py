"""How fast a SavedModel answers an electrocardiogram: one of 30 s, one of 10 minutes, and the first one.

    python -m tests.benchmarks.bench_ecg_serving [--model DIR] [--recipe NAME] [--preset small] [--calls 200]

Without --model the recipes are exported as they are built, untrained, which takes as long to answer. The first answer
is timed in a process of its own, from before TensorFlow is imported; "loaded" is the part before the model is asked.
`predict` takes samples, `predict_bytes` the file of the challenge; "360 Hz" is resampled in the graph.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

RECIPES = ("ecg_cnn", "ecg_crnn")
LONG_CALLS = 20


def export_untrained(name: str, preset: str, directory: str) -> None:
    """Writes the SavedModel of a recipe with the challenge's classes and fresh weights."""
    from models.contract import registry
    from models.publishing import export

    recipe = registry.get(name)
    classes = {"classes": 4, "class_names": json.dumps(["N", "A", "O", "~"]), "amplitude": 0.2}
    config = recipe.make_config(preset, classes)
    export.export(recipe, config, recipe.build(config), directory)


def requests(seconds: float) -> dict[str, tuple[str, dict]]:
    """What is timed, by its title: the signature and its inputs, a batch of one."""
    import numpy as np

    def made_of(rate):
        random = np.random.default_rng(1)
        return np.cumsum(random.normal(size=round(seconds * rate)) * 0.01).clip(-5, 5)

    def samples(rate):
        signal = made_of(rate).astype(np.float32)
        return {"samples": signal[None], "length": np.int32([len(signal)]), "rate": np.float32([rate])}

    steps = np.rint(1000 * made_of(300)).astype("<i2")
    file = np.array([30, 1, len(steps), 0, 4], "<i4").tobytes() + b"val\0" + steps.tobytes()
    given = {"signal_bytes": np.array([file]), "rate": np.float32([300]), "gain": np.float32([1000])}
    return {
        "predict": ("predict", samples(300)),
        "predict, 360 Hz": ("predict", samples(360)),
        "predict_bytes": ("predict_bytes", given),
    }


def milliseconds(signature, inputs: dict, calls: int):
    """Wall time of each call, float [calls]; three before are not counted."""
    import numpy as np
    import tensorflow as tf

    given = {name: tf.constant(value) for name, value in inputs.items()}
    taken = []
    for _ in range(calls + 3):
        start = time.perf_counter()
        signature(**given)["probabilities"].numpy()
        taken.append(1e3 * (time.perf_counter() - start))
    return np.array(taken[3:])


def first(directory: str) -> None:
    """Prints the seconds from here to the loaded model and to its first answer, for 30 s."""
    start = time.perf_counter()
    import tensorflow as tf

    model = tf.saved_model.load(directory)
    loaded = time.perf_counter()
    signature, inputs = requests(30)["predict"]
    model.signatures[signature](**{n: tf.constant(v) for n, v in inputs.items()})["probabilities"].numpy()
    print(json.dumps([loaded - start, time.perf_counter() - start]))


def bench(title: str, directory: str, calls: int) -> None:
    """Prints the rows of one model."""
    import numpy as np
    import tensorflow as tf

    call = [sys.executable, "-m", "tests.benchmarks.bench_ecg_serving", "--first", directory]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    loaded, answered = json.loads(done.stdout.splitlines()[-1])
    print(f"{title}: first answer after {answered:.2f} s, loaded after {loaded:.2f} s")
    model = tf.saved_model.load(directory)
    for seconds, count in ((30, calls), (600, min(calls, LONG_CALLS))):
        for what, (signature, inputs) in requests(seconds).items():
            taken = milliseconds(model.signatures[signature], inputs, count)
            median, worst = np.percentile(taken, (50, 99))
            print(f"  {seconds:4} s  {what:18}{median:9.1f}{worst:9.1f} ms  ({count} calls)", flush=True)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=pathlib.Path, help="a pushed model, instead of untrained ones")
    parser.add_argument("--recipe", action="append", choices=RECIPES)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--calls", type=int, default=200, help="for 30 s; percentiles are over so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--first", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(options.threads))
    if options.first:
        first(options.first)
        return
    from components.serving.served_codec import newest_version

    print(f"{options.threads} threads; median and 99th percentile")
    if options.model:
        bench(str(options.model), str(newest_version(options.model)), options.calls)
        return
    for name in options.recipe or RECIPES:
        with tempfile.TemporaryDirectory() as folder:
            export_untrained(name, options.preset, f"{folder}/model")
            bench(f"{name} {options.preset}, untrained", f"{folder}/model", options.calls)


if __name__ == "__main__":
    main()
