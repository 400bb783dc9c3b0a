"""The same PPO in PyTorch on one thread, over the same environment, which `policy_bench serve` lends it.

    ppo_torch.py POLICY_BENCH
"""

import json
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn

EPISODES, STEPS, ROUNDS, PASSES, BATCH = 8, 128, 10, 4, 2
INPUTS, UNITS, ACTIONS = 32, 64, 3
CLIP, VALUE_CLIP, VALUE_WEIGHT, ENTROPY_WEIGHT, DISCOUNT, DECAY = 0.2, 0.2, 0.5, 0.005, 0.9, 0.95


class Policy(nn.Module):
    """A layer-normalised LSTM, an actor and a critic."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(INPUTS, 4 * UNITS, bias=False), nn.Linear(UNITS, 4 * UNITS, bias=False)
        self.norm_i, self.norm_h, self.norm_c = nn.LayerNorm(4 * UNITS), nn.LayerNorm(4 * UNITS), nn.LayerNorm(UNITS)
        self.head = nn.Linear(UNITS, ACTIONS + 1)

    def cell(self, from_input, hidden, cell):
        gates = from_input + self.norm_h(self.hidden(hidden))
        i, f, g, o = gates.chunk(4, dim=-1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(cell)), cell

    def step(self, row, hidden, cell):
        hidden, cell = self.cell(self.norm_i(self.input(row)), hidden, cell)
        return self.head(hidden), hidden, cell

    def sequence(self, rows):
        """From [steps, episodes, inputs]; the rows do not depend on each other, so their sums are made at once."""
        hidden = cell = torch.zeros(rows.shape[1], UNITS)
        from_input, all_hidden = self.norm_i(self.input(rows)), []
        for one in from_input:
            hidden, cell = self.cell(one, hidden, cell)
            all_hidden.append(hidden)
        return self.head(torch.stack(all_hidden))


def rollout(model, server):
    server.stdin.write(b"\0")
    hidden = cell = torch.zeros(EPISODES, UNITS)
    rows, actions, logs, values = [], [], [], []
    with torch.inference_mode():
        for step in range(STEPS + 1):
            if step == 0:
                server.stdin.flush()
            row = torch.from_numpy(np.frombuffer(server.stdout.read(EPISODES * INPUTS * 4), dtype="<f4").reshape(EPISODES, INPUTS).copy())
            out, hidden, cell = model.step(row, hidden, cell)
            values.append(out[:, ACTIONS])
            all_logs = torch.log_softmax(out[:, :ACTIONS], dim=-1)
            action = torch.multinomial(all_logs.exp(), 1)
            server.stdin.write(action.to(torch.uint8).numpy().tobytes())
            server.stdin.flush()
            if step < STEPS:
                rows.append(row)
                actions.append(action)
                logs.append(all_logs.gather(1, action)[:, 0])
    rewards = np.frombuffer(server.stdout.read(EPISODES * STEPS * 4), dtype="<f4").reshape(EPISODES, STEPS).T
    return torch.stack(rows).clone(), torch.stack(actions).clone(), torch.stack(logs).clone(), torch.stack(values).numpy(), rewards


def learn(model, adam, data):
    rows, actions, old_logs, values, rewards = data
    advantages, later = np.zeros_like(rewards), 0.0
    for at in reversed(range(STEPS)):
        later = rewards[at] + DISCOUNT * values[at + 1] - values[at] + DISCOUNT * DECAY * later
        advantages[at] = later
    old_values = torch.from_numpy(values[:-1].copy())
    gains = torch.from_numpy(advantages + values[:-1])
    advantages = torch.from_numpy((advantages - advantages.mean()) / (advantages.std() + 1e-8))
    for _ in range(PASSES):
        for batch in torch.randperm(EPISODES).split(BATCH):
            out = model.sequence(rows[:, batch])
            logs = torch.log_softmax(out[..., :ACTIONS], dim=-1)
            chosen = logs.gather(2, actions[:, batch])[..., 0]
            ratio, advantage = (chosen - old_logs[:, batch]).exp(), advantages[:, batch]
            policy = -torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage).mean()
            value, old, gain = out[..., ACTIONS], old_values[:, batch], gains[:, batch]
            moved = old + (value - old).clamp(-VALUE_CLIP, VALUE_CLIP)
            critic = 0.5 * torch.maximum((value - gain) ** 2, (moved - gain) ** 2).mean()
            entropy = -(logs.exp() * logs).sum(-1).mean()
            adam.zero_grad()
            (policy + VALUE_WEIGHT * critic - ENTROPY_WEIGHT * entropy).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            adam.step()
    return entropy.item()


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    server = subprocess.Popen([sys.argv[1], "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    model = Policy()
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-5)
    learn(model, adam, rollout(model, server))
    start = time.perf_counter()
    episodes = 0.0
    for _ in range(ROUNDS):
        before = time.perf_counter()
        data = rollout(model, server)
        episodes += time.perf_counter() - before
        entropy = learn(model, adam, data)
    seconds = time.perf_counter() - start
    server.stdin.close()
    server.wait()
    steps = EPISODES * STEPS * ROUNDS
    print(json.dumps({"what": "ppo", "peer": f"PyTorch {torch.__version__}", "steps": steps, "seconds": seconds,
                      "steps_per_second": steps / seconds, "episodes_seconds": episodes, "entropy": entropy}))


if __name__ == "__main__":
    main()
