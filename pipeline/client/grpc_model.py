"""TensorFlow Serving's gRPC interface, by the stubs of `tensorflow-serving-api`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from pipeline.client import patience, urls
from pipeline.client.remote import Away, Refused, RemoteError
from pipeline.client.urls import must_be_url

_LATER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
# Messages of any length, as over REST; a name is looked up anew when a server that went away is tried again at once.
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1),
            ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000))  # fmt: skip


class GrpcModel:
    """Speaks to a served model.

    Args:
      url: "grpc://HOST:PORT/v1/models/NAME", with or without "/versions/N" or "/labels/L"; "/v1/models" may go.
      patience_s: seconds for which a server that is away or busy is asked again. timeout_s: that one request may take.

    Raises:
      UserError: not such a URL.
    """

    def __init__(self, url: str, patience_s: float = patience.PATIENCE_S, timeout_s: float = patience.TIMEOUT_S):
        must_be_url(url)
        self.url, (place, self._name, self._chosen) = url, urls.GRPC.fullmatch(url).group("place", "name", "which")
        self._patience_s, self._timeout_s = patience_s, timeout_s
        self._channel = grpc.insecure_channel(place, options=_OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(self, signature: str, inputs: Mapping[str, Sequence]) -> dict[str, list]:
        """What a signature answers for a batch; see `RestModel.predict`. Raises RemoteError."""
        dtypes = self._dtypes().get(signature)
        if dtypes is None:
            raise Refused(f"{self.url}: no signature '{signature}'")
        request = predict_pb2.PredictRequest()
        self._specify(request.model_spec)
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, dtypes.get(name)))
        answer = self._ask(self._predictions.Predict, request)
        return {name: tf.make_ndarray(tensor).tolist() for name, tensor in answer.outputs.items()}

    def signatures(self) -> dict[str, tuple[str, ...]]:
        """What each signature takes, by name. Raises RemoteError."""
        return {name: tuple(inputs) for name, inputs in self._dtypes().items()}

    def loaded(self) -> list[int]:
        """The versions that can be asked. Raises RemoteError."""
        request = get_model_status_pb2.GetModelStatusRequest()
        self._specify(request.model_spec)
        states = self._ask(self._models.GetModelStatus, request).model_version_status
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return sorted(state.version for state in states if state.state == available)

    def _dtypes(self) -> dict[str, dict[str, int]]:
        """Signature -> input -> number of its dtype, asked for once."""
        if not hasattr(self, "_known"):
            request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
            self._specify(request.model_spec)
            answer = self._ask(self._predictions.GetModelMetadata, request)
            found = get_model_metadata_pb2.SignatureDefMap()
            answer.metadata["signature_def"].Unpack(found)
            self._known = {
                name: {key: info.dtype for key, info in signature.inputs.items()}
                for name, signature in found.signature_def.items()
                if not name.startswith("__")  # what the loader itself calls
            }
        return self._known

    def _specify(self, spec) -> None:
        spec.name = self._name
        kind, _, which = (self._chosen or "").partition("/")
        if kind == "versions":
            spec.version.value = int(which)
        elif kind:
            spec.version_label = which

    def _ask(self, method: Callable, request) -> Any:
        def once(left: float):
            try:
                return method(request, timeout=min(left, self._timeout_s))
            except grpc.RpcError as error:
                raise self._failure(error) from error

        return patience.again(once, self._patience_s, self._timeout_s)

    def _failure(self, error: grpc.RpcError) -> RemoteError:
        from components.serving.served_codec import one_line

        told = one_line(error.details() or error.code().name)[:300]
        if error.code() in _LATER and "message larger than max" not in told:
            return Away(f"{self.url}: no answer: {told}")
        if error.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            return RemoteError(f"{self.url}: no answer within {self._timeout_s:.4g} s")
        return Refused(f"the server refused: {told}")
