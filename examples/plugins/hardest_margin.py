"""A whole retriever of one's own: queries and passages in, loss out, with the encoder that it gets."""

from typing import Annotated, Any

import msgspec
import torch
from torch import nn

from quarry_runtime.modeling.registry import register_retriever


class Options(msgspec.Struct):
    margin: Annotated[float, msgspec.Meta(description="How far apart scores should be.")] = 0.2


@register_retriever("hardest_margin", Options)
class HardestMargin(nn.Module):
    """Pushes each query's hardest negative in the batch below its positive by a margin."""

    def __init__(self, encoder: nn.Module, _loss: Any, options: Options) -> None:
        super().__init__()
        self.encoder, self.margin = encoder, options.margin

    def forward(self, queries: Any, passages: Any, batch: Any) -> torch.Tensor:
        scores_QC = self.encoder(queries, "query") @ self.encoder(passages, "passage").T
        # Columns count over all ranks; without gathering this rank's own are what there is.
        own_Q1 = (batch.positive_columns - batch.positive_columns[:1]).unsqueeze(1)
        hardest_Q = scores_QC.masked_fill(batch.own_mask.scatter(1, own_Q1, True), -1e9).amax(1)
        return torch.relu(self.margin - scores_QC.gather(1, own_Q1)[:, 0] + hardest_Q).mean()
