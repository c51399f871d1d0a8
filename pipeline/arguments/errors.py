"""What a command says when it cannot use what it was given."""

from models.contract.errors import KompaktError


class UserError(KompaktError):
    """Input of a command that cannot be used; `status` is the exit code."""

    def __init__(self, message: str, status: int = 2):
        super().__init__(message)
        self.status = status
