"""A process that imports TensorFlow and nothing else, and answers requests for pushed models on its standard input.

    python served_worker.py THREADS

Requests are lines of JSON, {"model": DIR, "write": PICTURE or "read": STREAM, "to": FILE}. Each is answered by one
line, "done" or the error. Run as a script from any folder.
"""

import json
import pathlib
import sys

import tensorflow as tf


def main(threads: int) -> None:
    """Serves until the input ends."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    loaded = {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["model"] not in loaded:
            loaded[request["model"]] = tf.saved_model.load(request["model"])
        signatures = loaded[request["model"]].signatures
        try:
            if "write" in request:
                picture = pathlib.Path(request["write"]).read_bytes()
                answer = signatures["compress"](image_bytes=tf.constant([picture]))["bitstream_bytes"]
            else:
                stream = pathlib.Path(request["read"]).read_bytes()
                answer = signatures["decompress"](bitstream_bytes=tf.constant([stream]))["image_bytes"]
            pathlib.Path(request["to"]).write_bytes(answer[0].numpy())
            print("done", flush=True)
        except tf.errors.InvalidArgumentError as error:
            print(json.dumps(error.message), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
    assert "models" not in sys.modules and "pipeline" not in sys.modules
