"""The command that runs a compiled file here, as Kubeflow would: `kubeflow-local`."""

import pathlib

import click

from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, must_be_plain, must_be_writable


@click.command("kubeflow-local")
@click.argument("file", type=PATH)
@click.option("--out", type=PATH, required=True, help="Where artifacts, logs and claims go.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=FOLDER",
              help="Folder that stands for a volume claim; repeatable. [default: OUT/claims/NAME]")  # fmt: skip
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE",
              help="Parameter of the pipeline (data, steps, output); repeatable.")  # fmt: skip
@click.option("--kfp-python", type=PATH, envvar="KOMPAKT_KFP_PYTHON",
              help="A Python with kfp 2.16. [default: one that is made on first use]")  # fmt: skip
@click.option("--verbose", is_flag=True, help="Show what the KFP SDK says (else in OUT/run.log).")
def command(file, out, claims, parameters, kfp_python, verbose) -> None:
    """Run FILE, which `compile` wrote, on this machine, from its data to a pushed model.

    The KFP SDK's local runner goes through the file; each step sees what it would in its container on a cluster: the
    code, its inputs out of a bucket, and claims where the file mounts them. Exit code 1: a step failed, or the model
    was not pushed.
    """
    from pipeline.runners import kubeflow_local

    compiled = kubeflow_local.read(file)
    out = out.absolute()
    must_be_plain("--out", out)
    must_be_writable("--out", out)
    folders = {name: pathlib.Path(path) for name, path in map(_pair("--claim"), claims)}
    if unknown := set(folders) - set(compiled.claims):
        raise UserError(f"--claim {min(unknown)}: the file mounts {', '.join(compiled.claims) or 'no claim'}")
    told = dict(map(_pair("--parameter"), parameters))
    if unknown := set(told) - set(compiled.parameters):
        raise UserError(f"--parameter {min(unknown)}: the file has {', '.join(sorted(compiled.parameters))}")
    for name, value in told.items():
        if not isinstance(compiled.parameters[name], str):
            told[name] = _whole(name, value)
    results = kubeflow_local.run(file, out, kubeflow_local.environment(kfp_python), folders, told, verbose)
    pushed = kubeflow_local.pushed(results, out, file, folders)
    click.echo(f"pushed model  {pushed}" if pushed else "not pushed: see the report, or no claim keeps what was pushed")
    raise SystemExit(0 if pushed else 1)


def _pair(option: str):
    def split(text: str) -> tuple[str, str]:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UserError(f"{option} {text}: wanted is NAME=VALUE")
        return key, value

    return split


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"--parameter {name}={text}: wanted is a whole number") from None
