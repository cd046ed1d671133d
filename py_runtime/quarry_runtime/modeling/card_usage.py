"""The model card's part on use: which library loads the model rightly, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quarry_runtime.modeling.resolved import Resolved
from quarry_runtime.protocol.messages import ModelContract


def library_of(resolved: Resolved, facts: Mapping[str, Any]) -> str:
    """What loads the model rightly."""
    if facts["own"] is not None:
        return "quarry"
    # sentence-transformers reads no magnitudes: transformers 5.23, which it loads with, does not.
    adapter = resolved.adapter if facts["isAdapter"] else None
    is_dora = adapter is not None and adapter.config.get("use_dora")
    return "peft" if is_dora else "sentence-transformers"


def usage(
    library: str,
    resolved: Resolved,
    contract: ModelContract,
    facts: Mapping[str, Any],
    base: str | None,
) -> str:
    """How to use the model, with the library that loads it and with Quarry.

    Args:
        library: See `library_of`.
        resolved: The exported model.
        contract: The same, as it travels.
        facts: See card.card.
        base: An adapter's base model, where the hub has it.
    """
    name = json.dumps(facts["title"])
    parts = [resolved] if resolved.query is None else [resolved.query, resolved]
    runs_code = facts["isTrusted"] and any("auto_map" in part.config for part in parts)
    options = dict(facts["own"] or {})
    if runs_code:
        options |= {"trustRemoteCode": True, "revision": "<the commit whose code you have read>"}
    script = _script(f"{name}, {json.dumps(options)}" if options else name)
    if library == "quarry":
        needed = ", ".join(["Quarry", *options.get("plugins", [])])
        return f"## Use\n\nWith {needed}, and nothing else:\n\n{script}"
    trust = ", trust_remote_code=True" if runs_code else ""
    if library == "peft":
        theirs = _with_peft(name, json.dumps(base or "<the base model>"), trust)
        if resolved.chat is not None:
            theirs += (
                "\n\nEach text is the user's message of the tokenizer's chat template, behind the prompt"
                " as the system's."
            )
    else:
        # Lengths of a side, and chat templates, are known since these releases.
        differ = contract.query_max_length != contract.passage_max_length
        has_chat = any(part.chat is not None for part in parts)
        least = ">=6" if differ else ">=5.4" if has_chat else ""
        needs = f'"sentence-transformers{least}"' if least else "sentence-transformers"
        theirs = _with_sentence_transformers(
            f"{name}{trust}", f"{needs} peft" if facts["isAdapter"] else needs
        )
    return f"## Use\n\n{theirs}\n\nWith Quarry:\n\n{script}"


def _with_sentence_transformers(model: str, needs: str) -> str:
    # A name of its own for each side: the prompts lie under query and document.
    return f"""With [sentence-transformers](https://sbert.net) (`pip install {needs}`):

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer({model})
queries = model.encode_query(["a question"])
passages = model.encode_document(["a passage", "another passage"])
print(model.similarity(queries, passages))
```"""


def _with_peft(name: str, base: str, trust: str) -> str:
    return f"""With [peft](https://huggingface.co/docs/peft), whose vectors of tokens are then to be pooled as
above. sentence-transformers loads this adapter without the magnitudes of DoRA, and gives other
vectors: it needs the model that `quarry export --merge` makes.

```python
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name})
model = PeftModel.from_pretrained(AutoModel.from_pretrained({base}{trust}), {name})
```"""


def _script(model: str) -> str:
    return f"""```ts
import {{ biEncoder, defineExperiment, source }} from "quarry";

export default defineExperiment({{
  name: "search",
  model: biEncoder({model}),
  search: {{ data: source({{ corpus: "corpus.jsonl" }}), texts: ["a question"] }},
}});
```"""
