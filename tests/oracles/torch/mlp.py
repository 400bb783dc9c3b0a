"""The forecast's network in PyTorch: losses of every step, from given first weights, batches and dropout masks.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install -r tests/oracles/torch/requirements.txt
    /tmp/torch/bin/python tests/oracles/torch/mlp.py

writes tests/oracles/golden/models/mlp.json, which crates/training/tests/torch.rs holds our training against.
"""

import json
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "models" / "mlp.json"
WIDTHS, ROWS, BATCH, STEPS, DROPOUT = [31, 31, 15, 2], 64, 16, 30, 0.2
LEARNING_RATE, SUCCESS_WEIGHTS = 1e-3, [1.5, 2.0]


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    random = np.random.default_rng(20261124)
    rows = random.normal(size=(ROWS, WIDTHS[0])).astype(np.float32)
    outcomes = (random.random((ROWS, WIDTHS[-1])) < 0.4).astype(np.float32)
    layers = [torch.nn.Linear(*pair) for pair in zip(WIDTHS, WIDTHS[1:])]
    first = []
    for layer in layers:
        bound = 1 / np.sqrt(layer.in_features)
        for tensor in (layer.weight, layer.bias):
            values = random.uniform(-bound, bound, size=tuple(tensor.shape)).astype(np.float32)
            first.append(values.ravel().tolist())
            with torch.no_grad():
                tensor.copy_(torch.from_numpy(values))
    numbers = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
    adam = torch.optim.Adam(numbers, lr=LEARNING_RATE)
    loss_of = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor(SUCCESS_WEIGHTS))
    batches, masks, losses = [], [], []
    for _ in range(STEPS):
        batch = random.choice(ROWS, size=BATCH, replace=False)
        kept = [random.random((BATCH, width)) >= DROPOUT for width in WIDTHS[1:-1]]
        x = torch.from_numpy(rows[batch])
        for layer, mask in zip(layers, kept):
            x = torch.relu(layer(x)) * torch.from_numpy(mask.astype(np.float32) / np.float32(1 - DROPOUT))
        loss = loss_of(layers[-1](x), torch.from_numpy(outcomes[batch]))
        adam.zero_grad()
        loss.backward()
        adam.step()
        batches.append(batch.tolist())
        masks.append(["".join("1" if one else "0" for one in line) for line in np.concatenate(kept, axis=1)])
        losses.append(loss.item())
    golden = {
        "torch": torch.__version__,
        "widths": WIDTHS,
        "dropout": DROPOUT,
        "learning_rate": LEARNING_RATE,
        "success_weights": SUCCESS_WEIGHTS,
        "rows": rows.tolist(),
        "outcomes": outcomes.astype(int).tolist(),
        "first": first,
        "batches": batches,
        "masks": masks,
        "losses": losses,
        "last": [tensor.detach().numpy().ravel().tolist() for tensor in numbers],
    }
    GOLDEN.write_text(json.dumps(golden) + "\n")
    print(f"{GOLDEN}: {STEPS} steps, loss {losses[0]:.4f} to {losses[-1]:.4f}")


if __name__ == "__main__":
    main()
