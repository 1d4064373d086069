"""The model card beside an adapter."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from selfprompt.adapters.format import AdapterConfig
from selfprompt.markup import markdown
from selfprompt.methods import record_of
from selfprompt.scores.classes import told


def written(value: Any) -> str:
    """A value as Markdown shows it; what ``tojson`` wrote, for the YAML, as it is."""
    return value if isinstance(value, Markup) else markdown(str(value))


TEMPLATE = Environment(finalize=written).from_string(
    """---
library_name: selfprompt
tags: [selfprompt, prompt-tuning, {{ config.protocol.inputs }}-classification, {{ config.method.name | tojson }}]
base_model_architecture: {{ config.backbone.architecture | tojson }}
---

# {{ config.method.name }} adapter for {{ config.backbone.architecture }}

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
{%- if config.calibration %}
| Temperature | {{ "%.3f" | format(config.calibration.temperature) }}, fitted on {{ config.calibration.examples }} validation examples |
{%- endif %}
{%- endif %}

```python
import selfprompt as sp

{% if config.protocol.inputs == "text" -%}
answers = sp.predict("FOLDER", ["a text"])  # finds the backbone again and checks its weights
{%- else -%}
model = sp.load("FOLDER")        # finds the backbone again and checks its weights
logits = model(images)           # (B, 3, {{ config.protocol.image_size }}, {{ config.protocol.image_size }}) uint8 or normalised
{%- endif %}
```

Written by selfprompt {{ config.selfprompt_version }}. Please cite the paper of the method and of the backbone.
"""
)


def render_card(config: AdapterConfig, trainable: int, total: int) -> str:
    """The card's text."""
    record = record_of(config.method["name"])
    return TEMPLATE.render(config=config, record=record, trainable=trainable, total=total, told=told)
