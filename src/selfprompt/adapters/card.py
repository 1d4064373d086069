"""The model card beside an adapter."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment

from selfprompt.adapters.format import AdapterConfig
from selfprompt.backbones.load import hub_id
from selfprompt.data.sources import RECORDS
from selfprompt.markup import markdown
from selfprompt.methods import record_of
from selfprompt.scores.classes import told

TEMPLATE = Environment(finalize=lambda value: markdown(str(value))).from_string(
    """# {{ config.method.name }} adapter for {{ config.backbone.architecture }}

{{ record.idea }} ({{ record.source }})

| | |
|---|---|
| Backbone | {{ config.backbone.name }} ({{ config.backbone.pretraining }}), weights `{{ config.backbone.hash[:12] }}` |
| Method | {% for k, v in config.method.items() if k != "name" %}{{ k }} = {{ v }}{{ ", " if not loop.last }}{% endfor %} |
| Classes | {{ config.num_classes }}{% if config.class_names %}: {{ config.class_names[:20] | join(", ") }}{% if config.class_names | length > 20 %}, ...{% endif %}{% endif %} |
| Trained parameters | {{ "{:,}".format(trainable) }} of {{ "{:,}".format(total) }} ({{ "%.2f" | format(100 * trainable / total) }} %) |
| Protocol | {{ config.protocol }} |
{%- if config.metrics %}
| Data | {{ config.metrics.dataset }} |
| Accuracy | {% if config.metrics.val_accuracy is not none %}validation {{ "%.2f" | format(config.metrics.val_accuracy) }} %{% endif %}{% if config.metrics.test_accuracy is not none %}{{ ", " if config.metrics.val_accuracy is not none }}test {{ "%.2f" | format(config.metrics.test_accuracy) }} %{% endif %} (seed {{ config.metrics.seed }}{% if config.metrics.precision %}, {{ config.metrics.precision }}{% endif %}) |
{%- if config.metrics.test_scores %}
| Scores | {{ told(config.metrics.test_scores) }} |
{%- endif %}
{%- if config.thresholds %}
| Labels | any number an example: each class whose probability, a sigmoid, is no less than its threshold, chosen on validation for its F1; the accuracy is of all labels at once |
{%- endif %}
{%- if config.calibration %}
| Temperature | {{ "%.3f" | format(config.calibration.temperature) }}, fitted on {{ config.calibration.examples }} validation examples |
{%- endif %}
{%- endif %}

```python
import selfprompt as sp

{% if config.protocol.inputs == "text" -%}
answers = sp.predict("{{ where }}", ["a text"])  # finds the backbone again and checks its weights
{%- else -%}
model = sp.load("{{ where }}")        # finds the backbone again and checks its weights
logits = model(images)           # (B, 3, {{ config.protocol.image_size }}, {{ config.protocol.image_size }}) uint8 or normalised
{%- endif %}
```

Written by selfprompt {{ config.selfprompt_version }}. Please cite the paper of the method and of the backbone.
"""
)


def model_card(
    config: AdapterConfig, trainable: int, total: int, where: str = "FOLDER", licence: str | None = None
) -> ModelCard:
    """The card, whose metadata are the hub's.

    Args:
        config: The adapter's.
        trainable, total: Parameters.
        where: Where it is loaded from.
        licence: The hub's identifier of its licence, such as ``apache-2.0``.
    """
    record = record_of(config.method["name"])
    text = TEMPLATE.render(config=config, record=record, trainable=trainable, total=total, where=where, told=told)
    return ModelCard(f"---\n{metadata(config, licence).to_yaml()}\n---\n\n{text}")


def metadata(config: AdapterConfig, licence: str | None = None) -> ModelCardData:
    """What the hub reads of an adapter: its base model, task, data and accuracy."""
    task, metrics = f"{config.protocol.inputs}-classification", config.metrics or {}
    base, data = hub_id(config.backbone.name), metrics.get("dataset")
    measured = {"test": metrics.get("test_accuracy"), "validation": metrics.get("val_accuracy")}
    results = [
        EvalResult(
            task_type=task,
            dataset_type=hub_data(str(data)) or str(data),
            dataset_name=str(data),
            dataset_split=split,
            metric_type="accuracy",
            metric_value=round(accuracy / 100, 4),
        )
        for split, accuracy in measured.items()
        if data and isinstance(accuracy, (int, float))
    ]
    known: dict[str, Any] = {
        "license": licence,
        "base_model": base,
        "base_model_relation": base and "adapter",
        "base_model_architecture": config.backbone.architecture,
        "datasets": [found] if data and (found := hub_data(str(data))) else None,
        "metrics": ["accuracy"] if results else None,
        "eval_results": results or None,
        "model_name": f"{config.method['name']} adapter for {config.backbone.architecture}" if results else None,
    }
    return ModelCardData(
        library_name="selfprompt",
        pipeline_tag=task,
        tags=["selfprompt", "prompt-tuning", task, config.method["name"]],
        **{key: value for key, value in known.items() if value is not None},
    )


def hub_data(name: str) -> str | None:
    """The hub's name of a data set, if it came from there."""
    bare = name.removeprefix("hf:").partition("@")[0].partition("#")[0]
    own = {known for record in RECORDS.values() for known in record.names}
    return bare if re.fullmatch(r"[\w.-]+/[\w.-]+", bare) and bare not in own else None
