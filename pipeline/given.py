"""What commands are given: the recipe, its options and its data, checked; and what is wrong with them as one line."""

import click


class UserError(click.ClickException):
    """Input that cannot be used: one line, exit code 2."""

    exit_code = 2

    def show(self, file=None) -> None:
        """Prints the one line."""
        click.echo(f"error: {' '.join(self.format_message().split())}", err=True)


def checked(recipe: str, *, data, dataset, preset, settings, elsewhere=False, **_):
    """Recipe, configuration and (data set, folder, digest of the data), or the error that names what is wrong.

    The digest is empty for a folder that is not here, which only a run elsewhere allows.
    """
    recordings = ("cinc2017", "wfdb_folder")
    if data and dataset and dataset not in recordings:
        raise UserError("--data and --dataset exclude each other: a folder is a data set of its own")
    overrides = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UserError(f"--set {setting}: wanted is KEY=VALUE")
        overrides[key] = value
    elsewhere = elsewhere and data and not data.exists()
    from models import registry

    found = registry.get(recipe)
    config = found.make_config(preset, overrides)
    takes_recordings = found.kind == "ecg"
    packed = data and data.suffix == ".npz" and not takes_recordings
    may_be_file = packed or takes_recordings
    if data and not elsewhere and not (may_be_file and data.is_file() or not packed and data.is_dir()):
        raise UserError(f"--data {data}: no such {'file' if packed else 'folder'}")
    from components.ecg_sources import default_name
    from components.sources import dataset_digest

    folder = str(data.absolute()) if data else ""
    kinds = ("packed", "class_folders", "digits") if found.labelled else ("packed", "photos", "sample_photos")
    name = dataset or (default_name(folder) if takes_recordings else kinds[0 if packed else 1 if data else 2])
    noun = "recordings" if takes_recordings else "pictures"
    return found, config, (name, folder, "" if elsewhere else dataset_digest(name, folder, found.labelled, noun))


class errors:  # noqa: N801 (used as a statement)
    """Turns the project's errors into one line for the user, with their exit code."""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is None or isinstance(error, (click.ClickException, SystemExit, KeyboardInterrupt)):
            return
        status = getattr(error, "status", None)
        known = {"ConfigError", "RegistryError", "DataError", "RunError"} & {k.__name__ for k in kind.__mro__}
        if known or status:
            shown = UserError(str(error))
            shown.exit_code = status or 2
            raise shown from error
