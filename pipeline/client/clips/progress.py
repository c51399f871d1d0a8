"""Progress in frames."""


class Frames:
    """A bar that counts the frames of a clip, on a terminal; a context manager.

    Attributes:
      frames: of the clip at work that are done.
    """

    def __init__(self, title: str):
        from rich import console, progress

        self._screen = console.Console(highlight=False, markup=False, soft_wrap=True)
        columns = (progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn(),
                   progress.TextColumn("frames"), progress.TimeRemainingColumn())  # fmt: skip
        self._bar = progress.Progress(
            *columns, console=self._screen, transient=True, disable=not self._screen.is_terminal
        )
        self._task = self._bar.add_task(title, total=None)
        self.frames = 0

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *error) -> None:
        self._bar.stop()

    def begin(self, expected: int, done: int = 0) -> None:
        """A clip of so many frames (0: nobody knows), of which some are done."""
        self.frames = done
        self._bar.reset(self._task, total=expected or None, completed=done)

    def advance(self, count: int) -> None:
        """So many frames more are done."""
        self.frames += count
        self._bar.advance(self._task, count)

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self.frames = 0
        self._screen.print(line)
