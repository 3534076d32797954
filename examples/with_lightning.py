"""Certified training as a LightningModule: a small network learns 8x8 digits with interval bounds in its loss."""

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import absdomain
from absdomain.data import load
from absdomain.trainers import Certified

EPS, EPOCHS, RAMP = 0.1, 20, 12


class Robust(lightning.LightningModule):
    """kappa CE(f(x), y) + (1 - kappa) CE of the bounds on the ball of radius eps, which grows for RAMP epochs."""

    def __init__(self, model: nn.Module, example: Tensor, classes: int) -> None:
        super().__init__()
        self.objective = Certified(model, example, absdomain.domains.Box(), classes=classes)

    def on_train_epoch_start(self) -> None:
        grown = min(1.0, (self.current_epoch + 1) / RAMP)
        self.objective.set(eps=EPS * grown, kappa=1 - grown / 2)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss, seen = self.objective(*batch)
        self.log_dict({"loss": loss, **seen})  # the errors of the batch, clean and verified
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=2e-3)


lightning.seed_everything(0)
images, labels = load("digits", "train")[:]
test = load("digits", "test")[:]
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10))

trainer = lightning.Trainer(
    max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
)
trainer.fit(Robust(model, images[:1], 10), DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True))

errors = absdomain.certify(model.eval(), *test, eps=EPS).summary
print(f"clean error: {errors.clean_error:.1f} %, verified error: {errors.verified_error:.1f} %")
