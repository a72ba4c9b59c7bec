"""A hook of the package's build: a wheel without the web client is no fault, but is said."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebClient(BuildHookInterface[Any]):
    """Looks for the page that ``npx vite build`` in frontend/ writes."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """``version``: of the target, such as ``standard`` or ``editable``."""
        page = Path(self.root) / "src/storm_gateway/web/index.html"
        if self.target_name == "wheel" and version != "editable" and not page.is_file():
            self.app.display_warning(
                "This wheel has no web client. To build one first: make client"
            )
