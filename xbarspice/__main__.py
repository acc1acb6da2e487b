"""`python -m xbarspice`."""

from xbarspice.cli.app import main

if __name__ == "__main__":
    main()
