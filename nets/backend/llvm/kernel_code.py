"""What the rest of the backend knows of a kernel over buffers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KernelCode:
    """How one matrix product or convolution is computed.

    ``symbol`` names ``internal void (ptr x, ptr y, ptr out, ptr workspace, i64 begin, i64 end)``,
    which computes the panels from ``begin`` below ``end`` out of ``panels``. Panels are
    independent: any split among threads gives the same bits. Each thread needs a workspace of its
    own of ``workspace_bytes``, aligned to 64. ``texts`` holds the function and all it calls by
    symbol; kernels share microkernels, so a module defines each symbol once.
    """

    symbol: str
    texts: dict[str, str] = field(hash=False)
    workspace_bytes: int
    panels: int

    @property
    def text(self) -> str:
        """All definitions."""
        return "\n".join(self.texts.values())
