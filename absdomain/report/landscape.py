"""The margin over the plane through an image, the attack's point, and a witness that the attack missed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from absdomain.attack import margin
from absdomain.linear.axes import spread

REACH = (-0.25, 1.25)  # of the plane's two coordinates: 0 is the image, 1 the attack's point, or the witness
POINTS = 61  # along each
_AT_ONCE = 500  # points that are held in memory


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
    """The margin over the plane through three points of one shape, in the model's own dtype, on the image's device."""
    if model.training:
        raise ValueError("the model is in training mode, in which a point's margin may depend on its batch; eval() it")
    own = next((p.dtype for p in model.parameters()), image.dtype)
    image, attacked, witness = image.to(own), attacked.to(own), witness.to(own)
    axis = torch.linspace(*REACH, POINTS, dtype=own, device=image.device)
    places = torch.cartesian_prod(axis, axis)  # (POINTS^2, 2)

    def margins_at(b: Tensor, a: Tensor) -> Tensor:
        points = image + spread(b, image.dim()) * (witness - image) + spread(a, image.dim()) * (attacked - image)
        return margin(model(points), torch.full((len(points),), label, device=image.device))

    with torch.no_grad():
        margins = torch.cat([margins_at(*part.unbind(1)) for part in places.split(_AT_ONCE)])
        predicted = int(model(witness.unsqueeze(0)).argmax())
    return Landscape(image, attacked, witness, label, predicted, axis, margins.view(POINTS, POINTS))
