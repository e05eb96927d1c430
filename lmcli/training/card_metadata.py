"""The metadata of a model card, by which the Hugging Face Hub and other tools find and judge a checkpoint.

The fields are those of the hub's specification (huggingface/hub-docs, modelcard.md); `model-index` holds the figures.
"""

from __future__ import annotations

import math
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from lmcli.checkpoints import catalog
from lmcli.training.card import Card
from lmcli.types import Checkpoint

PIPELINES = {
    "classify": "text-classification",
    "translate": "translation",
    "summarize": "summarization",
    "chat": "text-generation",
    "generate": "text-generation",
    "masked": "fill-mask",
}
# What the hub calls a metric, where that is not our own name for it.
_METRICS = {"macro_f1": "f1", "bleu": "sacrebleu", "rouge1": "rouge", "rouge2": "rouge", "rougeL": "rouge"}
# Files are named by the loader that reads them.
_LOADERS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json"}
# The hub's identifiers of licences; any other is `other`, with a name.
_LICENSES = frozenset(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense
    zlib pddl lgpl-lr deepfloyd-if-license llama2 llama3 llama3.1 llama3.2 llama3.3 gemma unknown other
    """.split()  # noqa: SIM905
)


def metadata(card: Card) -> str:
    """The card's YAML, without the lines around it."""
    task = card.recipe.task
    tags = ["lmcli", *(["conversational"] if task == "chat" else []), *(["lora"] if card.recipe.lora_rank else [])]
    datasets = list(dict.fromkeys(part.dataset for part in card.data if part.dataset and part.split == "train"))
    results = _results(card)
    license = card.license or (card.base.license if card.base else None)
    known = license is None or license.lower() in _LICENSES
    data = ModelCardData(
        language=list(card.languages) or None,
        license=(license.lower() if license else None) if known else "other",
        license_name=None if known else "-".join(str(license).lower().split()),
        base_model=repository(card.base) if card.base else None,
        pipeline_tag=PIPELINES[task],
        library_name="transformers",
        tags=tags,
        datasets=datasets or None,
        metrics=list(dict.fromkeys(result.metric_type for result in results)) or None,
        model_name=card.name,
        eval_results=results or None,
    )
    if not results:
        data.pop("model_name")  # Without figures the hub knows no such field.
    return data.to_yaml()


def repository(checkpoint: Checkpoint) -> str | None:
    """Where a checkpoint lies on the hub, None for a folder of the user's own, whatever it is called."""
    place = next((part for part in checkpoint.path.parts if part.startswith("models--")), None)
    if place is not None:
        return place.removeprefix("models--").replace("--", "/", 1)
    entry = catalog.lookup(checkpoint.path.name)
    return entry.repo_id if entry and entry.mirror and checkpoint.path.parent.name == "checkpoints" else None


def _results(card: Card) -> list[EvalResult]:
    """The figures of the validation set, on each set that they were measured on together."""
    parts = [part for part in card.data if part.split == "validation"]
    if card.validation is None or not parts:
        return []
    name = ", ".join(part.name for part in parts)
    kind = parts[0].dataset or _LOADERS.get(Path(parts[0].name).suffix.lower(), "text")
    return [
        EvalResult(
            task_type=PIPELINES[card.recipe.task],
            dataset_type=kind,
            dataset_name=name,
            dataset_split="validation",
            metric_type=_METRICS.get(metric, metric),
            metric_name=metric,
            metric_value=round(value, 6),
        )
        for metric, value in card.validation.metrics.items()
        if math.isfinite(value)
    ]
