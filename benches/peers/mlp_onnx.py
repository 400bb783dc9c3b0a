"""The forecast's network in the ONNX Runtime on one thread: latency of a row and of 256.

    mlp_onnx.py WEIGHTS.safetensors [--once]        --once: only the first answer, to time the start
"""

import json
import struct
import sys
import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def tensors(path: str) -> dict[str, np.ndarray]:
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    head = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {
        name: np.frombuffer(body[slice(*one["data_offsets"])], dtype="<f4").reshape(one["shape"])
        for name, one in head.items() if name != "__metadata__"
    }


def network(weights: dict[str, np.ndarray]) -> bytes:
    nodes, row = [], "row"
    layers = len(weights) // 2
    for at in range(1, layers + 1):
        nodes.append(helper.make_node("Gemm", [row, f"fc{at}.weight", f"fc{at}.bias"], [f"sum{at}"], transB=1))
        row = f"sum{at}"
        if at < layers:
            nodes.append(helper.make_node("Relu", [row], [f"out{at}"]))
            row = f"out{at}"
    shape = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])
    graph = helper.make_graph(
        nodes, "forecast", [shape("row", 31)], [shape(row, 2)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def main() -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network(tensors(sys.argv[1])), options)
    rows = np.random.default_rng(1).normal(size=(2_000, 31)).astype(np.float32)
    session.run(None, {"row": rows[:1]})
    if "--once" in sys.argv:
        return
    for what, batch in (("one row", 1), ("256 rows", 256)):
        times = []
        for at in range(20_000):
            part = rows[at % 1_000 : at % 1_000 + batch]
            start = time.perf_counter()
            session.run(None, {"row": part})
            times.append(time.perf_counter() - start)
        p50, p99 = np.percentile(times, [50, 99]) * 1e6
        print(json.dumps({"what": what, "p50_us": p50, "p99_us": p99, "peer": f"ONNX Runtime {onnxruntime.__version__}"}))


if __name__ == "__main__":
    main()
