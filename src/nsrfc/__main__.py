"""``python -m nsrfc`` is the command ``nsrfc``."""

from nsrfc.cli import main

if __name__ == "__main__":
    main()
