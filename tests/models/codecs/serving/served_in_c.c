/* Calls a signature of a SavedModel that takes and gives one string: a codec without Python.
 *
 *   served_in_c MODEL INPUT OUTPUT FILE RESULT
 *
 * reads FILE, feeds it as the only element of the batch to the tensor INPUT, and writes what OUTPUT then holds to
 * RESULT. `saved_model_cli show --dir MODEL --all` names the tensors: of the signature `compress` they are
 * compress_image_bytes:0 and a StatefulPartitionedCall. TensorFlow's own wheel holds library and headers:
 *
 *   tf=$(python -c "import importlib.util as u; print(u.find_spec('tensorflow').submodule_search_locations[0])")
 *   cc served_in_c.c -o served_in_c -I$tf/include -L$tf -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 \
 *     -Wl,-rpath,$tf
 *
 * Exit status 1 with TensorFlow's own message where something is refused.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static void stop(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) stop(what, TF_Message(status));
}

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) stop(path, "cannot be read");
  *size = (size_t)ftell(file);
  rewind(file);
  char *content = malloc(*size + 1);
  if (!content || fread(content, 1, *size, file) != *size) stop(path, "cannot be read");
  fclose(file);
  return content;
}

static TF_Tensor *batch_of_one(const char *content, size_t size) {
  const int64_t one = 1;
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, &one, 1, sizeof(TF_TString));
  TF_StringInit(TF_TensorData(tensor));
  TF_StringCopy(TF_TensorData(tensor), content, size);
  return tensor;
}

/* "name:2", or "name" for its first output. */
static TF_Output place(TF_Graph *graph, char *tensor) {
  char *colon = strchr(tensor, ':');
  if (colon) *colon = 0;
  TF_Output found = {TF_GraphOperationByName(graph, tensor), colon ? atoi(colon + 1) : 0};
  if (!found.oper) stop(tensor, "no such operation in the graph");
  return found;
}

int main(int count, char **arguments) {
  if (count != 6) stop("usage", "served_in_c MODEL INPUT OUTPUT FILE RESULT");
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  const char *tags[] = {"serve"};
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Session *session =
      TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph, NULL, status);
  check(status, arguments[1]);

  size_t size;
  char *content = read_file(arguments[4], &size);
  TF_Tensor *given = batch_of_one(content, size), *answer = NULL;
  TF_Output input = place(graph, arguments[2]), output = place(graph, arguments[3]);
  TF_SessionRun(session, NULL, &input, &given, 1, &output, &answer, 1, NULL, 0, NULL, status);
  check(status, arguments[4]);

  const TF_TString *result = TF_TensorData(answer);
  FILE *file = fopen(arguments[5], "wb");
  if (!file || fwrite(TF_StringGetDataPointer(result), 1, TF_StringGetSize(result), file) != TF_StringGetSize(result) ||
      fclose(file))
    stop(arguments[5], "cannot be written");

  TF_StringDealloc(TF_TensorData(given));
  TF_DeleteTensor(given);
  TF_DeleteTensor(answer);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  free(content);
  return 0;
}
