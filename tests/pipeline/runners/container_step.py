"""What a step of `test_kubeflow_local` does in its container: says what it sees, leaves files and a report."""

import json
import os
import pathlib
import sys

PLACES = ("/minio", "/mnt/volume", "/opt/kompakt", "/work", "/home", "/mnt")


def main(arguments: list[str]) -> None:
    """Reports in metadata of its output what it was given; "fail" makes it fail, "null" report what is refused."""
    invocation = json.loads(arguments[arguments.index("--json_serialized_invocation_args") + 1])
    behaviour = invocation["inputs"]["parameterValues"]["behaviour"]
    counter = pathlib.Path("/mnt/volume/count")
    counter.write_text(str(int(counter.read_text()) + 1 if counter.exists() else 1))
    if behaviour == "fail" or behaviour == "fail once" and counter.read_text() == "1":
        sys.exit("the step failed as it was asked to")
    ((name, found),) = invocation["outputs"]["artifacts"].items()
    (output,) = found["artifacts"]
    folder = pathlib.Path("/minio", output["uri"].removeprefix("minio://"))
    (folder / "empty").mkdir(parents=True)
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("content")
    inputs = invocation["inputs"].get("artifacts", {})
    seen = {}
    for key, given in inputs.items():
        (artifact,) = given["artifacts"]
        local = pathlib.Path("/minio", artifact["uri"].removeprefix("minio://"))
        files = sorted(str(path.relative_to(local)) for path in local.rglob("*"))
        seen[key] = {"type": artifact["type"], "files": files, "metadata": artifact["metadata"]}
    metadata = {
        "seen": seen, "list": [1, 2], "folder": os.getcwd(), "files_before": sorted(os.listdir("/tmp")),
        "there": [place for place in PLACES if os.path.exists(place)], "code": os.path.isfile("pipeline/cli.py"),
        "variables": sorted(os.environ),
        "null": None if behaviour == "null" else "", "number": invocation["inputs"]["parameterValues"]["number"],
    }  # fmt: skip
    report = pathlib.Path(invocation["outputs"]["outputFile"])
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps({
        "artifacts": {name: {"artifacts": [{"uri": output["uri"], "name": name, "metadata": metadata}]}}
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv)
