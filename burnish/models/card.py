"""A model card: the figures of the run that made the model, or the sizes of a new one; and the upload to a hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from jinja2 import Environment, StrictUndefined

from burnish import __version__
from burnish.errors import ModelError

_CARD = """---
library_name: transformers
{% if base %}base_model: {{ base }}
{% endif %}tags: [burnish, {{ verb }}]
---

# {{ title }}

Made with `burnish {{ verb }}` (Burnish {{ version }}) from `{{ settings.model }}` on `{{ settings.data }}`.

| | first update | last update |
|---|---|---|
{% for name in names -%}
| {{ name }} | {{ "%.4g" % first[name] }} | {{ "%.4g" % last[name] }} |
{% endfor %}
{{ last.step }} updates. Settings:

```json
{{ settings | tojson(indent=2) }}
```
"""

_NEW_CARD = """---
library_name: transformers
tags: [burnish, {{ verb }}]
---

# {{ title }}

Made with `burnish {{ verb }}` (Burnish {{ version }}). It is not trained: its weights are the first ones.

| size | |
|---|---|
{% for name, value in sizes.items() if value is not none -%}
| {{ name }} | {{ value }} |
{% endfor %}
| part | parameters |
|---|---|
{% for name, count in parts.items() -%}
| {{ name }} | {{ "{:,}".format(count) }} |
{% endfor -%}
| all | {{ "{:,}".format(parts.values() | sum) }} |

Settings:

```json
{{ settings | tojson(indent=2) }}
```
"""

_MEASURED = """
## Measured

{% if scores %}On {{ facts.held_out_rows }} held-out rows, which training did not see, with the saved weights:

| figure | value |
|---|---|
{% for name, value in scores.items() if value is number -%}
| {{ name }} | {{ "%.4g" % value }} |
{% endfor %}{% else %}Nothing was held out, so how well it does on rows that it has not seen is not known.
{% endif %}
It was trained on {{ facts.rows }} rows. How it does on texts of another kind, and on whom its mistakes fall, was not
measured.
"""

_LEFT_OUT = frozenset({"step", "seconds", "tokens_per_second", "peak_memory_bytes"})


def model_card(verb: str, settings: Mapping[str, Any], metrics: Path, *, title: str = "") -> str:
    """The card of a model, as Markdown.

    Args:
        verb: of the stage that made it.
        settings: of the run, with `model` and `data`.
        metrics: the run's metrics.jsonl.
        title: heading; the verb if empty.
    """
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    first, last = lines[0], lines[-1]
    names = [name for name in last if name not in _LEFT_OUT and isinstance(first.get(name), (int, float))]
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(_CARD)
    return template.render(
        verb=verb,
        settings=settings,
        base=_hub_name(settings["model"]),
        names=[name for name in names if isinstance(last[name], (int, float))],
        first=first,
        last=last,
        title=title or f"A model made with {verb}",
        version=__version__,
    )


def specialist_card(
    verb: str, settings: Mapping[str, Any], metrics: Path, *, scores: Mapping[str, Any], facts: Mapping[str, Any]
) -> str:
    """The card of a specialist, as Markdown: that of any trained model, and what was measured of it.

    Args:
        verb, settings, metrics: as for `model_card`.
        scores: figures on held-out rows; empty if there were none.
        facts: of the data, with `rows` and `held_out_rows`.
    """
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(_MEASURED)
    return model_card(verb, settings, metrics) + template.render(scores=scores, facts=facts)


def new_model_card(
    verb: str, settings: Mapping[str, Any], sizes: Mapping[str, Any], parts: Mapping[str, int], *, title: str = ""
) -> str:
    """The card of a model that was not trained, as Markdown.

    Args:
        verb: of the stage that made it.
        settings: of the run.
        sizes: of the model by name; those that are None are left out.
        parts: parameters by part.
        title: heading; a plain one if empty.
    """
    template = Environment(undefined=StrictUndefined, autoescape=False).from_string(_NEW_CARD)
    return template.render(
        verb=verb, settings=settings, sizes=sizes, parts=parts, title=title or "An untrained model", version=__version__
    )


def _hub_name(model: str) -> str | None:
    """The hub's name of `model`; None for a file, a folder or a package, which the hub refuses in a card's head."""
    name = model.partition("@")[0]
    is_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) and not Path(model).expanduser().exists()
    return name if is_name else None


def push(folder: Path, name: str, card: str) -> None:
    """Upload a saved model with its card.

    Args:
        folder: the Hugging Face directory.
        name: of the repository on the hub, `owner/name`; made if it does not exist.
        card: written as README.md beside the weights.

    Raises:
        ModelError: the hub refuses or cannot be reached; the model stays saved in `folder`.
    """
    (folder / "README.md").write_text(card, encoding="utf-8")
    hub = HfApi()
    try:
        hub.create_repo(name, exist_ok=True)
        hub.upload_folder(repo_id=name, folder_path=folder, commit_message="Upload a model made with Burnish")
    except Exception as error:  # the client's transport errors have no public class in common
        raise ModelError(f"the model is saved in {folder}, but the upload to '{name}' failed: {error}") from error
