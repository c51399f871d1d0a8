"""TensorFlow Serving's gRPC interface: PredictionService and ModelService."""

import concurrent.futures
import functools
import math
from collections.abc import Callable

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    status_pb2,
)

from components.server.errors import RequestError, invalid
from components.server.service import Chosen, Service

_STATE = get_model_status_pb2.ModelVersionStatus


def _answering(method: Callable) -> Callable:
    """A method whose RequestErrors become gRPC's statuses."""

    @functools.wraps(method)
    def answering(self, request, context):
        try:
            return method(self, request, context)
        except RequestError as error:
            context.abort(error.grpc, error.message)

    return answering


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; what takes tf.Examples of its own kind is not implemented."""

    def __init__(self, service: Service):
        self._service = service

    @_answering
    def Predict(self, request, context):  # noqa: N802 (the interface's name)
        def read(version):
            inputs = {name: self._array(name, value) for name, value in request.inputs.items()}
            return request.model_spec.signature_name or "serving_default", inputs

        chosen = _chosen(request.model_spec)
        # Of "ipv4:127.0.0.1:1234" the port says nothing about who asks.
        client, left = context.peer().rpartition(":")[0], context.time_remaining()
        write = functools.partial(_answer, request)
        task = self._service.predict("grpc", client, chosen, read, write, left)
        context.add_callback(task.cancel)
        try:
            return task.result()
        except concurrent.futures.CancelledError:
            raise RequestError("UNAVAILABLE", "the client has gone") from None

    @_answering
    def GetModelMetadata(self, request, context):  # noqa: N802 (the interface's name)
        if set(request.metadata_field) != {"signature_def"}:
            raise invalid("metadata_field wants 'signature_def'")
        chosen = _chosen(request.model_spec)
        version = self._service.models.find(*chosen)
        found = get_model_metadata_pb2.SignatureDefMap()
        for key, signature in version.signatures.items():
            found.signature_def[key].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name, response.model_spec.version.value = chosen.name, version.number
        response.metadata["signature_def"].Pack(found)
        return response

    def _array(self, name: str, tensor):
        """What a TensorProto holds; one number may stand for all, which must not fill the memory."""
        if any(dim.size < 0 for dim in tensor.tensor_shape.dim):
            raise invalid(f"input '{name}': a shape of unknown sizes")
        if 4 * math.prod(dim.size for dim in tensor.tensor_shape.dim) > self._service.limits.bytes:
            raise RequestError("RESOURCE_EXHAUSTED", f"input '{name}' has more elements than a request may hold")
        try:
            return tf.make_ndarray(tensor)
        except (TypeError, ValueError, IndexError) as error:
            raise invalid(f"input '{name}': no tensor: {error}") from error


class ModelStates(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus; which models are served is said at the start."""

    def __init__(self, service: Service):
        self._service = service

    @_answering
    def GetModelStatus(self, request, context):  # noqa: N802 (the interface's name)
        name, number, label = _chosen(request.model_spec)
        if label:
            number = self._service.models.find(name, None, label).number
        response = get_model_status_pb2.GetModelStatusResponse()
        for n, state in self._service.models.states(name).items():
            if number in (None, n):
                row = response.model_version_status.add(version=n, state=_STATE.State.Value(state.name))
                row.status.CopyFrom(status_pb2.StatusProto(error_message=state.error, error_code=2 * bool(state.error)))
        if number is not None and not response.model_version_status:
            raise RequestError("NOT_FOUND", f"no version {number} of '{name}'")
        return response


def _chosen(spec) -> Chosen:
    return Chosen(spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label or None)


def _answer(request, version, signature, outputs):
    response = predict_pb2.PredictResponse()
    response.model_spec.name, response.model_spec.signature_name = request.model_spec.name, signature
    response.model_spec.version.value = version.number
    if unknown := sorted(set(request.output_filter) - set(outputs)):
        raise invalid(f"'{signature}' has no outputs {', '.join(unknown)}; it has {', '.join(outputs)}")
    for name in request.output_filter or outputs:
        response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name]))
    return response


def server(service: Service) -> grpc.Server:
    """The gRPC server, without a port yet."""
    # A thread for each request that waits or is at work, and some that say no.
    threads = service.queue.workers + service.queue.bound + 8
    limits = (("grpc.max_receive_message_length", service.limits.bytes), ("grpc.max_send_message_length", -1),
              ("grpc.so_reuseport", 0))  # fmt: skip
    made = grpc.server(
        concurrent.futures.ThreadPoolExecutor(threads), options=limits, maximum_concurrent_rpcs=threads + 64
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(service), made)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelStates(service), made)
    return made
