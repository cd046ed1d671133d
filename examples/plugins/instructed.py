"""An encoder of one's own: queries with an instruction before them, one for all or one for each."""

from typing import Annotated, Any

import msgspec

from quarry_runtime.modeling.encoder import Encoder
from quarry_runtime.modeling.registry import register_encoder


class Options(msgspec.Struct):
    instruction: Annotated[
        str, msgspec.Meta(description="For queries whose record has no instruction of its own.")
    ] = "Find the passage that answers the question."


@register_encoder("instructed", Options)
class Instructed(Encoder):
    """Queries as "Instruct: …, Query: …", passages as they are."""

    def format_query(self, text: str, extras: Any) -> str:
        return f"Instruct: {extras.get('instruction', self.options.instruction)}\nQuery: {text}"
