"""`python -m papers.drolet2023`."""

from papers.drolet2023.command import main

if __name__ == "__main__":
    main()
