#!/usr/bin/env python3
"""Opens a notebook, and runs its cells from the top down as Jupyter does: in its own folder, by a kernel."""
import pathlib
import sys

import nbclient
import nbformat

# More than the cells of a starter take on the busiest machine.
PATIENCE_S = 300

if __name__ == "__main__":
    path = pathlib.Path(sys.argv[1])
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    place = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=PATIENCE_S, resources=place).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in cells):
        sys.exit(f"{path}: its {len(cells)} cells print nothing")
