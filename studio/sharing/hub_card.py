"""The model card as it goes to the Hub: the card of the folder, with a head that is complete and how to load it."""

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
    """The head's words for a licence: one the Hub knows, or 'other' with a name. Raises StudioError when there is none."""
    known = "-".join(licence.lower().split())
    if known in KNOWN_LICENCES:
        return {"license": known}
    name = re.sub(r"[^a-z0-9.]+", "-", known).strip("-.")
    if not name:
        raise StudioError("A licence is missing.", "Say what others may do with it, for example CC-BY-4.0.")
    return {"license": "other", "license_name": name}


def hub_card(info: ModelInfo, repo_id: str, licence: str) -> str:
    """README.md of `info` as the model `repo_id` ('user/name') of the Hub. Raises StudioError when the licence is missing."""
    from huggingface_hub import ModelCardData

    family = get_family(info.family)
    plan, training = _plan(info), _table(info.extra.get("training"))
    task = "image-to-image" if family.task is not Task.GENERATE else "unconditional-image-generation"
    base = str(training.get("base") or (plan.base if plan else ""))
    head = ModelCardData(
        **licence_fields(licence),
        library_name="gan-studio",
        pipeline_tag=task,
        tags=["gan", info.family, "gan-studio"],
        base_model=base if base and base != info.id else None,
        model_name=" ".join(info.title.split()),
        eval_results=_measured(training, task) or None,
    )
    return f"---\n{head.to_yaml()}\n---\n\n{_body(info, repo_id, licence)}"


def _body(info: ModelInfo, repo_id: str, licence: str) -> str:
    """The card's text, with the section on loading before its last one."""
    file = info.path / "README.md"
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else model_card(info.title, info.family, licence)
    body = re.sub(r"\A---\n.*?\n---\n+", "", text.replace("\r\n", "\n"), count=1, flags=re.DOTALL).strip()
    made, mark, rest = body.partition(_MADE_BY_AI)
    return "\n\n".join(part for part in (made.strip(), _loading(info, repo_id), (mark + rest).strip()) if part) + "\n"


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
    """How it was trained, when the folder says so and this studio understands it."""
    file = info.path / "plan.toml"
    try:
        return Plan.load(file) if file.is_file() else None
    except StudioError:
        return None


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
