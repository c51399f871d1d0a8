"""The URLs of served models."""

import re

from pipeline.arguments.errors import UserError

_PLACE = r"([\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?"
REST = re.compile(rf"https?://{_PLACE}(/\S*)?/v1/models/\S+")
GRPC = re.compile(
    rf"grpc://(?P<place>{_PLACE})(?:/v1/models)?/(?P<name>[^/\s]+)(?:/(?P<which>versions/\d+|labels/[^/\s]+))?/?"
)


def must_be_url(url: str) -> None:
    """Raises UserError for what is not the URL of a served model."""
    scheme, form = ("grpc", GRPC) if url.startswith("grpc") else ("http", REST)
    if not form.fullmatch(url):
        raise UserError(f"{url}: not of the form {scheme}://HOST:PORT/v1/models/NAME")
