"""A small network learns scikit-learn's 8x8 digits, in a plain PyTorch loop."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import absdomain
from absdomain.trainers import robust_cross_entropy

torch.manual_seed(0)
pixels, digits = load_digits(return_X_y=True)
images = torch.tensor(pixels / 16, dtype=torch.float32).view(-1, 1, 8, 8)
labels = torch.tensor(digits)
train, test = TensorDataset(images[:-360], labels[:-360]), (images[-360:], labels[-360:])

model = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))
optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
graph, domain = absdomain.to_graph(model, images[:1]), absdomain.domains.Box()

for epoch in range(20):
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        region = absdomain.Linf(x, 0.1 * min(1, epoch / 12), clip=(0, 1))  # grows for 12 epochs
        lower = domain.propagate(graph, region, absdomain.margins(y, 10)).lower
        loss = cross_entropy(model(x), y) + robust_cross_entropy(lower)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}")

wrong = model(test[0]).argmax(1) != test[1]
print(f"clean error: {100 * wrong.double().mean():.1f} %")
