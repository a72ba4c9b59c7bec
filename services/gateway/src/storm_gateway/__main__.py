"""``python -m storm_gateway`` is the ``storm`` command."""

from storm_gateway.cli import main

if __name__ == "__main__":
    main()
