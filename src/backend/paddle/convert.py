# Converts a Paddle program to ONNX with the native part of paddle2onnx.

# Attributes that paddlepaddle 3 writes as float64 and paddle2onnx 2.1.0 reads as float32 only: it refuses them, or, for
# leaky_relu, computes with what it takes for a number.
FLOAT32 = {
    "nearest_interp": "scale",
    "bilinear_interp": "scale",
    "bicubic_interp": "scale",
    "linear_interp": "scale",
    "trilinear_interp": "scale",
    "leaky_relu": "negative_slope",
    "leaky_relu_": "negative_slope",
    "pad3d": "pad_value",
    "assign_value": "values",
    "assign_value_": "values",
}


def narrow(value):
    if isinstance(value, list):
        for part in value:
            narrow(part)
    elif isinstance(value, dict):
        if value.get("#") == "0.a_f64":
            value["#"] = "0.a_f32"
        narrow(value.get("D"))


def cure(part):
    """Gives the attributes named above as float32, in every block of a PIR program."""
    if isinstance(part, list):
        for item in part:
            cure(item)
    elif isinstance(part, dict):
        attributes = part.get("A")
        if isinstance(part.get("#"), str) and isinstance(attributes, list):
            wanted = FLOAT32.get(part["#"].split(".")[-1])
            for attribute in attributes:
                if isinstance(attribute, dict) and attribute.get("N") == wanted:
                    narrow(attribute.get("AT"))
        for item in part.values():
            cure(item)


def cured(program, folder):
    with open(program) as file:
        content = json.load(file)
    cure(content)
    path = os.path.join(folder, "cured.json")
    with open(path, "w") as file:
        json.dump(content, file)
    return path


def limited(work, seconds, memory):
    """Runs `work` within bounds of time and memory; returns its value and what it printed."""
    bound(seconds, memory)
    log, errors = os.memfd_create("log"), os.dup(2)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        value = work()
    except MemoryError:
        raise RuntimeError("it needs more than %d MB of memory" % (memory >> 20)) from None
    finally:
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        printed = os.pread(log, 1 << 20, 0).decode(errors="replace")
        os.write(2, printed.encode())
    return value, printed


def convert(question):
    if question["before"]:
        import ctypes
        ctypes.CDLL(question["before"], mode=ctypes.RTLD_GLOBAL)
    paddle2onnx = extension("paddle2onnx_cpp2py_export", question["module"])
    program = question["program"]
    if program.endswith(".json"):
        program = cured(program, question["folder"])
    # As PaddleX asks: the least operator set from 7 on that has all operators, no optimiser, no checker's copy of the model.
    data, printed = limited(
        lambda: paddle2onnx.export(program, question["params"], 7, True, False, True, True, False, {}, "onnxruntime", "", "", False),
        question["seconds"], question["memory"])
    # The converter goes on after an operator it could not convert.
    wrong = [line.strip() for line in printed.splitlines() if "[ERROR]" in line]
    if wrong or not data:
        return {"refused": wrong[0].split("[Paddle2ONNX]")[-1].strip() if wrong else "it gave nothing"}
    with open(os.path.join(question["folder"], "model.onnx"), "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    return {"bytes": len(data)}


serve(convert)
