"""Certified training with Accelerate: a small network learns 8x8 digits with interval bounds in its loss."""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import absdomain
from absdomain.data import load
from absdomain.trainers import Certified

EPS, EPOCHS, RAMP = 0.1, 20, 12

set_seed(0)
images, labels = load("digits", "train")[:]
test = load("digits", "test")[:]
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))

accelerator = Accelerator(cpu=True)
objective = Certified(model, images[:1], absdomain.domains.Box(), classes=10)
optimiser = torch.optim.Adam(objective.parameters(), lr=2e-3)
loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
objective, optimiser, loader = accelerator.prepare(objective, optimiser, loader)

for epoch in range(EPOCHS):
    grown = min(1.0, (epoch + 1) / RAMP)  # eps grows for RAMP epochs
    accelerator.unwrap_model(objective).set(eps=EPS * grown, kappa=1 - grown / 2)
    for x, y in loader:
        loss, seen = objective(x, y)
        optimiser.zero_grad()
        accelerator.backward(loss)
        optimiser.step()
    accelerator.print(f"epoch {epoch + 1}: loss {loss:.3f}, {', '.join(f'{k} {v:.3f}' for k, v in seen.items())}")

if accelerator.is_main_process:
    errors = absdomain.certify(model.eval(), *test, eps=EPS).summary
    print(f"clean error: {errors.clean_error:.1f} %, verified error: {errors.verified_error:.1f} %")
