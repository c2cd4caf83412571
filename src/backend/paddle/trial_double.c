/* A stand-in for OpenVINO's C interface, for tests of trials: does to a program what the last byte of its file says,
   r(efuse), c(rash in a run), e(nd badly), s(ingle pictures only). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const char *said = "";
static float data[1 << 20];
static long bytes;
static char act;
static void at_exit(void) { if (act == 'e') abort(); }
__attribute__((constructor)) static void start(void) { atexit(at_exit); }
const char *ov_get_last_err_msg(void) { return said; }
int ov_core_create(void **core) { *core = data; return 0; }
int ov_core_set_property(void *core, const char *device, ...) { return 0; }
int ov_core_read_model(void *core, const char *program, const char *params, void **model) {
  FILE *file = fopen(program, "r");
  if (!file) return 1;
  fseek(file, -1, SEEK_END);
  act = fgetc(file);
  fclose(file);
  *model = data;
  if (act == 'r') { said = "Exception from here:\nno conversion rule for `x`"; return 1; }
  return 0;
}
int ov_core_compile_model(void *core, void *model, const char *device, size_t n, void **compiled) { *compiled = data; return 0; }
int ov_compiled_model_create_infer_request(void *compiled, void **request) { *request = data; return 0; }
int ov_infer_request_get_tensor(void *request, const char *name, void **tensor) { *tensor = data; return strcmp(name, "x"); }
typedef struct { long rank, *dims; } shape_t;
int ov_tensor_set_shape(void *tensor, shape_t shape) {
  bytes = 4;
  for (long i = 0; i < shape.rank; i++) bytes *= shape.dims[i];
  said = "one picture only";
  return act == 's' && shape.dims[0] > 1;
}
int ov_tensor_data(void *tensor, void **out) { *out = data; return 0; }
int ov_tensor_get_byte_size(void *tensor, size_t *size) { *size = bytes; return 0; }
void ov_tensor_free(void *tensor) {}
int ov_infer_request_get_output_tensor_by_index(void *request, size_t index, void **tensor) { *tensor = data; return index != 0; }
int ov_infer_request_infer(void *request) {
  if (act == 'c') { volatile int *nowhere = 0; *nowhere = 1; }
  return 0;
}
void ov_infer_request_free(void *p) {}
void ov_compiled_model_free(void *p) {}
void ov_model_free(void *p) {}
