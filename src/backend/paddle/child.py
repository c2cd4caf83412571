# Runs first in every child. The parent asks on standard input, the child answers on standard output, one message at
# a time: four bytes of length (little-endian), then JSON.
import fcntl, json, os, resource, signal, struct, sys

_answers = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)  # what libraries print must not look like an answer

# While work is under way nothing is sent to us: the pipe wakes up only when the parent is gone, and then the signal ends
# this process at once, even in the middle of a native call.
signal.signal(signal.SIGIO, signal.SIG_DFL)
fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
_idle = fcntl.fcntl(0, fcntl.F_GETFL)


def leave():
    """How this process ends when the parent is done with it; a script may have its own way."""
    os._exit(0)


def bound(seconds, memory):
    """Lets this process use so many seconds of processor time and bytes of memory, and leave no dump behind."""
    for what, most in [(resource.RLIMIT_CPU, seconds), (resource.RLIMIT_DATA, memory), (resource.RLIMIT_CORE, 0)]:
        resource.setrlimit(what, (most, most))


def _read(count):
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            leave()
        data += part
    return data


def _say(error):
    """The sentence of an error that says what is wrong, without the stack around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if "Error: " in line or line.startswith("("):
            hints = [hint for hint in lines[number + 1:number + 2] if hint.startswith("[Hint")]
            return " ".join([line] + hints)
    return (lines or [type(error).__name__])[0]


def serve(answer):
    """Answers every message with what `answer` makes of it, until the parent closes the pipe."""
    while True:
        (length,) = struct.unpack("<I", _read(4))
        question = json.loads(_read(length))
        fcntl.fcntl(0, fcntl.F_SETFL, _idle | os.O_ASYNC)
        try:
            reply = {"ok": answer(question)}
        except MemoryError:
            reply = {"error": "there is not enough memory"}
        except Exception as error:
            reply = {"error": _say(error)}
        fcntl.fcntl(0, fcntl.F_SETFL, _idle)
        text = json.dumps(reply).encode()
        _answers.write(struct.pack("<I", len(text)) + text)


def extension(name, path):
    """Loads the extension module `name` from the file `path`."""
    import importlib.machinery
    import importlib.util
    loader = importlib.machinery.ExtensionFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path, loader=loader))
    loader.exec_module(module)
    return module


