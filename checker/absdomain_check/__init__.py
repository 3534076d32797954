"""Certificates of neural network verification, checked against the original files.

`check` recomputes every bound from the ONNX and the VNN-LIB file; nothing in a certificate is believed. What is
accepted holds in real arithmetic on the numbers in the files. `check_images` does so for a whole certification. The
form is in `form`, the arithmetics are in `ball` and `exact`, and the mathematics of bounds is in `bounds`.
"""

from absdomain_check.checking import Accepted, check
from absdomain_check.errors import Refused, Unreadable
from absdomain_check.images import Shown, check_images

__all__ = ["Accepted", "Refused", "Shown", "Unreadable", "check", "check_images"]
