"""What the rest of the backend knows of a kernel over buffers."""

from __future__ import annotations

from dataclasses import dataclass, field

from nets.ir.sizes import Dim


@dataclass(frozen=True, slots=True)
class KernelCode:
    """How one matrix product or convolution is computed.

    ``symbol`` names ``internal void (ptr x, ptr y, ptr out, ptr workspace, i64 begin, i64 end)``,
    which computes the panels from ``begin`` below ``end`` out of ``panels``. Panels are
    independent: any split among threads gives the same bits. Each thread needs a workspace of its
    own of ``workspace_bytes``, aligned to 64. ``texts`` holds the function and all it calls by
    symbol; kernels share microkernels, so a module defines each symbol once. ``sizes`` are told to
    the function behind its other arguments.
    """

    symbol: str
    texts: dict[str, str] = field(hash=False)
    workspace_bytes: int
    panels: Dim
    sizes: tuple[Dim, ...] = ()

    @property
    def text(self) -> str:
        """All definitions."""
        return "\n".join(self.texts.values())
