# Lets OpenVINO's own library read a program and run it, to see whether it does: through its C interface.
import ctypes, random

_library = None
_core = ctypes.c_void_p()

# Pictures are squares of one value in each colour, so that detectors find something: what crashes in their last steps does
# so only then. One picture of a row is not enough.
_SQUARE = 16
_PICTURES = 4


class Shape(ctypes.Structure):
    _fields_ = [("rank", ctypes.c_int64), ("dims", ctypes.POINTER(ctypes.c_int64))]


class Refusal(Exception):
    """What the library says against the program."""


def _call(name, *args):
    if getattr(_library, name)(*args) != 0:
        said = _library.ov_get_last_err_msg() or name.encode()
        raise Refusal(" ".join(said.decode(errors="replace").split())[:500])


def _floats(dims, values, seed):
    """Bytes of a tensor: `values` over and over, without any a picture."""
    elements = 1
    for dim in dims:
        elements *= dim
    if values or len(dims) != 4:
        values = values or [0.5]
        return (bytes((ctypes.c_float * len(values))(*values)) * (elements // len(values) + 1))[:4 * elements]
    numbers = random.Random(seed)
    height, width = dims[2:]
    planes = []
    for _ in range(dims[0] * dims[1]):
        rows = []
        for _ in range(-(-height // _SQUARE)):
            row = [value for value in (numbers.uniform(-2, 2) for _ in range(-(-width // _SQUARE))) for _ in range(_SQUARE)]
            rows.append(bytes((ctypes.c_float * width)(*row[:width])) * _SQUARE)
        planes.append(b"".join(rows)[:4 * height * width])
    return b"".join(planes)


def _run(request, inputs, outputs, seed):
    for given in inputs:
        tensor, data, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
        dims = given["dims"]
        content = _floats(dims, given["values"], seed)
        _call("ov_infer_request_get_tensor", request, given["name"].encode(), ctypes.byref(tensor))
        _call("ov_tensor_set_shape", tensor, Shape(len(dims), (ctypes.c_int64 * len(dims))(*dims)))
        _call("ov_tensor_data", tensor, ctypes.byref(data))
        _call("ov_tensor_get_byte_size", tensor, ctypes.byref(size))
        if size.value != len(content):
            raise Refusal(f"its input {given['name']} is not float32")
        ctypes.memmove(data, content, size.value)
        _library.ov_tensor_free(tensor)
    _call("ov_infer_request_infer", request)
    for index in range(outputs):
        tensor, data, size = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t()
        _call("ov_infer_request_get_output_tensor_by_index", request, ctypes.c_size_t(index), ctypes.byref(tensor))
        _call("ov_tensor_get_byte_size", tensor, ctypes.byref(size))
        if size.value:
            _call("ov_tensor_data", tensor, ctypes.byref(data))
            ctypes.string_at(data, size.value)
        _library.ov_tensor_free(tensor)


def _attempt(question):
    model, compiled, request = (ctypes.c_void_p() for _ in range(3))
    try:
        _call("ov_core_read_model", _core, question["program"].encode(), question["params"].encode(), ctypes.byref(model))
        _call("ov_core_compile_model", _core, model, b"CPU", ctypes.c_size_t(0), ctypes.byref(compiled))
        _call("ov_compiled_model_create_infer_request", compiled, ctypes.byref(request))
        first, *others = question["runs"]
        for seed in range(_PICTURES):
            _run(request, first, question["outputs"], seed)
        for inputs in others:
            try:
                for seed in range(_PICTURES):
                    _run(request, inputs, question["outputs"], seed)
            except Refusal:
                pass  # some take one size only, and say so; what counts is that they do not crash
    except Refusal as refusal:
        return {"refused": str(refusal)}
    finally:
        # Damage to the heap shows here.
        for free, what in [("infer_request", request), ("compiled_model", compiled), ("model", model)]:
            if what:
                getattr(_library, f"ov_{free}_free")(what)
    return {"refused": None}


def _answer(question):
    global _library, leave
    if question["do"] == "open":
        _library = ctypes.CDLL(question["library"])
        _library.ov_get_last_err_msg.restype = ctypes.c_char_p
        _call("ov_core_create", ctypes.byref(_core))
        _call("ov_core_set_property", _core, b"CPU", b"INFERENCE_PRECISION_HINT", question["precision"].encode())
        leave = lambda: ctypes.CDLL(None).exit(0)  # with all that libraries do at the end of a process
        bound(question["seconds"], question["memory"])
        return True
    return _attempt(question)


serve(_answer)
