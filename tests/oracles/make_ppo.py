"""PPO in NumPy, by its definitions: golden/models/ppo.json, which crates/training/tests/ppo.rs holds ours against.

    tests/oracles/make_ppo.py           with the environment that tools/python-env prints
"""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent / "golden" / "models" / "ppo.json"
INPUTS, UNITS, ACTIONS, STEPS = 6, 10, 3, 12
OBJECTIVE = {"clip": 0.2, "value_clip": 0.3, "value_weight": 0.5, "entropy_weight": 0.01}


def advantages(rewards, values, discount, decay):
    surprises = rewards + discount * values[1:] - values[:-1]
    steps = len(rewards)
    return np.array([
        sum((discount * decay) ** (later - at) * surprises[later] for later in range(at, steps)) for at in range(steps)
    ])


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def loss(logits, values, case):
    logs = log_softmax(logits)
    chosen = logs[np.arange(len(logs)), case["actions"]]
    ratio = np.exp(chosen - case["log_probabilities"])
    held = np.clip(ratio, 1 - OBJECTIVE["clip"], 1 + OBJECTIVE["clip"])
    policy = -np.minimum(ratio * case["advantages"], held * case["advantages"]).mean()
    moved = case["values"] + np.clip(values - case["values"], -OBJECTIVE["value_clip"], OBJECTIVE["value_clip"])
    value = 0.5 * np.maximum((values - case["gains"]) ** 2, (moved - case["gains"]) ** 2).mean()
    entropy = -(np.exp(logs) * logs).sum(axis=-1).mean()
    total = policy + OBJECTIVE["value_weight"] * value - OBJECTIVE["entropy_weight"] * entropy
    return {"policy": policy, "value": value, "entropy": entropy, "total": total}


def normed(x, scale, shift):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * scale + shift


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def forward(rows, parts):
    hidden, cell, out = np.zeros(UNITS), np.zeros(UNITS), []
    for row in rows:
        gates = normed(row @ parts["input"], *parts["norm_i"]) + normed(hidden @ parts["hidden"], *parts["norm_h"])
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(normed(cell, *parts["norm_c"]))
        out.append(hidden @ parts["head"] + parts["bias"])
    return np.array(out)


def made() -> dict:
    random = np.random.default_rng(11)
    gates = 4 * UNITS
    parts = {
        "input": random.normal(size=(INPUTS, gates)) / 2, "hidden": random.normal(size=(UNITS, gates)) / 2,
        "norm_i": (1 + random.normal(size=gates) / 5, random.normal(size=gates) / 5),
        "norm_h": (1 + random.normal(size=gates) / 5, random.normal(size=gates) / 5),
        "norm_c": (1 + random.normal(size=UNITS) / 5, random.normal(size=UNITS) / 5),
        "head": random.normal(size=(UNITS, ACTIONS + 1)), "bias": random.normal(size=ACTIONS + 1),
    }
    rows = random.normal(size=(STEPS, INPUTS))
    out = forward(rows, parts)
    rewards, before = random.normal(size=STEPS), random.normal(size=STEPS + 1)
    found = advantages(rewards, before, 0.95, 0.9)
    actions = random.integers(0, ACTIONS, size=STEPS)
    case = {
        "actions": actions,
        # As they might have been some steps ago: some ratios are out of bounds, some values too.
        "log_probabilities": log_softmax(out[:, :-1])[np.arange(STEPS), actions] + random.normal(size=STEPS) / 3,
        "values": out[:, -1] + random.normal(size=STEPS) / 2,
        "advantages": random.normal(size=STEPS), "gains": random.normal(size=STEPS),
    }
    flat = [part for value in parts.values() for part in (value if isinstance(value, tuple) else (value,))]
    return {
        "inputs": INPUTS, "units": UNITS, "actions": ACTIONS, "objective": OBJECTIVE,
        "numbers": np.concatenate([part.ravel() for part in flat]).tolist(),
        "rows": rows.ravel().tolist(), "out": out.ravel().tolist(),
        "gae": {"rewards": rewards.tolist(), "values": before.tolist(), "discount": 0.95, "lambda": 0.9,
                "advantages": found.tolist()},
        "taken": {name: value.tolist() for name, value in case.items()},
        "loss": loss(out[:, :-1], out[:, -1], case),
    }


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(made()) + "\n")
