"""The `isthmus` command: one file per verb in `commands/`, all printing in `render.py`.

Start at `main.py`. A verb is imported only when it is used, so that `isthmus status` starts fast.
"""
