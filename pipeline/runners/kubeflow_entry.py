"""Entry point of the pipeline's containers on Kubeflow: gives TFX the mounted paths of object-store addresses.

Kubeflow's launcher copies artifacts between an object store and local folders: `minio://bucket/key` lies at
`/minio/bucket/key`, `s3://` at `/s3/`, `gs://` at `/gcs/`. TFX would open the address itself, and TensorFlow has no
such file systems. So addresses become paths in the arguments, and paths addresses again in what the component reports.
"""

import json
import pathlib
import sys

_MOUNTS = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}


def to_paths(text: str) -> str:
    """Replaces object-store addresses by the paths where the launcher keeps them."""
    for address, path in _MOUNTS.items():
        text = text.replace(address, path)
    return text


def to_addresses(value, known: set[str]):
    """Undoes `to_paths` in every `uri` of a JSON value, for the schemes that the arguments used (`known`)."""
    if isinstance(value, list):
        return [to_addresses(v, known) for v in value]
    if not isinstance(value, dict):
        return value
    value = {k: to_addresses(v, known) for k, v in value.items()}
    for address in known:
        path = _MOUNTS[address]
        if isinstance(value.get("uri"), str) and value["uri"].startswith(path):
            value["uri"] = address + value["uri"][len(path) :]
    return value


def main(arguments: list[str]) -> None:
    """Runs one component as Kubeflow asks, with paths in place of addresses."""
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as runner

    known = {a for a in _MOUNTS if any(a in text for text in arguments)}
    arguments = [to_paths(a) for a in arguments]
    parsed, beam_args = runner._parse_flags(arguments)
    invocation = json.loads(parsed.json_serialized_invocation_args)
    runner.main((parsed, beam_args))
    written = pathlib.Path(invocation["outputs"]["outputFile"])
    if known and written.exists():
        written.write_text(json.dumps(to_addresses(json.loads(written.read_text()), known)))


if __name__ == "__main__":
    main(sys.argv)
