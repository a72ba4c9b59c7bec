"""Renders our overlays without kubectl: as much of Kustomize as they use; the rest is an error.

On machines that have kubectl, a test compares both. Kustomize itself is a Go program that no
package of Python, Node or Debian brings in a version that knows components.
"""

import copy
from pathlib import Path
from typing import Any, cast

import yaml

ROOT = Path(__file__).resolve().parents[4]
KUBERNETES = ROOT / "deploy/kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (KUBERNETES / "components").iterdir())

Object = dict[str, Any]

_KEYS = {"apiVersion", "kind", "namespace", "resources", "components", "patches", "images"}
_MERGED_BY = {"containers": "name", "env": "name"}
"""Lists of which a patch changes single entries. A patch of another list is an error here."""
_CLUSTER_WIDE = {"Namespace"}


class CannotRenderError(Exception):
    """The overlay uses something of Kustomize that is not known here."""


def render(folder: Path) -> list[Object]:
    """The objects of an overlay, or of any folder with a kustomization.yaml."""
    return _build(folder, [])


def documents(path: Path) -> list[Object]:
    """The objects of one file."""
    return [found for found in yaml.safe_load_all(path.read_text("utf-8")) if found]


def _build(folder: Path, objects: list[Object]) -> list[Object]:
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    if unknown := plan.keys() - _KEYS:
        raise CannotRenderError(f"{folder}: {', '.join(sorted(unknown))}")
    for name in plan.get("resources", []):
        path = folder / name
        objects = objects + (_build(path, []) if path.is_dir() else documents(path))
    for name in plan.get("components", []):
        # A component sees everything before it, and may change it.
        objects = _build(folder / name, objects)
    for patch in plan.get("patches", []):
        if patch.keys() != {"path"}:
            raise CannotRenderError(f"{folder}: a patch that is no file")
        (change,) = documents(folder / patch["path"])
        (at,) = [index for index, found in enumerate(objects) if _same(found, change)]
        objects = [*objects[:at], _merged(objects[at], change), *objects[at + 1 :]]
    for image in plan.get("images", []):
        objects = [_with_image(found, image) for found in objects]
    if "namespace" in plan:
        objects = [_in_namespace(found, plan["namespace"]) for found in objects]
    names = [identity(found) for found in objects]
    if len(names) != len(set(names)):
        raise CannotRenderError(f"{folder}: two objects of one name")
    return objects


def identity(found: Object) -> tuple[str, str, str]:
    """Kind, namespace and name."""
    meta = found["metadata"]
    return found["kind"], meta.get("namespace", ""), meta["name"]


def _same(one: Object, other: Object) -> bool:
    return (
        all(one[key] == other[key] for key in ("apiVersion", "kind"))
        and one["metadata"]["name"] == other["metadata"]["name"]
    )


def _merged(old: Any, new: Any) -> Any:
    """A strategic merge: the patch wins, maps are merged, listed things by their name."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return copy.deepcopy(new)
    made = copy.deepcopy(old)
    for key, value in new.items():
        if isinstance(value, list):
            if key not in _MERGED_BY:
                raise CannotRenderError(f"a patch of the list {key}")
            made[key] = _merged_list(made.get(key, []), value, _MERGED_BY[key])
        elif value is None or key.startswith("$"):
            raise CannotRenderError(f"a patch that takes {key} away")
        else:
            made[key] = _merged(made.get(key), value)
    return made


def _merged_list(old: list[Object], new: list[Object], by: str) -> list[Object]:
    # What the patch names comes first, as Kustomize has it.
    before = {entry[by]: entry for entry in old}
    named = [_merged(before.pop(entry[by], {}), entry) for entry in new]
    return [*named, *copy.deepcopy(list(before.values()))]


def _with_image(found: Any, image: Object) -> Any:
    if isinstance(found, list):
        return [_with_image(entry, image) for entry in found]
    if not isinstance(found, dict):
        return found
    made = {key: _with_image(value, image) for key, value in found.items()}
    name = made.get("image")
    if isinstance(name, str) and name.rpartition(":")[0] == image["name"]:
        made["image"] = f"{image.get('newName', image['name'])}:{image['newTag']}"
    return made


def _in_namespace(found: Object, namespace: str) -> Object:
    if found["kind"] in _CLUSTER_WIDE:
        return found
    made = copy.deepcopy(found)
    cast(Object, made["metadata"])["namespace"] = namespace
    return made
