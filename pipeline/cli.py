"""The command line: finds the commands, and says what went wrong in one line.

TensorFlow and TFX are imported by the commands that need them, so that help and mistakes are answered at once.
"""

import difflib
import errno
import importlib
import os
import pkgutil
import sys

import click

from models.contract.errors import KompaktError
from pipeline import __version__, commands
from pipeline.arguments.paths import shown

# What a machine says that is full, closed or read-only: no fault of the program, wherever it is met.
_MACHINE = {errno.EACCES, errno.EDQUOT, errno.EMFILE, errno.ENAMETOOLONG, errno.ENOSPC, errno.EPERM, errno.EROFS}


class Commands(click.Group):
    """The modules of `pipeline.commands` and of the folders in it, each imported when it is asked for.

    An unknown name is told the nearest.
    """

    def list_commands(self, ctx):
        return sorted(_modules())

    def get_command(self, ctx, name):
        module = _modules().get(name)
        return importlib.import_module(module).command if module else None

    def resolve_command(self, ctx, args):
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1, 0)
            raise click.UsageError(f"no command '{args[0]}'; the nearest is '{near[0]}'") from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, message="%(version)s")
def cli() -> None:
    """Kompakt: small models, from a folder of pictures or electrocardiograms to what is served."""


def main(arguments: list[str] | None = None, name: str = "python -m pipeline") -> int:
    """Runs the command line; returns the exit code (130 after Ctrl-C).

    Args:
      arguments: None: those of this process. name: of the program, for help and completion.
    """
    try:
        cli.main(arguments, prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return _tell(error.format_message(), error.exit_code)
    except KompaktError as error:
        return _tell(str(error), error.status)
    except BrokenPipeError:  # who reads has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        return _tell(f"{error.filename or 'this machine'}: {error.strerror}", 1)
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nstopped; the same command goes on from where it was", err=True)
        return 130
    except SystemExit as end:
        return end.code or 0
    return 0


def _modules() -> dict[str, str]:
    """Name of each command -> its module."""
    found = pkgutil.walk_packages(commands.__path__, f"{commands.__name__}.")
    return {module.name.rpartition(".")[2].replace("_", "-"): module.name for module in found if not module.ispkg}


def _tell(text: str, status: int) -> int:
    click.echo(f"error: {shown(' '.join(text.split()))}", err=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
