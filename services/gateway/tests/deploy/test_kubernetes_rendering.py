# ruff: noqa: S603 what is started here stands in the repository
"""The overlays are rendered as kubectl renders them, everything in the folder is used, and what has
to be changed is marked.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from kustomizing import (
    COMPONENTS,
    KUBERNETES,
    OVERLAYS,
    CannotRenderError,
    Object,
    identity,
    render,
)


def kubectl() -> str:
    """The program, where there is one that knows Kustomize's components; else skips."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl here to compare with")
    said = subprocess.run(
        [program, "version", "--client", "--output=json"], capture_output=True, check=True
    ).stdout
    version = json.loads(said).get("kustomizeVersion", "v2")
    if int(version.lstrip("v").split(".")[0]) < 5:
        pytest.skip(f"the kubectl here has Kustomize {version}; components need v5")
    return program


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubectl_renders_the_same(overlay: str) -> None:
    said = subprocess.run(
        [kubectl(), "kustomize", str(KUBERNETES / "overlays" / overlay)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stderr == ""

    def by_name(objects: list[Object]) -> dict[tuple[str, str, str], Object]:
        return {identity(found): found for found in objects}

    theirs = by_name(list(yaml.safe_load_all(said.stdout)))
    assert by_name(render(KUBERNETES / "overlays" / overlay)) == theirs


def test_there_is_an_overlay_for_trying_and_one_for_others_use() -> None:
    assert {"dev", "production"} <= set(OVERLAYS)


def kustomization(path: Path) -> Object:
    plan: Object = yaml.safe_load((path / "kustomization.yaml").read_text("utf-8"))
    return plan


def test_every_file_is_part_of_its_kustomization() -> None:
    for plan in KUBERNETES.rglob("kustomization.yaml"):
        named = kustomization(plan.parent)
        used = set(named.get("resources", [])) | {p["path"] for p in named.get("patches", [])}
        there = {path.name for path in plan.parent.glob("*.yaml")} - {plan.name}
        assert there == {name for name in used if name.endswith(".yaml")}, plan


def test_every_component_is_in_an_overlay_or_named_there_as_a_choice() -> None:
    plans = [
        (KUBERNETES / "overlays" / name / "kustomization.yaml").read_text("utf-8")
        for name in OVERLAYS
    ]
    for name in COMPONENTS:
        assert any(f"../../components/{name}" in plan for plan in plans), name


def test_every_example_name_is_marked_as_one_to_change() -> None:
    """A file that names example.org, a registry or somebody's network says CHANGE."""
    for path in KUBERNETES.rglob("*.yaml"):
        text = path.read_text("utf-8")
        if re.search(r"example\.(org|com)|10\.244\.|svc:9090", text):
            assert "# CHANGE" in text, path


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("configMapGenerator: []", "configMapGenerator"),
        ("patches: [{patch: x}]", "a patch that is no file"),
        ("resources: [a.yaml, a.yaml]", "two objects of one name"),
        ("resources: [a.yaml]\npatches: [{path: list.yaml}]", "a patch of the list rules"),
        ("resources: [a.yaml]\npatches: [{path: delete.yaml}]", r"takes \$patch away"),
    ],
)
def test_what_the_renderer_does_not_know_is_an_error(tmp_path: Path, text: str, what: str) -> None:
    head = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n"
    (tmp_path / "kustomization.yaml").write_text(text)
    (tmp_path / "a.yaml").write_text(head + "rules: [1]\n")
    (tmp_path / "list.yaml").write_text(head + "rules: [2]\n")
    (tmp_path / "delete.yaml").write_text(head + "$patch: delete\n")
    with pytest.raises(CannotRenderError, match=what):
        render(tmp_path)
