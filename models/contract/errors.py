"""What every error has in common whose text is for the user."""


class KompaktError(Exception):
    """Something that the user can mend: the text is one line that says what is wrong and, where it can, what to do.

    The command line prints the text and nothing else; any other exception is a fault of the program and shows where.

    Attributes:
      status: exit code; 2 where the input is at fault, 1 where the work failed.
    """

    status = 2
