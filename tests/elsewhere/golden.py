"""Networks of PyTorch and Keras as ONNX files, with what they answer: tests/elsewhere/golden.

PyTorch takes 3 GB, so `./test` reads the files and does not make them. To make them again:

    tools/python-env tests/oracles/torch/requirements.txt .torch
    .torch/bin/pip install keras==3.15.1 onnx==1.23.2 onnxscript==0.7.2
    KERAS_BACKEND=torch .torch/bin/python tests/elsewhere/golden.py
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import torch

GOLDEN = Path(__file__).resolve().parent / "golden"
FEATURES, ROWS = 31, 50


def rows() -> np.ndarray:
    return np.random.default_rng(5).uniform(-1, 1, size=(ROWS, FEATURES)).astype(np.float32)


def write(name: str, answers: np.ndarray) -> None:
    found = {"rows": rows().tolist(), "answers": answers.astype(float).tolist()}
    (GOLDEN / f"{name}.json").write_text(json.dumps(found) + "\n")


def pytorch() -> None:
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Linear(FEATURES, 15), torch.nn.ReLU(), torch.nn.LayerNorm(15), torch.nn.Linear(15, 2),
    ).eval()
    torch.onnx.export(
        network, (torch.zeros(1, FEATURES),), GOLDEN / "pytorch.onnx", input_names=["features"], output_names=["logits"],
        dynamic_axes={"features": {0: "rows"}, "logits": {0: "rows"}}, dynamo=False, opset_version=17,
    )
    with torch.inference_mode():
        write("pytorch", torch.sigmoid(network(torch.from_numpy(rows()))).numpy())


def keras_classes() -> None:
    keras.utils.set_random_seed(1)
    network = keras.Sequential([
        keras.Input((FEATURES,)), keras.layers.Dense(12, activation="gelu"), keras.layers.Dropout(0.2),
        keras.layers.Dense(3, activation="softmax"),
    ])
    answers = np.asarray(network.predict(rows(), verbose=0))
    network.export(str(GOLDEN / "keras.onnx"), format="onnx", verbose=False)
    write("keras", answers)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    pytorch()
    keras_classes()
