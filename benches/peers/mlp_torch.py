"""The forecast's network in PyTorch on one thread: training time, and latency of a row and of 256."""

import json
import time

import numpy as np
import torch

ROWS, EPOCHS, BATCH, WIDTHS = 2_000, 100, 32, [31, 31, 15, 2]


def network() -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(31, 31), torch.nn.ReLU(), torch.nn.Dropout(0.2),
        torch.nn.Linear(31, 15), torch.nn.ReLU(), torch.nn.Dropout(0.2),
        torch.nn.Linear(15, 2),
    )


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    cells = random.normal(size=(ROWS, WIDTHS[0])).astype(np.float32)
    rows = torch.from_numpy(cells)
    outcomes = torch.from_numpy(np.stack([cells[:, 0] * cells[:, 1] > 0, cells[:, 2] > 0.5], axis=1).astype(np.float32))
    best = float("inf")
    for _ in range(3):
        model = network()
        adam, loss_of = torch.optim.Adam(model.parameters(), lr=1e-3), torch.nn.BCEWithLogitsLoss()
        start = time.perf_counter()
        for _ in range(EPOCHS):
            for batch in torch.randperm(ROWS).split(BATCH):
                loss = loss_of(model(rows[batch]), outcomes[batch])
                adam.zero_grad()
                loss.backward()
                adam.step()
        best = min(best, time.perf_counter() - start)
    print(json.dumps({"what": "train", "seconds": best, "last_loss": loss.item(), "peer": f"PyTorch {torch.__version__}"}))
    model.eval()
    with torch.inference_mode():
        for what, batch in (("one row", 1), ("256 rows", 256)):
            times = []
            for at in range(5_000):
                start = time.perf_counter()
                model(rows[at % 1_000 : at % 1_000 + batch])
                times.append(time.perf_counter() - start)
            p50, p99 = np.percentile(times, [50, 99]) * 1e6
            print(json.dumps({"what": what, "p50_us": p50, "p99_us": p99}))


if __name__ == "__main__":
    main()
