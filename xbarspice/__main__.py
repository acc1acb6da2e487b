"""`python -m xbarspice`."""

from xbarspice.cli import main

if __name__ == "__main__":
    main()
