"""Model card for the Hub: the folder's card, with complete metadata and instructions for loading the model."""

import re
from typing import Any

from studio.errors import StudioError
from studio.metrics.registry import metrics
from studio.models.card import KNOWN_LICENCES, model_card
from studio.models.folder import ModelInfo
from studio.networks import Task, get_family
from studio.training.plan import Plan

_MADE_BY_AI = "## Made by AI"


def licence_fields(licence: str) -> dict[str, str]:
    """Metadata fields for a licence: an id the Hub knows, or 'other' with a name. Raises StudioError if it is empty."""
    known = "-".join(licence.lower().split())
    if known in KNOWN_LICENCES:
        return {"license": known}
    name = re.sub(r"[^a-z0-9.]+", "-", known).strip("-.")
    if not name:
        raise StudioError("A licence is missing.", "Say what others may do with it, for example CC-BY-4.0.")
    return {"license": "other", "license_name": name}


def hub_card(info: ModelInfo, repo_id: str, licence: str) -> str:
    """README.md of a model as `repo_id` ('user/name') on the Hub. Raises StudioError if the licence is missing."""
    from huggingface_hub import ModelCardData

    family = get_family(info.family)
    plan, training = _plan(info), _table(info.extra.get("training"))
    task = "image-to-image" if family.task is not Task.GENERATE else "unconditional-image-generation"
    base = str(training.get("base") or (plan.base if plan else ""))
    fields = licence_fields(licence)
    head = ModelCardData(
        license=fields["license"],
        license_name=fields.get("license_name"),
        library_name="gan-studio",
        pipeline_tag=task,
        tags=["gan", info.family, "gan-studio"],
        base_model=base if base and base != info.id else None,
        model_name=" ".join(info.title.split()),
        eval_results=_measured(training, task) or None,
    )
    return f"---\n{head.to_yaml()}\n---\n\n{_body(info, repo_id, licence)}"


def _body(info: ModelInfo, repo_id: str, licence: str) -> str:
    """The card's text, with the section on loading before the last one."""
    file = info.path / "README.md"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else model_card(info.title, info.family, licence)
    body = re.sub(r"\A---\n.*?\n---\n+", "", text.replace("\r\n", "\n"), count=1, flags=re.DOTALL).strip()
    made, heading, rest = body.partition(_MADE_BY_AI)
    return "\n\n".join(part for part in (made.strip(), _loading(info, repo_id), (heading + rest).strip()) if part) + "\n"


def _loading(info: ModelInfo, repo_id: str) -> str:
    family, name = get_family(info.family), repo_id.rpartition("/")[2]
    if family.task is Task.TRANSLATE:
        use = 'picture = model.translate(Image.open("mine.png"))'
    elif family.task is Task.UPSCALE:
        use = 'picture = model.upscale(Image.open("mine.png"))'
    else:
        use = "pictures = model.sample(seeds=[1, 2, 3])"
    opened = "from PIL import Image\n" if family.task is not Task.GENERATE else ""
    return (
        f"## How to load it\nWith GAN Studio: `studio import {repo_id}`, or *Add a model* in its Models tab. In Python:\n\n"
        f"```python\nimport studio\nfrom huggingface_hub import snapshot_download\n{opened}\n"
        f'model = studio.load(snapshot_download("{repo_id}", local_dir="{name}"))\n{use}\n```'
    )


def _measured(training: dict[str, Any], task: str) -> list:
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=task,
            dataset_type="custom",
            dataset_name=found.dataset,
            metric_type=found.type,
            metric_value=round(found.value, 5),
            metric_name=found.name,
        )
        for metric in metrics()
        for found in metric.results(training)
    ]


def _plan(info: ModelInfo) -> Plan | None:
    """The training plan in the folder; None if there is none or it can't be read."""
    file = info.path / "plan.toml"
    try:
        return Plan.load(file) if file.is_file() else None
    except StudioError:
        return None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
