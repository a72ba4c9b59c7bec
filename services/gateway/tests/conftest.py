"""What holds for every test: settings come from the test alone, never from the machine."""

import os

for _name in [name for name in os.environ if name.startswith("STORM_")]:
    # At import, before anything of ours is: fixtures and subprocesses see it gone, too.
    del os.environ[_name]
