"""`python -m fbridge_cli`: the same program, for launchers that want a module."""

from fbridge_cli.main import main

if __name__ == "__main__":
    main()
