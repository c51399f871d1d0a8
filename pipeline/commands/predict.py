"""The command that uses a pushed classifier, of pictures or of electrocardiograms, on files: `predict`."""

import os
import pathlib
from collections.abc import Sequence

import click

from components.kinds.pictures.extensions import EXTENSIONS
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import PATH, shown
from pipeline.client import recordings
from pipeline.client.answers import answers, show
from pipeline.client.codecs import ECG, STREAM_SUFFIX, must_be_one, released_folder, server_options
from pipeline.client.files import gather, tell_left_out


@click.command("predict")
@click.argument("inputs", nargs=-1, required=True, type=PATH)
@click.option("--model", type=PATH, help="A pushed classifier, or a folder of its versions. [default: the released "
              "model of electrocardiograms]")  # fmt: skip
@server_options
@click.option("--top", default=1, show_default=True, type=click.IntRange(1), help="Classes shown for each.")
@click.option("--lead", type=click.IntRange(0), help="Lead of the recordings. [default: the first named ECG, I or II]")
@click.option("--window", type=float, metavar="S", help="Recordings of any length in windows of S seconds.")
@click.option("--overlap", type=float, metavar="S", help="What two windows share. [default: half a window]")
def command(inputs, model, url, wait, parallel, top, lead, window, overlap) -> None:
    """Say what INPUTS show: a line each with the likeliest classes and their probabilities.

    INPUTS are files or folders of pictures, or of electrocardiograms (.hea with .dat or .mat, or .mat alone); which of
    the two, the model says. A classifier of codes takes streams of its codec (.kmp) beside pictures. With --window
    there is a line for every window, with its start in seconds, and then the share of windows of each class.

    A file that cannot be read is named on the error output; the others are answered all the same, and the exit code is
    then 1.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    must_be_one([model] if model else [], url, parallel)
    step = _step(window, overlap)
    if not (model or url):
        model = _default(inputs)
    predictor, pictures = _open(model, url, wait)
    if pictures:
        if window or lead is not None:
            raise UserError("--window, --overlap and --lead are for models of electrocardiograms; this is not one")
        whole = _pictures_and_streams(inputs, predictor, _of_streams(model, url, wait), top, parallel)
    else:
        whole = recordings.run(inputs, predictor, top, lead, window, step, parallel)
    if not whole:
        raise SystemExit(1)


def _step(window: float | None, overlap: float | None) -> float:
    """Seconds from one window to the next; 0 without windows.

    Raises:
      UserError: the two do not fit.
    """
    if window is None:
        if overlap is not None:
            raise UserError("--overlap needs --window")
        return 0.0
    from models.records.ecg_units import LONGEST_S, SHORTEST_S

    if not SHORTEST_S <= window <= LONGEST_S:
        raise UserError(f"--window {window:g}: must be between {SHORTEST_S} and {LONGEST_S} seconds")
    overlap = window / 2 if overlap is None else overlap
    if not 0 <= overlap < window:
        raise UserError(f"--overlap {overlap:g}: must be from 0 to less than the window of {window:g} seconds")
    return window - overlap


def _default(inputs: Sequence[pathlib.Path]) -> pathlib.Path:
    """The released model for what the inputs are.

    Raises:
      UserError: there is none for pictures, or no weights are there.
    """
    if not recordings.are_recordings(inputs):
        raise UserError("give --model DIR or --url http://HOST:PORT/v1/models/NAME: only recordings "
                           f"({', '.join(recordings.SUFFIXES)}) are answered without")  # fmt: skip
    return released_folder(ECG)


def _pictures_and_streams(inputs, predictor, of_streams, count: int, parallel: int) -> bool:
    """Prints what pictures show, then what streams do; returns whether there was no error.

    Args:
      of_streams: makes what takes streams; None where the model reads none. Others as of `answers`.

    Raises:
      UserError: a path does not exist, a folder holds nothing of use, or a stream is given to a model that reads none.
    """
    from components.kinds.pictures.pictures import normalize

    files, left_out = gather(inputs, (*EXTENSIONS, STREAM_SUFFIX) if of_streams else EXTENSIONS)
    streams = [file.path for file in files if file.path.suffix.lower() == STREAM_SUFFIX]
    if streams and not of_streams:
        raise UserError(f"{shown(streams[0])}: the model reads pictures, no streams (it has no 'predict_streams')")
    tell_left_out(left_out)
    pictures = [file.path for file in files if file.path not in set(streams)]
    read = {path: lambda path=path: normalize(path.read_bytes()).encoded for path in pictures}
    whole = show(answers(read.items(), predictor, count, parallel))
    if streams:
        whole &= show(answers([(path, path.read_bytes) for path in streams], of_streams(), count, parallel))
    return whole


def _of_streams(model: pathlib.Path | None, url: str | None, wait: float):
    """What makes the predictor of a model's streams; None where it reads none. Raises UserError, RemoteError."""
    from components.serving.served_classifier import ServedStreams
    from components.serving.served_model import takes
    from pipeline.client.remote import RemotePredictor, open_model

    if url:
        served = RemotePredictor(open_model(url, wait), streams=True)
        return (lambda: served) if ServedStreams.wanted <= served.takes() else None
    return (lambda: ServedStreams(model)) if ServedStreams.wanted <= takes(model, ServedStreams.signature) else None


def _open(model: pathlib.Path | None, url: str | None, wait: float):
    """What answers, with its function `best`, and whether it takes pictures (else recordings).

    Raises:
      UserError: no such model.
    """
    from components.serving.served_classifier import ServedClassifier
    from components.serving.served_ecg import ServedEcg
    from components.serving.served_model import takes
    from pipeline.client.remote import RemoteError, RemotePredictor, open_model

    try:
        served = RemotePredictor(open_model(url, wait)) if url else None
        taken = served.takes() if served else takes(model)
        for kind in (ServedClassifier, ServedEcg):
            if kind.wanted <= taken:
                return served or kind(model), kind is ServedClassifier
    except RemoteError:
        raise
    except ValueError as error:
        raise UserError(str(error)) from error
    said = f"its 'predict' takes {', '.join(sorted(taken))}" if taken else "it has no signature 'predict'"
    raise UserError(f"{url or model}: neither a classifier of pictures nor of electrocardiograms: {said}")
