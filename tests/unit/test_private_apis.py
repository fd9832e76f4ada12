"""Private names of other libraries that the studio uses: each is listed here, and the test says when one is gone."""

import ast
import importlib
import inspect

import pytest

from tests.conftest import ROOT

# attribute or imported name -> where it is to be found: module, and the path of attributes within it
PRIVATE = {
    "_data": ("gradio", "EventData", "what a custom event brings along; set in EventData.__init__"),
    "_python_dispatch": ("torch.utils._python_dispatch", "TorchDispatchMode", "to refuse large allocations while a network is detected"),
    "_is_amx_tile_supported": ("torch.cpu", "_is_amx_tile_supported", "whether bfloat16 is fast on this processor"),
    "_is_avx512_bf16_supported": ("torch.cpu", "_is_avx512_bf16_supported", "the same"),
    "_untyped_storage": ("torch", "TypedStorage", "the bytes of a tensor in an old checkpoint; set in TypedStorage.__new__"),
    "_meta": ("torchvision.models._meta", "_IMAGENET_CATEGORIES", "names of the 1,000 classes"),
    "_IMAGENET_CATEGORIES": ("torchvision.models._meta", "_IMAGENET_CATEGORIES", "names of the 1,000 classes"),
    "_id": ("gradio.queueing", "Event", "the id of an event in the queue"),
    "_exit": ("os", "_exit", "of the standard library, documented"),
}
LOGGERS = ("huggingface_hub._commit_api",)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def used() -> dict[str, str]:
    """Private names that studio/ takes from outside -> where."""
    trees = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "studio").rglob("*.py"))}
    own, found = set(), {}
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__setattr__":
                own |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}  # of a frozen dataclass
    for path, tree in trees.items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Attribute) and node.attr not in own:
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("studio"):
                names = [*node.module.split("."), *(alias.name for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [part for alias in node.names for part in alias.name.split(".")]
            for name in filter(is_private, names):
                found.setdefault(name, f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_private_names_in_use_are_listed():
    assert {name: where for name, where in used().items() if name not in PRIVATE} == {}
    assert not set(PRIVATE) - set(used()), "no longer used: take them off the list"


@pytest.mark.parametrize("name", PRIVATE)
def test_it_is_still_there(name):
    module, attribute, why = PRIVATE[name]
    found = getattr(importlib.import_module(module), attribute, None)
    assert found is not None, f"{module}.{attribute} is gone ({why})"
    if inspect.isclass(found) and name != "_python_dispatch":
        assert name in inspect.getsource(found), f"{module}.{attribute} no longer has {name} ({why})"


def test_the_data_of_an_event_is_what_the_browser_sent():
    import gradio as gr

    assert gr.EventData(None, {"index": 3})._data.get("index") == 3


@pytest.mark.parametrize("name", LOGGERS)
def test_the_loggers_of_other_libraries_are_where_they_were(name):
    assert importlib.import_module(name).__name__ == name
