"""What a request may meet, with the status that each interface has for it."""

import grpc

from models.contract.errors import KompaktError

_HTTP = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "RESOURCE_EXHAUSTED": 503,
    "UNAVAILABLE": 503,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
}


class RequestError(KompaktError):
    """A request that gets no answer.

    Attributes:
      message: a line for who asked. code: name of gRPC's status. http: HTTP's.
    """

    def __init__(self, code: str, message: str, http: int | None = None):
        super().__init__(message)
        self.message, self.code, self.http = message, code, http or _HTTP[code]

    @property
    def grpc(self) -> grpc.StatusCode:
        """gRPC's status."""
        return grpc.StatusCode[self.code]


def invalid(message: str) -> RequestError:
    """The error of a request that says what cannot be."""
    return RequestError("INVALID_ARGUMENT", message)
