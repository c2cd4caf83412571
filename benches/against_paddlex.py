"""Times hpinfer against PaddleX's own predictor, picture by picture in turn, on one model folder and one engine.

Both read the same file and give a result: hpinfer takes paths on standard input and answers with JSON lines, PaddleX's
`predict` runs in this process. A round is A B or B A by turns; the first rounds are not counted. Printed per model: medians in
milliseconds, the spread of the middle half, and the ratio of the medians.

Needs PaddleX 3.7 with onnxruntime in the Python that runs this, and model folders with inference.onnx and inference.yml.
Usage: python benches/against_paddlex.py [--threads N] [--rounds N] HPINFER PIPELINE FOLDER PICTURE...
"""
import argparse, json, os, statistics, subprocess, time

os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
WARM_UP = 3


class Hpinfer:
    def __init__(self, program, pipeline, folder, threads):
        command = [program, "--pipeline", pipeline, "--model", folder, "--backend", "onnx_runtime", "--threads", str(threads),
                   "--format", "jsonl", "--quiet", "--input", "-"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __call__(self, path):
        self.process.stdin.write(path + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise SystemExit(f"hpinfer: {answer['error']}")


class PaddleX:
    def __init__(self, folder, threads):
        import cv2, yaml
        from paddlex import create_model
        cv2.setNumThreads(threads)
        with open(os.path.join(folder, "inference.yml"), encoding="utf-8") as file:
            name = yaml.safe_load(file)["Global"]["model_name"]
        options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        self.model = create_model(model_name=name, model_dir=folder, device="cpu", engine="onnxruntime", engine_config=options)

    def __call__(self, path):
        for _ in self.model.predict(path, batch_size=1):
            pass


def timed(run, path):
    start = time.perf_counter()
    run(path)
    return (time.perf_counter() - start) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("program")
    parser.add_argument("pipeline")
    parser.add_argument("folder")
    parser.add_argument("pictures", nargs="+")
    args = parser.parse_args()
    rivals = {"hpinfer": Hpinfer(args.program, args.pipeline, args.folder, args.threads), "PaddleX": PaddleX(args.folder, args.threads)}
    times = {name: [] for name in rivals}
    for turn in range(WARM_UP + args.rounds):
        for path in args.pictures:
            for name in list(rivals) if turn % 2 else list(rivals)[::-1]:
                ms = timed(rivals[name], path)
                if turn >= WARM_UP:
                    times[name].append(ms)
    row = {"model": os.path.basename(os.path.normpath(args.folder)), "threads": args.threads}
    for name, ms in times.items():
        low, median, high = statistics.quantiles(ms, n=4)
        row[name] = {"median_ms": round(median, 2), "middle_half_ms": [round(low, 2), round(high, 2)]}
    row["ratio"] = round(row["PaddleX"]["median_ms"] / row["hpinfer"]["median_ms"], 2)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
