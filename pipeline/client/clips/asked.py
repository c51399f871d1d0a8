"""Whether a command is asked for clips or for pictures, told before anything heavy is imported."""

import pathlib
from collections.abc import Sequence

from components.kinds.clips.extensions import EXTENSIONS
from components.kinds.pictures.extensions import EXTENSIONS as PICTURES
from pipeline.arguments.errors import UserError
from pipeline.arguments.paths import shown


def are_clips(paths: Sequence[pathlib.Path], models: Sequence[pathlib.Path], url: str | None) -> bool:
    """Whether what is to be coded are clips: the model codes these.

    Raises:
      UserError: clips are named, but no model that codes them.
    """
    if all(path.suffix.lower() in PICTURES and not path.is_dir() for path in paths):
        return False
    if models and url is None:
        from components.video.served_video import codes_frames

        if codes_frames(models[0]):
            return True
    if clip := next((path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file()), None):
        place = "a served model takes groups of frames by its own interface" if url else "none is released"
        raise UserError(f"{shown(clip)}: is a clip; give a codec of clips by --model DIR ({place})")
    return False


def asked_of_clips(
    models: Sequence[pathlib.Path], url: str | None, refine: int, lossless: bool, quality: float | None,
    target_bpp: float | None, target_psnr_db: float | None,
) -> int | None:  # fmt: skip
    """The quality that clips are coded at; None: the model's default.

    Raises:
      UserError: an option that clips do not have.
    """
    if refine or lossless or target_bpp is not None or target_psnr_db is not None:
        raise UserError("clips are coded by --quality alone: leave out --refine, --lossless and the targets")
    if len(models) > 1:
        raise UserError("clips are coded by one model")
    if quality is not None and not 0 <= quality <= 100:
        raise UserError(f"a quality of {quality:g}: must be between 0 and 100")
    return None if quality is None else round(quality)
