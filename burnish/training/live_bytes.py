"""How many bytes of tensors are alive, by torch's own accounting: every storage that an operation makes, until it dies.

    with LiveBytes() as live:
        part(batch, reads)
    live.peak

It sees what is made inside the block, the views of a storage as one. It counts tensors of any device, those without
data too, so that a computation can be rehearsed with shapes alone. What the system gives the process for them is more:
pages that are kept, the gaps between tensors, buffers of libraries.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts while it is entered.

    Attributes:
        now: bytes alive that were made since.
        peak: the most there have been since the start or the last `lap`.
        calls: operations seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = self.calls = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, operation: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and count the storages of its results."""
        result = operation(*args, **(kwargs or {}))
        self.calls += 1
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return result

    def lap(self) -> int:
        """The peak so far; the next one is counted from now on."""
        peak, self.peak = self.peak, self.now
        return peak

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += self._sizes[key]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, key).atexit = False

    def _drop(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)
