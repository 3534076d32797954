"""What the attack missed: the margin over the plane of an image, the attack's point and the witness that was found."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absdomain.attack import margin

REACH = (-0.25, 1.25)  # of the plane's two coordinates: 0 is the image, 1 the attack's point, or the witness
POINTS = 61  # along each


@dataclass(frozen=True, eq=False)
class Landscape:
    """z_y - max_{j != y} z_j over { image + a (attacked - image) + b (witness - image) } (Gowal et al. 2018, figure 1).

    Negative is misclassified. margins[i, j] belongs to a = axis[j], b = axis[i]; the plane is not cut to the region.
    """

    image: Tensor  # (*shape)
    attacked: Tensor  # (*shape)
    witness: Tensor  # (*shape)
    label: int
    predicted: int  # the class of the witness
    axis: Tensor  # (POINTS,)
    margins: Tensor  # (POINTS, POINTS)


def landscape(model: nn.Module, image: Tensor, label: int, attacked: Tensor, witness: Tensor) -> Landscape:
    """The margin over the plane through three points of one shape, in the model's own dtype."""
    own = next((p.dtype for p in model.parameters()), image.dtype)
    image, attacked, witness = image.to(own), attacked.to(own), witness.to(own)
    axis = torch.linspace(*REACH, POINTS, dtype=own)
    b, a = torch.meshgrid(axis, axis, indexing="ij")
    weights = (b.flatten(), a.flatten())
    along = [w.view(-1, *(1,) * image.dim()) for w in weights]
    points = image + along[0] * (witness - image) + along[1] * (attacked - image)
    labels = torch.full((len(points),), label)
    with torch.no_grad():
        margins = torch.cat([margin(model(p), y) for p, y in zip(points.split(500), labels.split(500), strict=True)])
        predicted = int(model(witness.unsqueeze(0)).argmax())
    return Landscape(image, attacked, witness, label, predicted, axis, margins.view(POINTS, POINTS))
