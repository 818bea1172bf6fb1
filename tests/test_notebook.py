"""The example notebooks run from top to bottom, show what they promise, and are committed without outputs."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_there_are_notebooks():
    assert "first_look" in [path.stem for path in NOTEBOOKS]


def test_committed_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert [cell["outputs"] for cell in cells if cell["cell_type"] == "code" and cell["outputs"]] == []
    assert [c["execution_count"] for c in cells if c["cell_type"] == "code" and c["execution_count"]] == []


@pytest.fixture(scope="module")
def ran():
    """The first look after a run; a cell that fails stops it with the cell and its error."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("plotly")
    done = {}
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
        done[path.stem] = notebook
    return done


def test_runs_from_top_to_bottom(path, ran):
    code = [cell for cell in ran[path.stem].cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [out for cell in code for out in cell.outputs if out.output_type in ("error", "stream")] == []


def outputs(notebook, kind):
    return [out.data[kind] for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs
            if "data" in out and kind in out.data]  # fmt: skip


def test_first_look_shows_tables_and_pictures(ran):
    notebook = ran["first_look"]
    pictures = outputs(notebook, "application/vnd.plotly.v1+json")
    assert len(pictures) == 6
    assert [p for p in pictures if not p["data"]] == []
    assert "Purchases at CDNOW" in str(pictures[1]["layout"]["title"])
    tables = [html for html in outputs(notebook, "text/html") if "<table" in html]
    assert len(tables) >= 3
    assert "loaded=6919 duplicates=0 rejected=0" in outputs(notebook, "text/plain")[0]
