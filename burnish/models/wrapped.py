"""Whether peft holds a model: asked without importing peft, which takes a second and most runs never need.

A model that peft wraps is there only where somebody has imported peft.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer
    from typing_extensions import TypeIs


def is_wrapped(model: nn.Module) -> TypeIs[PeftModel]:
    """Whether low-rank adapters hold the model."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def is_adapted(layer: nn.Module) -> TypeIs[BaseTunerLayer]:
    """Whether a layer is one of peft's, with a layer of the model inside."""
    layers = sys.modules.get("peft.tuners.tuners_utils")
    return layers is not None and isinstance(layer, layers.BaseTunerLayer)
