"""`python -m checks X` is the same as `encore X`."""

from checks.cli import main

if __name__ == "__main__":
    main()
