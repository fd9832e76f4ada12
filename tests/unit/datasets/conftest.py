import pytest

from studio.datasets.store import DataSetStore
from tests.unit.datasets.pictures import scene


@pytest.fixture
def store(studio_home):
    return DataSetStore()


@pytest.fixture
def photos(tmp_path):
    """A folder of two classes of three, a twin, a near twin and a text."""
    for i in range(6):
        folder = tmp_path / "photos" / ("cats" if i < 3 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        scene(i).save(folder / f"{i}.png")
    (tmp_path / "photos" / "dogs" / "twin.png").write_bytes((tmp_path / "photos" / "cats" / "0.png").read_bytes())
    scene(1).save(tmp_path / "photos" / "cats" / "near.jpg", quality=90)
    (tmp_path / "photos" / "notes.txt").write_text("about cats")
    return tmp_path / "photos"
